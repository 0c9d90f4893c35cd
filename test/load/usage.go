// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

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

// usage is what was used up to a moment.
type usage struct {
	// cpu is the seconds of CPU, user and system, of each process.
	cpu map[string]float64
	// putBytes is what was written to etcd.
	putBytes float64
}

// readUsage reads what the processes and etcd have used so far.
func readUsage(ctx context.Context, pids map[string]int, etcdMetricsURL string) (usage, error) {
	u := usage{cpu: map[string]float64{}}
	for name, pid := range pids {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return usage{}, fmt.Errorf("read the CPU time of %s: %w", name, err)
		}
		if u.cpu[name], err = cpuSeconds(string(content)); err != nil {
			return usage{}, fmt.Errorf("read the CPU time of %s: %w", name, err)
		}
	}
	var err error
	u.putBytes, err = readMetric(ctx, etcdMetricsURL, metricPutBytes)
	return u, err
}

// since returns what was used after an earlier moment.
func (u usage) since(earlier usage) usage {
	d := usage{cpu: map[string]float64{}, putBytes: u.putBytes - earlier.putBytes}
	for name, seconds := range u.cpu {
		d.cpu[name] = seconds - earlier.cpu[name]
	}
	return d
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
