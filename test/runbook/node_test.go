// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"fwupgrade.io/operator/hack/local"
)

const (
	nodeName = "node-1"
	// nodePeriod is how often the node looks at its pods.
	nodePeriod = 300 * time.Millisecond
)

// node stands for the kubelet: it takes all pods of the operator's namespace and runs each as a process of its own, the
// real manager with the pod's arguments, secrets and service account. So what people do to Deployments, Secrets and
// pods has the effects that it has in a cluster.
type node struct {
	cluster *local.Cluster
	clients *kubernetes.Clientset
	dir     string

	mu   sync.Mutex // guards what follows
	pods map[types.UID]*pod
}

// startNode runs a node until the test ends.
func startNode(t *testing.T, cluster *local.Cluster) *node {
	t.Helper()
	clients, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	n := &node{cluster: cluster, clients: clients, dir: t.TempDir(), pods: map[types.UID]*pod{}}
	logs := httptest.NewTLSServer(http.HandlerFunc(n.serveLog))
	t.Cleanup(logs.Close)
	if err := n.register(t.Context(), logs.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			n.look(ctx)
			select {
			case <-ctx.Done():
			case <-time.After(nodePeriod):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, p := range n.pods {
			if t.Failed() {
				t.Logf("%s logged at last:\n%s", p.name, p.tail())
			}
			p.kill()
		}
	})
	return n
}

// register makes the Node, which says where the API server finds the logs of its pods.
func (n *node) register(ctx context.Context, address string) error {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	port, err := strconv.ParseInt(portText, 10, 32)
	if err != nil {
		return err
	}
	made, err := n.clients.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}},
		metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	made.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	_, err = n.clients.CoreV1().Nodes().UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}

// look compares the pods that there are with those that run. Where the API server does not answer nothing changes.
func (n *node) look(ctx context.Context) {
	list, err := n.clients.CoreV1().Pods(operatorNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	there := map[types.UID]bool{}
	for i := range list.Items {
		object := &list.Items[i]
		there[object.UID] = true
		p := n.pods[object.UID]
		if p == nil {
			p = &pod{node: n, name: object.Name}
			n.pods[object.UID] = p
		}
		p.sync(ctx, object)
	}
	for uid, p := range n.pods {
		if !there[uid] { // a namespace that went, or an etcd of the past
			p.kill()
			delete(n.pods, uid)
		}
	}
}

// callback returns where a ready webhook receives.
func (n *node) callback() (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods {
		if p.ready && strings.HasPrefix(p.name, "fwupgrade-webhook-") {
			return p.process.CallbackAddress, nil
		}
	}
	return "", errors.New("no webhook is ready")
}

// serveLog answers the API server's request for the log of a pod: /containerLogs/NAMESPACE/POD/CONTAINER.
func (n *node) serveLog(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(parts) != 4 || parts[0] != "containerLogs" {
		http.NotFound(w, r)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.pods {
		if p.name == parts[2] && p.dir != "" {
			if content, err := os.ReadFile(p.logFile()); err == nil {
				_, _ = w.Write(content)
			}
			return
		}
	}
	http.NotFound(w, r)
}
