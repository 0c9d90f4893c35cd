// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/hack/local"
)

// The two service accounts of an installation, as config/default names them.
const (
	accountWebhook     = "fwupgrade-webhook"
	accountControllers = "fwupgrade-controllers"
)

// installedKinds are what of config/default is installed: what the API server heeds when the operator writes. The CRDs
// are there already, and nothing runs in pods.
func installedKinds() map[string]bool {
	return map[string]bool{
		"Namespace": true, "ServiceAccount": true, "FlowSchema": true, "PriorityLevelConfiguration": true,
		"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true,
	}
}

// install installs that part of config/default. Each turn has a namespace of its own, while the roles of config/default
// are of one; what the accounts may do is not measured, so they may do everything.
func (b *bench) install(ctx context.Context) error {
	rendered, err := render(ctx)
	if err != nil {
		return err
	}
	for _, object := range rendered {
		if !installedKinds()[object.GetKind()] {
			continue
		}
		if err := b.api.Create(ctx, object); err != nil {
			return fmt.Errorf("install %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return b.api.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.ServiceAccountKind, Namespace: local.OperatorNamespace, Name: accountWebhook},
			{Kind: rbacv1.ServiceAccountKind, Namespace: local.OperatorNamespace, Name: accountControllers},
		},
	})
}

// render returns the objects of config/default, namespaces first, as kustomize orders them.
func render(ctx context.Context) ([]*unstructured.Unstructured, error) {
	kubectl, err := local.Asset("kubectl")
	if err != nil {
		return nil, err
	}
	root, err := local.ModuleRoot()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, kubectl, "kustomize", filepath.Join(root, "config", "default"))
	command.Stderr = &stderr
	content, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("render config/default: %w: %s", err, stderr.String())
	}
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content))
	for {
		object := &unstructured.Unstructured{}
		err := documents.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read config/default: %w", err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// accounts returns whom the processes act as: service accounts with a token, as in a pod. The API server remembers a
// token that it verified, but verifies a client certificate with every request.
func (b *bench) accounts(ctx context.Context) (webhook, controllers *rest.Config, err error) {
	if webhook, err = b.cluster.ServiceAccountConfig(ctx, local.OperatorNamespace, accountWebhook); err != nil {
		return nil, nil, err
	}
	controllers, err = b.cluster.ServiceAccountConfig(ctx, local.OperatorNamespace, accountControllers)
	return webhook, controllers, err
}
