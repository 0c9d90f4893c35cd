// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A killed webhook costs the pushes that it had, and nothing that was answered 200.
func testKilledWebhook(t *testing.T, n *node) {
	plan := newPlan(t, "killed", enough-1)
	fwu := n.declare(t, plan)
	l := startLoad(t, plan, n.callback(t), *rate)
	l.awaitAnswers(t, 500)
	pod := n.pods(t, "webhook")[0]
	restarts := pod.Status.ContainerStatuses[0].RestartCount
	if err := syscall.Kill(process(t, &pod), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		again := n.pod(t, pod.Name)
		if again.Status.ContainerStatuses[0].RestartCount == restarts || !isReady(again) {
			return pod.Name + " is not back"
		}
		return ""
	})
	l.awaitAnswers(t, 500)
	l.end()
	if broken := l.count("connection broken"); broken > connections {
		t.Errorf("more pushes were broken off than were under way: %s", l)
	}
	if strange := l.others() - l.count("connection broken") - l.count("not connected"); strange > 0 {
		t.Errorf("a webhook answered otherwise than 200: %s", l)
	}
	n.requireCounted(t, fwu, l, l.others())
	t.Log(l)
}

// The node goes down as by a power cut of its own: kubelet and containerd are killed, and everything in pods.
func testNodeRestart(t *testing.T, n *node) {
	plan := newPlan(t, "restarted", enough-2)
	fwu := n.declare(t, plan)
	l := startLoad(t, plan, n.callback(t), *rate)
	l.awaitAnswers(t, 500)
	for _, name := range []string{"kubelet", "containerd"} {
		if err := n.processes[name].Kill(); err != nil {
			t.Fatal(err)
		}
		delete(n.processes, name)
	}
	killPods(t)
	l.end()
	if err := n.startContainerd(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.start(n.kubelet()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		for _, component := range []string{"webhook", "controllers"} {
			for _, pod := range n.pods(t, component) {
				if pod.Status.ContainerStatuses[0].RestartCount == 0 || !isReady(&pod) {
					return pod.Name + " is not back"
				}
			}
		}
		return ""
	})
	n.awaitRollout(t)
	n.requireCounted(t, fwu, l, l.others())
	t.Log(l)
	n.awaitEndpoints(t, 2)
	n.pushAndCount(t, "after-restart", 500)
}

// killPods kills what is in pods, and what containerd has beside each: all of it is in this process namespace.
func killPods(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		name, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "comm"))
		if err == nil && strings.HasPrefix(string(name), "containerd-shim") {
			pids = append(pids, pid)
		}
	}
	inPods, err := processesOfPods()
	if err != nil {
		t.Fatal(err)
	}
	if len(inPods) < 8 {
		t.Errorf("there were %d processes in 4 pods", len(inPods))
	}
	for _, pid := range append(pids, inPods...) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended with another one
	}
}
