// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/page"
)

const (
	operatorNamespace = "fwupgrade-system"
	// fleet and upgradeName are the examples of the page.
	fleet       = "fleet"
	upgradeName = "meters-1.6"
	operationID = "7f2c9d3e41b84a6f9c05d1e8a2b7630f"
	appID       = "iBGxMaIpdrwWHhbBDnHCsgwDNEEa"
	secret      = "a-secret-of-the-runbook"
)

// world is a control plane with the operator installed as people install it, pods that run, and a terminal.
type world struct {
	cluster    *local.Cluster
	k8s        client.WithWatch
	kubeconfig string
	node       *node
	terminal   *page.Terminal
	dir        string
	callback   string // host:port
}

// start makes a world for one test.
func start(t *testing.T, o local.Options) *world {
	t.Helper()
	page.Need(t, "awk", "base64", "comm", "curl", "jq", "openssl", "sha256sum")
	o.Controllers = []string{"deployment-controller", "replicaset-controller"}
	cluster, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &world{cluster: cluster, dir: t.TempDir()}
	if w.k8s, err = harness.NewClient(cluster); err != nil {
		t.Fatal(err)
	}
	w.kubeconfig = filepath.Join(w.dir, "kubeconfig")
	if err := cluster.WriteKubeconfig(w.kubeconfig); err != nil {
		t.Fatal(err)
	}
	w.node = startNode(t, cluster)
	w.callback = w.forward(t)
	w.openTerminal(t)
	w.kubectl(t, "apply", "--server-side", "-f", "dist/install.yaml")
	w.write(t, "paths", secret+"\n")
	w.kubectl(t, "-n", operatorNamespace, "create", "secret", "generic", "fwupgrade-callback", "--from-file=paths")
	w.kubectl(t, "create", "namespace", fleet)
	w.awaitUp(t)
	return w
}

// openTerminal opens a terminal in a folder that has what the page expects on the machine of who reads it.
func (w *world) openTerminal(t *testing.T) {
	t.Helper()
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := local.Asset("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	etcd, err := etcdTools()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(w.dir, "bin")
	links := map[string]string{
		"bin/kubectl": kubectl, "bin/kubectl-fwupgrade": filepath.Join(root, "bin", "kubectl-fwupgrade"),
		"dist": filepath.Join(root, "dist"), "config": filepath.Join(root, "config"),
	}
	for _, tool := range []string{"etcdctl", "etcdutl"} {
		links["bin/"+tool] = filepath.Join(etcd, tool)
	}
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.terminal = page.Open(t, w.dir, "PATH="+bin+":"+os.Getenv("PATH"), "KUBECONFIG="+w.kubeconfig,
		"ETCDCTL_ENDPOINTS="+w.cluster.EtcdURL(), "ETCD_DATA="+w.cluster.EtcdDataDir(),
		"CALLBACK="+w.callback, "CALLBACK_URL="+w.url())
}

// etcdTools builds etcdctl and etcdutl, once, and returns their folder.
var etcdTools = sync.OnceValues(func() (string, error) {
	root, err := local.ModuleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "etcdctl")
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir+"/",
		"go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3")
	build.Dir = filepath.Join(root, "hack", "etcdctl")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build etcdctl: %w: %s", err, out)
	}
	return dir, nil
})

func (w *world) url() string {
	return "http://" + w.callback + local.CallbackPath + "/" + secret
}

// kubectl runs the real one as the administrator, in the terminal's folder.
func (w *world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(w.dir, "bin", "kubectl"), args...)
	cmd.Dir = w.dir
	cmd.Env = append(page.Environment(), "KUBECONFIG="+w.kubeconfig, "HOME="+w.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (w *world) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitUp waits until both Deployments are up, and the leader has made the ResultStore.
func (w *world) awaitUp(t *testing.T) {
	t.Helper()
	w.kubectl(t, "-n", operatorNamespace, "rollout", "status", "--timeout=3m", "deployment/fwupgrade-webhook",
		"deployment/fwupgrade-controllers")
	w.kubectl(t, "wait", "--for=jsonpath={.status.state}=Open", "resultstore/fwupgrade", "--timeout=1m")
}
