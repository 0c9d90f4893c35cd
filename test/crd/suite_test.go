// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd tests what the API server itself makes of our kinds: defaults, bounds, CEL rules, printer columns.
package crd

import (
	"strings"
	"testing"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// What the tests share: the administrator's configuration and a client of it.
var (
	admin *rest.Config
	k8s   client.Client
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(cluster *local.Cluster, _ string) (err error) {
		admin = cluster.Config()
		k8s, err = harness.NewClient(cluster)
		return err
	})
}

// mergePatch is a patch as people write it.
func mergePatch(patch string) client.Patch {
	return client.RawPatch(types.MergePatchType, []byte(patch))
}

// checkRefusal compares an answer of the API server with a part of the message it is to have; empty: accepted.
func checkRefusal(t *testing.T, want string, err error) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("want a refusal with %q, got %v", want, err)
	}
}
