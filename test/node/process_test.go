// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// process is the id of the one process of a pod's container.
func process(t *testing.T, pod *corev1.Pod) int {
	t.Helper()
	if len(pod.Status.ContainerStatuses) != 1 {
		t.Fatalf("pod %s has %d containers", pod.Name, len(pod.Status.ContainerStatuses))
	}
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	top := filepath.Join(cgroupMount, "memory", cgroupName)
	if unified() {
		top = filepath.Join(cgroupMount, cgroupName)
	}
	files, err := filepath.Glob(filepath.Join(top, "kubepods", "*", "pod"+string(pod.UID), id, "cgroup.procs"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cgroups of pod %s, container %s: %v %v", pod.Name, id, files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatalf("pod %s does not have one process: %q", pod.Name, content)
	}
	return pid
}

// status is a line of /proc/<pid>/status.
func status(t *testing.T, pid int, name string) string {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	t.Fatalf("process %d has no %s", pid, name)
	return ""
}

// kibibytes is a line of /proc/<pid>/status that is an amount of memory.
func kibibytes(t *testing.T, pid int, name string) int64 {
	t.Helper()
	kib, err := strconv.ParseInt(strings.TrimSuffix(status(t, pid, name), " kB"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

// requireLeastPower looks at a process itself: what a pod asks for, the runtime may not have done.
func requireLeastPower(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	pid := process(t, pod)
	for name, want := range map[string]string{
		"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
		"NoNewPrivs": "1",
		"Seccomp":    "2", // filtered
	} {
		if got := status(t, pid, name); got != want {
			t.Errorf("%s: %s is %q, not %q", pod.Name, name, got, want)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if fields[1] == "/" && !strings.HasPrefix(fields[3], "ro") {
			t.Errorf("%s: its root can be written to: %s", pod.Name, line)
		}
	}
}
