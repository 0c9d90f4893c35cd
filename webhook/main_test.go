// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// cluster is the API server of this package's tests. Each test has a namespace of its own.
var cluster struct {
	environment *envtest.Environment
	config      *rest.Config
}

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set, so there is no API server to test with: run `make test`.")
		return 1
	}
	cluster.environment = &envtest.Environment{
		BinaryAssetsDirectory: assets,
		CRDDirectoryPaths:     []string{filepath.Join("..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	config, err := cluster.environment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "The control plane did not start:", err)
		return 1
	}
	cluster.config = config
	code := m.Run()
	if err := cluster.environment.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "The control plane did not stop:", err)
		return 1
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "Goroutines were left behind:", err)
		return 1
	}
	return 0
}
