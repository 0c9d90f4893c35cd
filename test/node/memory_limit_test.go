// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	bodyBytes = 64 << 10
	sentBytes = 65_500
	// bodyHeld is how long the senders of unfinished bodies stay: longer than the webhook waits for them.
	bodyHeld = 12 * time.Second
)

// Somebody with a secret holds more connections than a webhook serves, each with an unfinished body of the greatest
// size. The webhook stays within its limit, and honest senders are answered.
func testUnfinishedBodies(t *testing.T, n *node) {
	pod := n.pods(t, "webhook")[0]
	before := pod.Status.ContainerStatuses[0].RestartCount
	plan := newPlan(t, "beside-attack", enough-3)
	fwu := n.declare(t, plan)
	l := startLoad(t, plan, n.callback(t), *rate/8)
	l.awaitAnswers(t, 100)
	for range 2 {
		held := n.holdBodies(t, pod.Status.PodIP, 1400)
		t.Logf("%d connections held an unfinished body", held)
	}
	l.awaitAnswers(t, 100)
	l.end()
	pid := process(t, n.pod(t, pod.Name))
	most, err := peak(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("memory of the attacked webhook: RSS at most %d MiB, its cgroup at most %d MiB",
		kibibytes(t, pid, "VmHWM")>>10, most>>20)
	if after := n.pod(t, pod.Name).Status.ContainerStatuses[0]; after.RestartCount != before {
		t.Errorf("the webhook was restarted: %+v", after.LastTerminationState.Terminated)
	}
	requireOnly200(t, l, "beside the attack")
	n.requireCounted(t, fwu, l, l.others())
}

// holdBodies opens so many connections from each of three addresses, sends a body but for its end, and holds them.
// Returns how many could be opened and sent to.
func (n *node) holdBodies(t *testing.T, podIP string, each int) int {
	t.Helper()
	head := fmt.Sprintf("POST %s/%s HTTP/1.1\r\nHost: callback\r\nContent-Length: %d\r\n\r\n", callbackPath, n.secret(t),
		bodyBytes)
	content := []byte(head + strings.Repeat("x", sentBytes))
	var group sync.WaitGroup
	var mu sync.Mutex
	held := 0
	release := make(chan struct{})
	time.AfterFunc(bodyHeld, func() { close(release) })
	for _, source := range attackers() {
		dialer := net.Dialer{Timeout: bodyHeld, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		for range each {
			group.Go(func() {
				conn, err := dialer.Dial("tcp", net.JoinHostPort(podIP, "8443"))
				if err != nil {
					return // beyond what the webhook serves
				}
				defer func() { _ = conn.Close() }()
				_ = conn.SetWriteDeadline(time.Now().Add(bodyHeld))
				if _, err := conn.Write(content); err != nil {
					return
				}
				mu.Lock()
				held++
				mu.Unlock()
				<-release
			})
		}
	}
	group.Wait()
	return held
}

// A webhook with far too little memory is killed by the kernel: what it had is lost, and nothing that it answered.
func testOutOfMemory(t *testing.T, n *node) {
	small := n.addSmallWebhook(t)
	plan := newPlan(t, "out-of-memory", enough-4)
	fwu := n.declare(t, plan)
	l := startLoad(t, plan, n.callback(t), *rate/4)
	l.awaitAnswers(t, 500)
	n.holdBodies(t, small.Status.PodIP, 1000)
	eventually(t, func() string {
		again := n.pod(t, small.Name).Status.ContainerStatuses[0]
		ended := again.LastTerminationState.Terminated
		if ended == nil {
			ended = again.State.Terminated
		}
		if ended == nil || ended.Reason != "OOMKilled" {
			return fmt.Sprintf("it was not killed for its memory: %+v", ended)
		}
		return ""
	})
	n.awaitReady(t, small.Name, true)
	l.awaitAnswers(t, 500)
	l.end()
	if strange := l.others() - l.count("connection broken") - l.count("not connected"); strange > 0 {
		t.Errorf("a webhook answered otherwise than 200: %s", l)
	}
	n.requireCounted(t, fwu, l, l.others())
	t.Log(l)
	n.kubectl(t, "-n", operatorNamespace, "delete", "deployment", "small", "--wait=true")
	n.awaitGone(t, small.Name)
	n.awaitEndpoints(t, 2)
}

// addSmallWebhook adds a copy of the Deployment, behind the same Service, that may use little memory.
func (n *node) addSmallWebhook(t *testing.T) *corev1.Pod {
	t.Helper()
	original := &appsv1.Deployment{}
	key := types.NamespacedName{Namespace: operatorNamespace, Name: webhookName}
	if err := n.client.Get(t.Context(), key, original); err != nil {
		t.Fatal(err)
	}
	small := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "small"},
		Spec:       *original.Spec.DeepCopy(),
	}
	small.Spec.Replicas = new(int32(1))
	small.Spec.Selector.MatchLabels["size"] = "small"
	small.Spec.Template.Labels["size"] = "small"
	limit := resource.MustParse("64Mi")
	small.Spec.Template.Spec.Containers[0].Resources = corev1.ResourceRequirements{
		Limits: corev1.ResourceList{corev1.ResourceMemory: limit},
	}
	if err := n.client.Create(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	n.awaitEndpoints(t, 3)
	for _, pod := range n.pods(t, "webhook") {
		if pod.Labels["size"] == "small" {
			return &pod
		}
	}
	t.Fatal("the small webhook has no pod")
	return nil
}
