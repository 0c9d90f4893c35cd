// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

const (
	callbackSecret = "a-secret-of-the-audit"
	stopTimeout    = 40 * time.Second
	// storeLimit is --max-stored-results: small, so that it is reached.
	storeLimit = 15_000
	// manySlices are more small ones than are left alone.
	manySlices = 220
	// largeSlice is how many results are in a slice that no compaction reads.
	largeSlice = 5000
)

// operator is an installation in a control plane of its own, each of its processes under its service account.
type operator struct {
	cluster   *local.Cluster
	k8s       client.Client
	namespace string
	webhook   *local.Manager
	platform  *northbound.Server
	// running are the webhook, the controllers that lead at first, and others.
	running []*local.Manager
	// leader is who got the lease at first.
	leader string
}

// newOperator installs config/default with the component platform, and starts a platform, a webhook and two controllers
// that may connect to it.
func newOperator(t *testing.T, o local.Options) *operator {
	t.Helper()
	c, err := local.Start(t.Context(), o)
	must(t, err)
	op := &operator{cluster: c}
	t.Cleanup(func() {
		op.stop(t)
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	op.k8s, err = harness.NewClient(c)
	must(t, err)
	admin := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, c.WriteKubeconfig(admin))
	_, err = harness.Kubectl(t.Context(), admin, "apply", "--server-side", "-k", overlay(t, "platform"))
	must(t, err)
	op.namespace = harness.NewNamespace(t, op.k8s)
	op.startPlatform(t)

	secrets := filepath.Join(t.TempDir(), "secrets")
	must(t, os.WriteFile(secrets, []byte(callbackSecret+"\n"), 0o600))
	op.webhook = op.start(t, "webhook", "--callback-secrets-file="+secrets, "--drain-duration=0s")
	op.startControllers(t)
	harness.Eventually(t, func() string {
		if op.leader = op.holder(t); op.leader == "" {
			return "nobody leads"
		}
		return ""
	})
	op.startControllers(t)
	return op
}

// holder returns who has the leader's lease.
func (op *operator) holder(t *testing.T) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: operatorNamespace, Name: "fwupgrade-controllers"}
	must(t, client.IgnoreNotFound(op.k8s.Get(t.Context(), key, lease)))
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}

// start runs a component under its account.
func (op *operator) start(t *testing.T, component string, args ...string) *local.Manager {
	t.Helper()
	return op.startWith(t, nil, component, args...)
}

// startWith does so with an environment.
func (op *operator) startWith(t *testing.T, env []string, component string, args ...string) *local.Manager {
	t.Helper()
	config, err := op.cluster.ServiceAccountConfig(t.Context(), operatorNamespace, "fwupgrade-"+component)
	must(t, err)
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Config: config, Dir: t.TempDir(), Components: component, Env: env,
		Args: append(args, "--operator-namespace="+operatorNamespace),
	})
	must(t, err)
	op.running = append(op.running, m)
	return m
}

func (op *operator) startControllers(t *testing.T) *local.Manager {
	t.Helper()
	// Where an API server does not stream lists, as old ones do not, they are listed: so it is here from the second on.
	var env []string
	if len(op.running) > 1 {
		env = []string{"KUBE_FEATURE_WatchListClient=false"}
	}
	return op.startWith(t, env, "controllers", "--retain-unclaimed=1m", fmt.Sprintf("--max-stored-results=%d", storeLimit),
		"--platform-hosts="+strings.TrimPrefix(op.platform.URL(), "https://"))
}

// stop ends all processes as pods are ended.
func (op *operator) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	for _, m := range op.running {
		if err := m.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	op.running = nil
}
