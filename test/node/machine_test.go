// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Addresses of the node's own network namespace.
const (
	nodeAddress = "10.201.0.1"
	serviceNet  = "10.96.0.0/16"
	podNet      = "10.202.0.0/24"
	// apiServerService is the address of the Service "kubernetes": the first of serviceNet.
	apiServerService = "10.96.0.1"
	apiServerURL     = "https://" + nodeAddress + ":6443"
)

// attackers are further addresses of the node, for load that is not to share a source with honest senders.
func attackers() []string { return []string{"10.201.0.11", "10.201.0.12", "10.201.0.13"} }

// kernelDefaults are what the kubelet wants of the kernel. It would set them for the whole machine.
func kernelDefaults() map[string]string {
	return map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	}
}

// prepareMachine makes the network of the node and hides what belongs to the machine behind mounts: both namespaces
// end with this process.
func prepareMachine(ctx context.Context, dir string) error {
	steps := []string{
		"mount --make-rshared /",
		"mount -t tmpfs tmpfs /run",
		"mount -t tmpfs tmpfs /var/log",
		"mkdir -p /run/netns /run/lock /var/lib/cni /var/lib/kubelet",
		"mount -t tmpfs tmpfs /var/lib/cni",
		"mount -t tmpfs tmpfs /var/lib/kubelet",
		"ip link set lo up",
		"ip link add node0 type bridge",
		"ip addr add " + nodeAddress + "/24 dev node0",
		"ip link set node0 up",
		"ip route add default dev node0",
	}
	for _, address := range attackers() {
		steps = append(steps, "ip addr add "+address+"/24 dev node0")
	}
	for _, step := range steps {
		if _, err := run(ctx, strings.Fields(step)...); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1\n"), 0o600); err != nil { // of this namespace
		return err
	}
	for name, value := range kernelDefaults() {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			return err
		}
		if _, err := run(ctx, "mount", "--bind", path, "/proc/sys/"+name); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command to its end, and returns what it printed.
func run(ctx context.Context, command ...string) (string, error) {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return string(out), nil
}
