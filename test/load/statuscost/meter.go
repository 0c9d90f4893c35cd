// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuscost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/load/usage"
)

// metricAllocated counts the bytes that a Go process ever allocated.
const metricAllocated = "go_memstats_alloc_bytes_total"

// meter reads what the API server has used.
type meter struct {
	pid    int
	client rest.Interface
	// own is how many bytes the API server allocates to answer one reading of its metrics.
	own float64
}

// cost is what the API server used for something, or for one write of a status.
type cost struct {
	// milliseconds are of CPU; kib is allocated memory, which does not depend on how fast the machine is today.
	milliseconds, kib float64
}

func newMeter(ctx context.Context, cluster *local.Cluster) (*meter, error) {
	pids, err := cluster.PIDs()
	if err != nil {
		return nil, err
	}
	clients, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	m := &meter{pid: pids["kube-apiserver"], client: clients.RESTClient()}
	first, err := m.allocated(ctx)
	if err != nil {
		return nil, err
	}
	second, err := m.allocated(ctx)
	m.own = second - first
	return m, err
}

// measure returns what a function cost that returns how often it did something, for each time.
func (m *meter) measure(ctx context.Context, do func() (times int, err error)) (cost, error) {
	allocatedBefore, err := m.allocated(ctx)
	if err != nil {
		return cost{}, err
	}
	before, err := usage.CPU(m.pid)
	if err != nil {
		return cost{}, err
	}
	times, err := do()
	if err != nil {
		return cost{}, err
	}
	after, err := usage.CPU(m.pid)
	if err != nil {
		return cost{}, err
	}
	allocatedAfter, err := m.allocated(ctx)
	if err != nil {
		return cost{}, err
	}
	if times == 0 {
		return cost{}, errors.New("nothing was written in a turn")
	}
	return cost{
		milliseconds: (after - before) * 1000 / float64(times),
		kib:          (allocatedAfter - allocatedBefore - m.own) / 1024 / float64(times),
	}, nil
}

// allocated returns how many bytes the API server ever allocated.
func (m *meter) allocated(ctx context.Context) (float64, error) {
	content, err := m.client.Get().AbsPath("/metrics").Do(ctx).Raw()
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), metricAllocated+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("the API server's metrics lack %s", metricAllocated)
}
