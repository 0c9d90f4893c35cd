// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
)

// defaultOperatorNamespace is where the operator is installed by config/default.
const defaultOperatorNamespace = "fwupgrade-system"

// connection is the cluster that kubectl's flags name.
type connection struct {
	client client.WithWatch
	// host is the address of the API server, for messages.
	host string
	// namespace is the one of --namespace or of the context.
	namespace string
}

// connect makes the client. It asks the API server nothing yet.
func (s *session) connect() (*connection, error) {
	config, err := s.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace, _, err := s.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server shares its time out by itself
	config.UserAgent = "kubectl-fwupgrade/" + s.Version
	config.WarningHandler = rest.NoWarnings{}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	if err := errors.Join(v1alpha1.AddToScheme(scheme), storage.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register API types: %w", err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: newMapper()})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &connection{client: c, host: config.Host, namespace: namespace}, nil
}

// newMapper knows the three kinds, so that nothing has to be discovered.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion, storage.GroupVersion})
	mapper.Add(v1alpha1.GroupVersion.WithKind("FirmwareUpgrade"), meta.RESTScopeNamespace)
	mapper.Add(storage.GroupVersion.WithKind("ResultSlice"), meta.RESTScopeNamespace)
	mapper.Add(storage.GroupVersion.WithKind("ResultStore"), meta.RESTScopeRoot)
	return mapper
}

// upgrade reads a FirmwareUpgrade.
func (c *connection) upgrade(ctx context.Context, name string) (*v1alpha1.FirmwareUpgrade, error) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, fwu); err != nil {
		return nil, c.explainUpgrades(err, name)
	}
	return fwu, nil
}

// open connects, and reads a FirmwareUpgrade.
func (s *session) open(ctx context.Context, name string) (*connection, *v1alpha1.FirmwareUpgrade, error) {
	c, err := s.connect()
	if err != nil {
		return nil, nil, err
	}
	fwu, err := c.upgrade(ctx, name)
	return c, fwu, err
}

// addOperatorNamespace adds the flag of the commands that read slices.
func (s *session) addOperatorNamespace(flags *pflag.FlagSet) {
	flags.StringVar(&s.operatorNamespace, "operator-namespace", "",
		"namespace of the operator, where the results are stored (default: the one that the ResultStore names, else "+
			defaultOperatorNamespace+")")
}

// slicesNamespace returns where the slices are: what the flag says, else what the ResultStore says. Who may not read
// that takes the usual one, as where there is none.
func (s *session) slicesNamespace(ctx context.Context, c *connection) (string, error) {
	if s.operatorNamespace != "" {
		return s.operatorNamespace, nil
	}
	store := &storage.ResultStore{}
	err := c.client.Get(ctx, client.ObjectKey{Name: storage.ResultStoreName}, store)
	if err != nil && !isForbidden(err) && !apierrors.IsNotFound(err) {
		return "", c.explain(err, "read the ResultStore")
	}
	return cmp.Or(store.Spec.Namespace, defaultOperatorNamespace), nil
}
