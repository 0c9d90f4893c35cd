// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cgroupName is the cgroup of the node, in each hierarchy. hack/node/run.sh removes it.
const cgroupName = "fwnode"

const cgroupMount = "/sys/fs/cgroup"

// unified tells whether the machine has version 2 of cgroups alone.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroupMount, "cgroup.controllers"))
	return err == nil
}

// prepareCgroups makes the node's cgroup. Of version 1, cpuset has to be told the processors before anything can be in
// it.
func prepareCgroups() error {
	if unified() {
		return os.MkdirAll(filepath.Join(cgroupMount, cgroupName), 0o755)
	}
	hierarchies, err := os.ReadDir(cgroupMount)
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		above := filepath.Join(cgroupMount, hierarchy.Name())
		if info, err := os.Stat(above); err != nil || !info.IsDir() || hierarchy.Name() == "unified" {
			continue
		}
		if err := os.MkdirAll(filepath.Join(above, cgroupName), 0o755); err != nil {
			return err
		}
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(above, name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			} else if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(above, cgroupName, name), value, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// memoryCgroup is the folder of the cgroup that limits the memory of a process.
func memoryCgroup(pid int) (string, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[1] == "memory":
			return filepath.Join(cgroupMount, "memory", parts[2]), nil
		case parts[1] == "" && unified():
			return filepath.Join(cgroupMount, parts[2]), nil
		}
	}
	return "", fmt.Errorf("process %d is in no cgroup with memory", pid)
}

// peak is the most memory that the cgroup of a process ever had, what the kernel keeps of files included, in bytes.
func peak(pid int) (int64, error) {
	cgroup, err := memoryCgroup(pid)
	if err != nil {
		return 0, err
	}
	name := "memory.max_usage_in_bytes"
	if unified() {
		name = "memory.peak"
	}
	content, err := os.ReadFile(filepath.Join(cgroup, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
}

// processesOfPods are the ids of all processes in the pods' cgroup.
func processesOfPods() ([]int, error) {
	top := filepath.Join(cgroupMount, "memory", cgroupName)
	if unified() {
		top = filepath.Join(cgroupMount, cgroupName)
	}
	var pids []int
	err := filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // a cgroup that went meanwhile
		}
		if err != nil || entry.Name() != "cgroup.procs" {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
			return nil
		}
		for pid := range strings.FieldsSeq(string(content)) {
			if n, err := strconv.Atoi(pid); err == nil {
				pids = append(pids, n)
			}
		}
		return err
	})
	return pids, err
}
