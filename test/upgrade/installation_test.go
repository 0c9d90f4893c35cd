// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

const (
	operatorNamespace = "fwupgrade-system"
	secret            = "an-upgrade-secret"
	stopTimeout       = 60 * time.Second // the terminationGracePeriodSeconds of the Deployments
)

// installation is the operator on a control plane: two webhooks behind a Service and two controllers, as config/default
// has them, of one version or, in between, of two. The first of the controllers leads.
type installation struct {
	cluster    *local.Cluster
	k8s        client.WithWatch
	kubeconfig string
	secrets    string
	service    *service

	webhooks, controllers [2]*local.Manager
	stopping              sync.WaitGroup // webhooks that drain
}

// install installs a version on a control plane of its own.
func install(t *testing.T, v *version) *installation {
	t.Helper()
	none := t.TempDir() // the version brings its CRDs along
	cluster, err := local.Start(t.Context(), local.Options{CRDPaths: []string{none}})
	must(t, err)
	t.Cleanup(func() { must(t, cluster.Stop()) })
	dir := t.TempDir()
	in := &installation{
		cluster: cluster, kubeconfig: filepath.Join(dir, "kubeconfig"), secrets: filepath.Join(dir, "paths"),
		service: newService(t),
	}
	must(t, cluster.WriteKubeconfig(in.kubeconfig))
	must(t, os.WriteFile(in.secrets, []byte(secret+"\n"), 0o600))
	in.k8s, err = harness.NewClient(cluster)
	must(t, err)
	in.apply(t, v)
	for i := range 2 {
		in.controllers[i] = in.start(t, v, "controllers")
		harness.Eventually(t, func() string {
			if in.holder(t) == "" {
				return "nobody leads"
			}
			return ""
		})
		in.webhooks[i] = in.start(t, v, "webhook")
		in.service.add(in.webhooks[i].CallbackAddress)
	}
	t.Cleanup(in.stopping.Wait)
	return in
}

// apply applies the manifests of a version, as the manual says.
func (in *installation) apply(t *testing.T, v *version) {
	t.Helper()
	_, err := in.kubectl(t.Context(), "apply", "--server-side", "-k", v.config)
	must(t, err)
	_, err = in.kubectl(t.Context(), "wait", "--for=condition=Established", "--timeout=60s", "crd",
		"firmwareupgrades.fwupgrade.io", "resultslices.storage.fwupgrade.io", "resultstores.storage.fwupgrade.io")
	must(t, err)
}

func (in *installation) kubectl(ctx context.Context, args ...string) (string, error) {
	return harness.Kubectl(ctx, in.kubeconfig, args...)
}

// start starts a component of a version under its service account, and waits until it is ready.
func (in *installation) start(t *testing.T, v *version, component string) *local.Manager {
	t.Helper()
	config, err := in.cluster.ServiceAccountConfig(t.Context(), operatorNamespace, "fwupgrade-"+component)
	must(t, err)
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Binary: v.manager, Config: config, Dir: t.TempDir(), Components: component,
		Args: v.args(component, in.secrets), Env: v.env(component),
	})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s of %s logged:\n%s", component, v.name, m.Tail())
		}
		must(t, m.Kill())
	})
	return m
}

// replaceWebhook starts another one, then tells one to stop; it drains while the test goes on.
func (in *installation) replaceWebhook(t *testing.T, i int, v *version) {
	t.Helper()
	old := in.webhooks[i]
	in.webhooks[i] = in.start(t, v, "webhook")
	in.service.add(in.webhooks[i].CallbackAddress)
	in.stopping.Go(func() { stop(t, old) })
	harness.Eventually(t, func() string { // only then it is taken out of the Service
		if old.Ready(t.Context()) {
			return "the webhook is still ready"
		}
		return ""
	})
	in.service.remove(old.CallbackAddress)
}

// replaceStandby starts a controller of the version in the place of the one that does not lead.
func (in *installation) replaceStandby(t *testing.T, v *version) {
	t.Helper()
	before := in.holder(t)
	stop(t, in.controllers[1])
	in.controllers[1] = in.start(t, v, "controllers")
	if now := in.holder(t); now != before {
		t.Fatalf("the leader changed from %s to %s, although it was not stopped", before, now)
	}
}

// replaceLeader stops the leader, so that the other one leads, and then starts another one beside that.
func (in *installation) replaceLeader(t *testing.T, v *version) {
	t.Helper()
	before := in.holder(t)
	stop(t, in.controllers[0])
	harness.Eventually(t, func() string {
		if now := in.holder(t); now == "" || now == before {
			return "nobody leads"
		}
		return ""
	})
	in.controllers[0], in.controllers[1] = in.controllers[1], in.start(t, v, "controllers")
}

// holder returns who has the leader's lease.
func (in *installation) holder(t *testing.T) string {
	t.Helper()
	lease := &coordinationv1.Lease{}
	key := client.ObjectKey{Namespace: operatorNamespace, Name: "fwupgrade-controllers"}
	if err := in.k8s.Get(t.Context(), key, lease); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// stop ends a process as kubelet does, and holds that it ends well.
func stop(t *testing.T, m *local.Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := m.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
