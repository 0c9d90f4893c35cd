// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config tests config/default as the API server understands it: what the service accounts may do, what the
// admission policies refuse, and which requests API Priority and Fairness lets go first.
package config

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// Names of config/default.
const (
	operatorNamespace = "fwupgrade-system"
	webhookAccount    = "fwupgrade-webhook"
	controllerAccount = "fwupgrade-controllers"
)

// publishedAddress is where the API server says that it is; nobody connects to it.
const publishedAddress = "192.0.2.10"

// What the tests share: a control plane with config/default applied, and its administrator.
var (
	cluster    *local.Cluster
	k8s        client.Client
	kubeconfig string
)

func TestMain(m *testing.M) {
	o := local.Options{
		WithoutControllerManager: true,
		// An address of loopback is not published as the API server's.
		APIServerArgs: map[string][]string{"advertise-address": {publishedAddress}},
	}
	harness.Main(m, o, func(c *local.Cluster, dir string) (err error) {
		cluster, kubeconfig = c, filepath.Join(dir, "kubeconfig")
		if k8s, err = harness.NewClient(c); err != nil {
			return err
		}
		if err := c.WriteKubeconfig(kubeconfig); err != nil {
			return err
		}
		return harness.Install(context.Background(), kubeconfig)
	})
}

// accountConfig returns the configuration of one of the operator's service accounts.
func accountConfig(t *testing.T, name string) *rest.Config {
	t.Helper()
	config, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, name)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return config
}

// clientFor returns a client that acts by a configuration, until the test ends.
func clientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := harness.NewClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// impersonate returns a client that acts as another user, to whom RBAC allows everything: what is refused to him is
// refused by a policy.
func impersonate(t *testing.T, user string) client.Client {
	t.Helper()
	config := cluster.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	return clientFor(t, config)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newSlice returns a slice with one result.
func newSlice(namespace string) *storage.ResultSlice {
	return &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "r-"},
		Tables: []storage.ResultTable{{
			OperationID: "op", ResultFields: storage.ResultFields{State: storage.StateSucceeded},
			Rows: "deviceId,receiveTime\nd,1\n",
		}},
	}
}

// awaitAnswer waits until an attempt is answered as wanted: refused with a part of a message or, where that is empty,
// accepted. The API server notices changes of policies and of their parameters a moment later.
func awaitAnswer(t *testing.T, want string, attempt func() error) {
	t.Helper()
	harness.Eventually(t, func() string {
		err := attempt()
		switch {
		case want == "" && err != nil:
			return "refused: " + err.Error()
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			return fmt.Sprintf("want a refusal with %q, got %v", want, err)
		}
		return ""
	})
}
