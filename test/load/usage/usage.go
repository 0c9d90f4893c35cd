// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package usage reads what processes have used of the processors, and what was written to etcd.
package usage

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is the unit of the CPU times in /proc, on every Linux.
const ticksPerSecond = 100

// metricPutBytes counts the bytes, keys included, that were ever put into etcd, whether compacted since or not.
const metricPutBytes = "etcd_debugging_mvcc_total_put_size_in_bytes"

// Usage is what was used up to a moment.
type Usage struct {
	// CPU is the seconds of CPU, user and system, of each process.
	CPU map[string]float64
	// PutBytes is what was written to etcd.
	PutBytes float64
}

// Read reads what the processes and etcd have used so far.
func Read(ctx context.Context, pids map[string]int, etcdMetricsURL string) (Usage, error) {
	u := Usage{CPU: map[string]float64{}}
	for name, pid := range pids {
		var err error
		if u.CPU[name], err = CPU(pid); err != nil {
			return Usage{}, fmt.Errorf("read the CPU time of %s: %w", name, err)
		}
	}
	var err error
	u.PutBytes, err = readMetric(ctx, etcdMetricsURL, metricPutBytes)
	return u, err
}

// Since returns what was used after an earlier moment.
func (u Usage) Since(earlier Usage) Usage {
	d := Usage{CPU: map[string]float64{}, PutBytes: u.PutBytes - earlier.PutBytes}
	for name, seconds := range u.CPU {
		d.CPU[name] = seconds - earlier.CPU[name]
	}
	return d
}

// CPU returns the seconds of CPU, user and system, that a process has used so far.
func CPU(pid int) (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	return cpuSeconds(string(content))
}

// cpuSeconds reads user and system time from a line of /proc/<pid>/stat.
func cpuSeconds(stat string) (float64, error) {
	// The second field is the name in brackets, which may itself hold blanks and brackets.
	const utime, stime = 11, 12 // counted after the name
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= stime {
		return 0, fmt.Errorf("%d fields are too few", len(fields))
	}
	user, err := strconv.ParseUint(fields[utime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("user time: %w", err)
	}
	system, err := strconv.ParseUint(fields[stime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("system time: %w", err)
	}
	return float64(user+system) / ticksPerSecond, nil
}

// readMetric returns the value of a metric without labels.
func readMetric(ctx context.Context, url, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("read %s: it is not there", name)
}
