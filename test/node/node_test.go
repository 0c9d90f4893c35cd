// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

const nodeName = "node0"

// envDir names the folder of the node. hack/node/run.sh makes it, and the namespaces around this process.
const envDir = "FWUPGRADE_NODE_DIR"

// node is a cluster of one node.
type node struct {
	dir, root  string
	config     *rest.Config
	kubeconfig string
	client     client.WithWatch
	clientset  kubernetes.Interface
	processes  map[string]*local.Process
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// built is the path of a binary of the node.
func (n *node) built(name string) string { return filepath.Join(n.root, "bin", "node", name) }

// asset is the path of a binary of the control plane, which missing has looked for.
func (*node) asset(name string) string {
	path, _ := local.Asset(name)
	return path
}

// missing says in a sentence each what there has to be for a node, and is not.
func missing(root string) []string {
	var lacks []string
	if os.Getenv(envDir) == "" {
		return []string{"A node needs namespaces of its own: `make e2e-node` makes them."}
	}
	if os.Geteuid() != 0 {
		lacks = append(lacks, "A node needs root, for mounts and cgroups.")
	}
	if _, err := os.Stat(filepath.Join(cgroupMount, "memory")); err != nil && !unified() {
		lacks = append(lacks, "There are no cgroups with memory at "+cgroupMount+".")
	}
	for _, name := range []string{"containerd", "ctr", "runc", "nft", "conntrack", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			lacks = append(lacks, name+" is not installed.")
		}
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl", "kube-controller-manager"} {
		if _, err := local.Asset(name); err != nil {
			lacks = append(lacks, err.Error())
		}
	}
	for _, name := range []string{
		"node/kubelet", "node/kube-proxy", "node/kube-scheduler", "node/pause.tar", "node/image.tar", "tools/helm",
	} {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			lacks = append(lacks, "bin/"+name+" was not built: `make e2e-node` does it.")
		}
	}
	return lacks
}

// startNode makes the machine ready and starts everything, and returns when the node is Ready.
func startNode(ctx context.Context, root, dir string) (*node, error) {
	n := &node{dir: dir, root: root, processes: map[string]*local.Process{}}
	if err := os.MkdirAll(n.path("logs"), 0o755); err != nil {
		return nil, err
	}
	if err := errors.Join(prepareMachine(ctx, dir), prepareCgroups(), n.writeConfigs(), n.issueAll()); err != nil {
		return nil, fmt.Errorf("prepare the machine: %w", err)
	}
	for _, c := range n.apiServer() {
		if err := n.start(c); err != nil {
			return nil, err
		}
	}
	if err := n.startContainerd(ctx); err != nil {
		return nil, err
	}
	for _, archive := range []string{"pause.tar", "image.tar"} {
		if err := importImage(ctx, n.built(archive)); err != nil {
			return nil, err
		}
	}
	if err := n.await(ctx, "the API server", n.serves); err != nil {
		return nil, err
	}
	// What these do not find in time, they end for.
	for _, c := range append(n.controllers(), n.proxy(), n.kubelet()) {
		if err := n.start(c); err != nil {
			return nil, err
		}
	}
	return n, n.await(ctx, "the node", n.ready)
}

// issueAll makes the certificates and kubeconfigs, with the users that Kubernetes' own roles are for.
func (n *node) issueAll() error {
	ca, err := newAuthority(n.dir)
	if err != nil {
		return err
	}
	hosts := []string{nodeAddress, apiServerService, "127.0.0.1"}
	if _, _, err := ca.issue("kube-apiserver", "kube-apiserver", "", hosts...); err != nil {
		return err
	}
	for name, user := range map[string][2]string{
		"kube-controller-manager": {"system:kube-controller-manager"},
		"kube-scheduler":          {"system:kube-scheduler"},
		"kube-proxy":              {"system:kube-proxy"},
		"kubelet":                 {"system:node:" + nodeName, "system:nodes"},
	} {
		if _, err := ca.kubeconfig(name, user[0], user[1]); err != nil {
			return err
		}
	}
	n.kubeconfig = n.path("admin.kubeconfig")
	if n.config, err = ca.kubeconfig("admin", "admin", "system:masters"); err != nil {
		return err
	}
	n.clientset, err = kubernetes.NewForConfig(n.config)
	return err
}

// await waits for what the node needs some time for, and fails with the output of a process that ended.
func (n *node) await(ctx context.Context, what string, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		last := condition(ctx)
		if last == nil {
			return nil
		}
		for _, process := range n.processes {
			if err := process.Err(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// serves makes the client, for which the API server has to answer.
func (n *node) serves(ctx context.Context) error {
	_, err := n.clientset.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	if err != nil {
		return err
	}
	n.client, err = harness.NewClientFor(n.config)
	return err
}

func (n *node) ready(ctx context.Context) error {
	object := &corev1.Node{}
	if err := n.client.Get(ctx, types.NamespacedName{Name: nodeName}, object); err != nil {
		return err
	}
	for _, c := range object.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return nil
		} else if c.Type == corev1.NodeReady {
			return errors.New(c.Message)
		}
	}
	return errors.New("the kubelet has not said anything about the node")
}
