// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package harness is what the tests against a real API server share: starting it, waiting, namespaces.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
)

// Main is a TestMain: it runs the tests of a package with a control plane of their own, and then looks for goroutines
// that they left behind. Setup gets a folder that is removed in the end.
func Main(m *testing.M, o local.Options, setup func(c *local.Cluster, dir string) error) {
	code, err := run(m, o, setup)
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, o local.Options, setup func(c *local.Cluster, dir string) error) (code int, err error) {
	dir, err := os.MkdirTemp("", "fwupgrade-test-")
	if err != nil {
		return 1, fmt.Errorf("make a folder for the tests: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cluster, err := local.Start(context.Background(), o)
	if err != nil {
		return 1, fmt.Errorf("start a control plane (run make test): %w", err)
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if err := setup(cluster, dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// NewScheme returns a scheme with the kinds of Kubernetes and of both groups of ours.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), storage.AddToScheme(scheme))
	if err != nil {
		return nil, fmt.Errorf("register API types: %w", err)
	}
	return scheme, nil
}

// NewClient returns a client of the control plane's administrator, without a cache.
func NewClient(cluster *local.Cluster) (client.WithWatch, error) {
	return NewClientFor(cluster.Config())
}

// NewClientFor returns a client without a cache for a configuration, such as a service account's.
func NewClientFor(config *rest.Config) (client.WithWatch, error) {
	scheme, err := NewScheme()
	if err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}
