// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"fwupgrade.io/operator/hack/local"
)

// kubeletConfig has as little of the machine's as possible; %s is the node's folder.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /` + cgroupName + `
oomScoreAdj: 0
failSwapOn: false
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[1]s/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: %[1]s/resolv.conf
volumePluginDir: %[1]s/plugins
evictionHard: {memory.available: 50Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
`

// proxyConfig leaves the machine's connection tracking as it is.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %[1]s/kube-proxy.kubeconfig}
clusterCIDR: ` + podNet + `
hostnameOverride: ` + nodeName + `
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0}
`

// containerdConfig: restrict_oom_score_adj is for machines on which root may not lower scores.
const containerdConfig = `version = 2
root = "%[1]s/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:e2e"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%[1]s/cni"
`

const networkConfig = `{
  "cniVersion": "1.0.0", "name": "pods",
  "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + podNet + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

func (n *node) writeConfigs() error {
	for name, content := range map[string]string{
		"kubelet.yaml":      fmt.Sprintf(kubeletConfig, n.dir),
		"kube-proxy.yaml":   fmt.Sprintf(proxyConfig, n.dir),
		"containerd.toml":   fmt.Sprintf(containerdConfig, n.dir),
		"cni/pods.conflist": networkConfig,
		"resolv.conf":       "",
	} {
		path := filepath.Join(n.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// command is a process of the node, with its binary and arguments.
type command struct {
	name, binary string
	args         []string
}

func (n *node) apiServer() []command {
	return []command{
		{"etcd", n.asset("etcd"), []string{
			"--data-dir=" + n.path("etcd"),
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
		}},
		{"kube-apiserver", n.asset("kube-apiserver"), []string{
			"--etcd-servers=http://127.0.0.1:2379", "--advertise-address=" + nodeAddress, "--secure-port=6443",
			"--tls-cert-file=" + n.path("kube-apiserver.crt"), "--tls-private-key-file=" + n.path("kube-apiserver.key"),
			"--client-ca-file=" + n.path("ca.crt"),
			"--kubelet-preferred-address-types=InternalIP",
			"--kubelet-client-certificate=" + n.path("admin.crt"), "--kubelet-client-key=" + n.path("admin.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + n.path("accounts.key"),
			"--service-account-signing-key-file=" + n.path("accounts.key"),
			"--service-cluster-ip-range=" + serviceNet,
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		}},
	}
}

func (n *node) controllers() []command {
	return []command{
		{"kube-controller-manager", n.asset("kube-controller-manager"), []string{
			"--kubeconfig=" + n.path("kube-controller-manager.kubeconfig"), "--leader-elect=false",
			"--use-service-account-credentials", "--service-account-private-key-file=" + n.path("accounts.key"),
			"--root-ca-file=" + n.path("ca.crt"), "--secure-port=0",
		}},
		{"kube-scheduler", n.built("kube-scheduler"), []string{
			"--kubeconfig=" + n.path("kube-scheduler.kubeconfig"), "--leader-elect=false", "--secure-port=0",
		}},
	}
}

func (n *node) containerd() command {
	return command{"containerd", "containerd", []string{"--config=" + n.path("containerd.toml")}}
}

func (n *node) kubelet() command {
	return command{"kubelet", n.built("kubelet"), []string{
		"--config=" + n.path("kubelet.yaml"), "--kubeconfig=" + n.path("kubelet.kubeconfig"),
		"--root-dir=" + n.path("kubelet"), "--cert-dir=" + n.path("kubelet/pki"),
		"--hostname-override=" + nodeName, "--node-ip=" + nodeAddress,
	}}
}

func (n *node) proxy() command {
	return command{"kube-proxy", n.built("kube-proxy"), []string{"--config=" + n.path("kube-proxy.yaml")}}
}

// start starts a process of the node. It is ended with the process namespace, or by stop.
func (n *node) start(c command) error {
	path := n.path("logs/" + c.name + ".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // open as long as this process runs
	if err != nil {
		return err
	}
	process, err := local.StartProcess(c.name, c.binary, c.args, nil, log, nil)
	if err != nil {
		return err
	}
	n.processes[c.name] = process
	return nil
}

// startContainerd returns when it answers: the kubelet would not wait for it.
func (n *node) startContainerd(ctx context.Context) error {
	if err := n.start(n.containerd()); err != nil {
		return err
	}
	return n.await(ctx, "containerd", func(ctx context.Context) error {
		_, err := run(ctx, "ctr", "version")
		return err
	})
}

// importImage gives containerd an image, in the words of docs/install.md.
func importImage(ctx context.Context, archive string) error {
	_, err := run(ctx, "ctr", "--namespace", "k8s.io", "images", "import", archive)
	return err
}
