// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/load/usage"
)

const (
	// batch is how many results a slice of the webhook has in the restart part.
	batch = 100
	// sliceOverhead is what a slice has beside its tables, as compaction reckons.
	sliceOverhead = 4 << 10
	// seedWorkers is how many slices are created at a time.
	seedWorkers = 8
	// restTimeout is how long compaction may take to come to rest.
	restTimeout = 5 * time.Minute
)

// restart is what was measured of starts with many results stored.
type restart struct {
	// Tasks is of how many tasks results are stored, Stored how many, Mixed how many of them in slices that are not sorted
	// yet.
	Tasks  int `json:"tasks"`
	Stored int `json:"stored"`
	Mixed  int `json:"mixed"`
	// First is a start with a status that knows nothing yet; Again one after the process was killed.
	First start `json:"first"`
	Again start `json:"again"`
	// Slices is how many there are after compaction, SliceBytes what they take as JSON, which is how etcd holds them.
	Slices     int   `json:"slices"`
	SliceBytes int64 `json:"sliceBytes"`
}

// start is one start of the leader.
type start struct {
	// Seconds is the time from the start of the process until every status was right.
	Seconds float64 `json:"seconds"`
	// CPU is the seconds of CPU by process until then.
	CPU map[string]float64 `json:"cpu"`
	// RSS is the most memory the leader had until then, in bytes; APIServerRSS is that of the API server.
	RSS          int64 `json:"rss"`
	APIServerRSS int64 `json:"apiServerRSS"`
}

func (r *restart) writeTo(w io.Writer) {
	fmt.Fprintf(w, "\nRestart with %d results of %d tasks, %d of them not sorted yet:\n\n", r.Stored, r.Tasks, r.Mixed)
	fmt.Fprintln(w, "\tstatuses right after, s\tCPU s: leader\tapiserver\tetcd\tmost memory, MiB: leader\tapiserver\t")
	for _, s := range []struct {
		title string
		start
	}{{"first start", r.First}, {"after kill -9", r.Again}} {
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%d\t\n", s.title, s.Seconds, s.CPU[processControllers],
			s.CPU[processAPIServer],
			s.CPU[processEtcd], s.RSS>>20, s.APIServerRSS>>20)
	}
	fmt.Fprintf(w, "\nAfter compaction %d slices of %d bytes: %.1f bytes a result.\n", r.Slices, r.SliceBytes,
		float64(r.SliceBytes)/float64(r.Stored))
}

// measureRestart stores results as compaction and webhook leave them, starts the leader, kills it and starts it again.
func (b *bench) measureRestart(ctx context.Context, tasks, sorted, mixed int) (_ *restart, err error) {
	t := b.newTurn(fmt.Sprintf("scale-restart-%d", tasks))
	// One more, for the second start.
	if t.plan, err = platform.NewPlan(platform.PlanOptions{Devices: sorted + mixed + 1, Tasks: tasks,
		Fail: failing}); err != nil {
		return nil, err
	}
	if err := b.cluster.EnsureNamespace(ctx, t.namespace); err != nil {
		return nil, err
	}
	results, err := pushedResults(t.plan)
	if err != nil {
		return nil, err
	}
	for i := range results {
		results[i].ReceivedAt = time.Now().UnixMicro()
	}
	last := results[sorted+mixed:]
	if err := b.seed(ctx, t, results[:sorted], results[sorted:sorted+mixed]); err != nil {
		return nil, err
	}
	fmt.Fprintf(b.log, "restart: stored %d results\n", sorted+mixed)

	r := &restart{Tasks: tasks, Stored: sorted + mixed + 1, Mixed: mixed}
	side := &operatorSide{}
	defer func() { err = errors.Join(err, side.stop(context.WithoutCancel(ctx), t)) }()
	if err := side.prepare(ctx, t); err != nil {
		return nil, err
	}
	if r.First, err = b.startLeader(ctx, t, side, results[:sorted+mixed]); err != nil {
		return nil, err
	}
	fmt.Fprintf(b.log, "restart: the first start took %.1f s\n", r.First.Seconds)
	if err := side.controllers.Kill(); err != nil {
		return nil, err
	}
	// What is stored meanwhile shows that the next leader has read it all, as the status is right already.
	if err := b.createSlice(ctx, t, result.Pack(last), nil); err != nil {
		return nil, err
	}
	if r.Again, err = b.startLeader(ctx, t, side, results); err != nil {
		return nil, err
	}
	r.Slices, r.SliceBytes, err = b.awaitRest(ctx, t)
	return r, err
}

