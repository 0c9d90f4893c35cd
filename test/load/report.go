// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// report is everything that was measured.
type report struct {
	Machine machine      `json:"machine"`
	Options reportedWith `json:"options"`
	Sides   []sideReport `json:"sides"`
}

// machine is where it was measured.
type machine struct {
	CPUs      int    `json:"cpus"`
	Platform  string `json:"platform"`
	GoVersion string `json:"goVersion"`
	// LoadBefore and LoadAfter are the load averages of a minute. Before the run it should be next to nothing.
	LoadBefore string `json:"loadBefore"`
	LoadAfter  string `json:"loadAfter"`
}

type reportedWith struct {
	Connections int      `json:"connections"`
	Rounds      int      `json:"rounds"`
	Warmup      int      `json:"warmup"`
	Fsync       bool     `json:"fsync"`
	ManagerArgs []string `json:"managerArgs,omitempty"`
}

// sideReport is what was measured of one side.
type sideReport struct {
	Key     string `json:"key"`
	Title   string `json:"title"`
	Results int    `json:"results"`
	Tasks   int    `json:"tasks"`
	// Rounds are in the order in which they were measured.
	Rounds []measurement `json:"rounds"`
}

// measurement is what was measured in one round. What the warm-up used is not in it.
type measurement struct {
	// PerSecond is the results that were answered 200, by the time from the first push to the last answer.
	PerSecond float64 `json:"resultsPerSecond"`
	// P50, P99 and Max are of the time from a push to its answer, in milliseconds.
	P50 float64 `json:"p50Ms"`
	P99 float64 `json:"p99Ms"`
	Max float64 `json:"maxMs"`
	// BehindSeconds is how long after the last answer every status was right.
	BehindSeconds float64 `json:"statusBehindSeconds"`
	// CPU is the seconds of CPU for 1,000 results, by process, until every status was right.
	CPU map[string]float64 `json:"cpuSecondsPer1000"`
	// CPUAnswered is the same until the last answer.
	CPUAnswered map[string]float64 `json:"cpuSecondsPer1000UntilAnswered"`
	// EtcdBytes is what was written to etcd for a result until every status was right: the results themselves, what
	// compaction wrote anew, statuses and Events.
	EtcdBytes float64 `json:"etcdBytesPerResult"`
	// EtcdBytesAnswered is the same until the last answer.
	EtcdBytesAnswered float64 `json:"etcdBytesPerResultUntilAnswered"`
}

func newReport(o *options, sides []contender) *report {
	r := &report{
		Machine: machine{
			CPUs: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, GoVersion: runtime.Version(),
			LoadBefore: loadAverage(),
		},
		Options: reportedWith{Connections: o.connections, Rounds: o.rounds, Warmup: o.warmup, Fsync: o.fsync, ManagerArgs: o.managerArgs},
	}
	for _, c := range sides {
		r.Sides = append(r.Sides, sideReport{Key: c.key, Title: c.title, Results: c.results, Tasks: c.tasks})
	}
	return r
}

func newMeasurement(done *pushed, behind time.Duration, answered, settled usage) *measurement {
	count := float64(len(done.latencies))
	per1000 := func(u usage) map[string]float64 {
		all := map[string]float64{}
		for name, seconds := range u.cpu {
			all[name] = seconds / count * 1000
		}
		return all
	}
	sorted := slices.Sorted(slices.Values(done.latencies))
	return &measurement{
		PerSecond: count / done.took.Seconds(),
		P50:       milliseconds(quantile(sorted, 0.50)), P99: milliseconds(quantile(sorted, 0.99)),
		Max:           milliseconds(quantile(sorted, 1)),
		BehindSeconds: behind.Seconds(),
		CPU:           per1000(settled), CPUAnswered: per1000(answered),
		EtcdBytes: settled.putBytes / count, EtcdBytesAnswered: answered.putBytes / count,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// quantile returns the smallest value that the fraction q of all do not exceed; the zero value where there is none.
func quantile[T any](sorted []T, q float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	return sorted[max(0, min(len(sorted), int(q*float64(len(sorted))+0.999999))-1)]
}

// median returns the middle value of a figure over the rounds, the mean of the two middle ones where there are two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medianOf returns the median of a figure over the rounds.
func (s *sideReport) medianOf(figure func(measurement) float64) float64 {
	return median(s.figures(figure))
}

func (s *sideReport) figures(figure func(measurement) float64) []float64 {
	var values []float64
	for _, m := range s.Rounds {
		values = append(values, figure(m))
	}
	return values
}

func perSecond(m measurement) float64 { return m.PerSecond }

// ratio returns the median over the rounds of how many times as fast a is as b; each round is compared with itself, as
// what disturbed one side disturbed the other. ok is false where one was not measured.
func (r *report) ratio(a, b string) (ratio float64, ok bool) {
	sideA, sideB := r.find(a), r.find(b)
	if sideA == nil || sideB == nil {
		return 0, false
	}
	var ratios []float64
	for i := range min(len(sideA.Rounds), len(sideB.Rounds)) {
		ratios = append(ratios, sideA.Rounds[i].PerSecond/sideB.Rounds[i].PerSecond)
	}
	return median(ratios), len(ratios) > 0
}

func (r *report) find(key string) *sideReport {
	i := slices.IndexFunc(r.Sides, func(s sideReport) bool { return s.Key == key })
	if i < 0 {
		return nil
	}
	return &r.Sides[i]
}

// writeFile writes the report as JSON; without a path it does nothing.
func (r *report) writeFile(path string) error {
	if path == "" {
		return nil
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
