// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"fwupgrade.io/operator/test/load/usage"
)

// measurement is what was measured in one turn. What the warm-up used is not in it.
type measurement struct {
	// PerSecond is the results that were answered 200, by the time from the first push to the last such answer.
	PerSecond float64 `json:"resultsPerSecond"`
	// P50, P99 and Max are of the answers 200, in milliseconds: the time to the answer from when the push was due, which
	// in a closed loop is when it left.
	P50 float64 `json:"p50Ms"`
	P99 float64 `json:"p99Ms"`
	Max float64 `json:"maxMs"`
	// Refused is how many pushes left and were not answered 200, Unsent how many never left, as the others took so long.
	Refused int `json:"refused"`
	Unsent  int `json:"unsent"`
	// Late is how many pushes left more than 10 ms after they were due, MaxLate how much after at most, in milliseconds.
	Late    int     `json:"late"`
	MaxLate float64 `json:"maxLateMs"`
	// BehindMaxSeconds is how far behind a status ever was: the greatest age of a result that was answered 200 and not
	// yet counted in the status of its task, over all tasks and from the first push of the warm-up on.
	BehindMaxSeconds float64 `json:"statusBehindMaxSeconds"`
	// BehindSeconds is how long after the last answer every status was right.
	BehindSeconds float64 `json:"statusBehindSeconds"`
	// News is how far behind what somebody waits for was; nil for sides without statuses.
	News *newsFigures `json:"news,omitempty"`
	// CPU is the seconds of CPU for 1,000 results, by process, until every status was right. The receiver is, for the
	// operator, its webhook.
	CPU map[string]float64 `json:"cpuSecondsPer1000"`
	// CPUAnswered is the same until the last answer.
	CPUAnswered map[string]float64 `json:"cpuSecondsPer1000UntilAnswered"`
	// EtcdBytes is what was written to etcd for a result until every status was right: the results themselves, what
	// compaction wrote anew, statuses and Events.
	EtcdBytes float64 `json:"etcdBytesPerResult"`
	// EtcdBytesAnswered is the same until the last answer.
	EtcdBytesAnswered float64 `json:"etcdBytesPerResultUntilAnswered"`
}

// observed is what a measurement is made of.
type observed struct {
	// done is how the pushes went, those of the warm-up left out.
	done pushed
	// behindMax and behind are how far behind a status ever was, and how far behind one was after the last answer.
	behindMax, behind time.Duration
	// news is how far behind news were.
	news *newsFigures
	// answered and settled are what was used until the last answer and until every status was right.
	answered, settled usage.Usage
}

func newMeasurement(o observed) *measurement {
	sorted := o.done.latencies()
	count := float64(max(1, len(sorted))) // of nothing there is nothing, not an infinity
	per1000 := func(u usage.Usage) map[string]float64 {
		all := map[string]float64{}
		for name, seconds := range u.CPU {
			all[name] = seconds / count * 1000
		}
		return all
	}
	m := &measurement{
		P50: milliseconds(quantile(sorted, 0.50)), P99: milliseconds(quantile(sorted, 0.99)),
		Max:     milliseconds(quantile(sorted, 1)),
		Refused: o.done.count(answer.refused), Unsent: o.done.count(answer.unsent),
		Late: o.done.count(answer.late), MaxLate: milliseconds(o.done.maxLate()),
		BehindMaxSeconds: o.behindMax.Seconds(), BehindSeconds: o.behind.Seconds(), News: o.news,
		CPU: per1000(o.settled), CPUAnswered: per1000(o.answered),
		EtcdBytes: o.settled.PutBytes / count, EtcdBytesAnswered: o.answered.PutBytes / count,
	}
	if took := o.done.took(); took > 0 {
		m.PerSecond = float64(len(sorted)) / took.Seconds()
	}
	return m
}

// operatorOf returns what the receiver used, the controllers beside it included where there are any.
func operatorOf(by map[string]float64) float64 { return by[processReceiver] + by[processControllers] }

func perSecond(m measurement) float64 { return m.PerSecond }

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