// startLeader starts the leader and returns when the statuses count the results.
func (b *bench) startLeader(ctx context.Context, t *turn, side *operatorSide, results []result.Result) (start, error) {
	counted := tally.New()
	counted.Add(results)
	pids, err := b.cluster.PIDs()
	if err != nil {
		return start{}, err
	}
	before, err := usage.Read(ctx, pids, b.cluster.EtcdMetricsURL())
	if err != nil {
		return start{}, err
	}
	began := time.Now()
	if err := side.startControllers(ctx, t); err != nil {
		return start{}, err
	}
	pid := side.controllers.PID()
	err = side.statuses.await(ctx, func(fwu *v1alpha1.FirmwareUpgrade) string {
		want := counted.Summary(result.Task{AppID: fwu.Spec.AppID, OperationID: fwu.Spec.OperationID}, tally.Query{})
		if got := fwu.Status.Devices; got.Succeeded != want.Succeeded || got.Failed != want.Failed {
			return fmt.Sprintf("counts %d succeeded, %d failed, not %d and %d", got.Succeeded, got.Failed, want.Succeeded,
				want.Failed)
		}
		return ""
	})
	if err != nil {
		return start{}, err
	}
	s := start{Seconds: time.Since(began).Seconds()}
	// The leader has used nothing before.
	after, err := usage.Read(ctx, map[string]int{
		processControllers: pid, processAPIServer: pids[processAPIServer], processEtcd: pids[processEtcd],
	}, b.cluster.EtcdMetricsURL())
	if err != nil {
		return start{}, err
	}
	s.CPU = after.Since(before).CPU
	if s.RSS, err = mostMemory(pid); err != nil {
		return start{}, err
	}
	s.APIServerRSS, err = mostMemory(pids[processAPIServer])
	return s, err
}

// seed stores results: some as compaction leaves them, the others as the webhook does.
func (b *bench) seed(ctx context.Context, t *turn, sorted, mixed []result.Result) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(seedWorkers)
	for _, of := range result.Merge(sorted) {
		labels := map[string]string{storage.LabelTask: of.Task.Hash()}
		for _, tables := range result.Split(of.Results, storage.MaxSliceBytes-sliceOverhead) {
			group.Go(func() error { return b.createSlice(ctx, t, tables, labels) })
		}
	}
	for from := 0; from < len(mixed); from += batch {
		group.Go(func() error {
			return b.createSlice(ctx, t, result.Pack(mixed[from:min(from+batch, len(mixed))]), nil)
		})
	}
	return group.Wait()
}

func (b *bench) createSlice(ctx context.Context, t *turn, tables []storage.ResultTable,
	labels map[string]string) error {
	err := b.api.Create(ctx, &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, GenerateName: "seed-", Labels: labels},
		Tables:     tables,
	})
	if err != nil {
		return fmt.Errorf("store a slice: %w", err)
	}
	return nil
}

// awaitRest returns how many slices there are, and their bytes, once compaction has left them alone for a while.
func (b *bench) awaitRest(ctx context.Context, t *turn) (count int, bytes int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	const same = 3 // so many looks in a row, farther apart than those of compaction
	for unchanged := 0; unchanged < same; {
		if err := waitUntil(ctx, time.Now().Add(6*time.Second)); err != nil {
			return 0, 0, fmt.Errorf("wait for the end of compaction: %w", err)
		}
		before := count
		if count, bytes, err = b.slices(ctx, t); err != nil {
			return 0, 0, err
		}
		if unchanged++; count != before {
			unchanged = 0
		}
	}
	return count, bytes, nil
}

// slices returns how many slices there are and what they take as JSON.
func (b *bench) slices(ctx context.Context, t *turn) (count int, bytes int64, err error) {
	list := &storage.ResultSliceList{}
	err = eachPage(ctx, t, list, func() error {
		for i := range list.Items {
			content, err := json.Marshal(&list.Items[i])
			if err != nil {
				return fmt.Errorf("encode a slice: %w", err)
			}
			count, bytes = count+1, bytes+int64(len(content))
		}
		return nil
	})
	return count, bytes, err
}

// mostMemory returns the most resident memory that a process has had, in bytes.
func mostMemory(pid int) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the memory of a process: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("read the memory of a process: it is not there")
}
