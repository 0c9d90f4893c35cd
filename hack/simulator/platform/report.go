// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// maxSamples is how many of the discarded notifications a report names.
const maxSamples = 20

// Report is how a run ended.
type Report struct {
	// Tasks, Devices and Notifications are how many there are in the plan.
	Tasks         int `json:"tasks"`
	Devices       int `json:"devices"`
	Notifications int `json:"notifications"`
	// Complete is true when every notification was delivered.
	Complete bool `json:"complete"`
	// Sent is how many pushes went out, repetitions after failures included.
	Sent int `json:"sent"`
	// Answers are the pushes by status code, or by what came instead of an answer.
	Answers map[string]int `json:"answers"`
	// Delivered is how many notifications were answered 200; Refused, how many pushes were answered otherwise;
	// Unanswered, how many not at all.
	Delivered  int `json:"delivered"`
	Refused    int `json:"refused"`
	Unanswered int `json:"unanswered"`
	// Retried is how many pushes repeated a failed one.
	Retried int `json:"retried"`
	// Discarded is how many notifications were given up after their push failed; DiscardedSamples are some of them.
	Discarded        int                `json:"discarded"`
	DiscardedSamples []DiscardedMessage `json:"discardedSamples,omitempty"`
	// Undelivered is how many notifications were still to be pushed when the run ended.
	Undelivered int `json:"undelivered"`
	// Blacklistings is how often the host was blacklisted; Backlog, how many pushes that held back.
	Blacklistings int `json:"blacklistings"`
	Backlog       int `json:"backlog"`
	// DurationSeconds is from the first push to the last answer; RatePerSecond, how many were delivered in a second.
	DurationSeconds float64 `json:"durationSeconds"`
	RatePerSecond   float64 `json:"ratePerSecond"`
	// Latency is how long answers took.
	Latency Latency `json:"latencyMilliseconds"`
	// Counts are what a receiver has to count at least, by task: from what it answered 200. What was not answered may
	// have been stored, too.
	Counts []TaskCounts `json:"counts"`
}

// Latency is how long answers took, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// DiscardedMessage is a notification that was given up.
type DiscardedMessage struct {
	OperationID string `json:"operationId"`
	DeviceID    string `json:"deviceId"`
}

func (r *run) report() *Report {
	o := r.plan.Options()
	report := &Report{
		Tasks: o.Tasks, Devices: o.Devices, Notifications: r.plan.Len(),
		Answers:         r.answers,
		Retried:         r.schedule.retried,
		Discarded:       len(r.schedule.discarded),
		Blacklistings:   r.schedule.blacklist.Times(),
		Backlog:         r.schedule.backlog,
		DurationSeconds: r.end.Sub(r.start).Seconds(),
		Latency: Latency{
			P50: milliseconds(r.latencies.quantile(0.5)),
			P99: milliseconds(r.latencies.quantile(0.99)),
			Max: milliseconds(r.latencies.max),
		},
		Counts: r.plan.Counts(func(i int) bool { return r.delivered[i] }),
	}
	for answer, count := range r.answers {
		report.Sent += count
		switch {
		case answer == answerOK:
			report.Delivered = count
		case answer[0] >= '0' && answer[0] <= '9':
			report.Refused += count
		default:
			report.Unanswered += count
		}
	}
	report.Undelivered = report.Notifications - report.Delivered - report.Discarded
	report.Complete = report.Delivered == report.Notifications
	if report.DurationSeconds > 0 {
		report.RatePerSecond = float64(report.Delivered) / report.DurationSeconds
	}
	for _, number := range r.schedule.discarded[:min(len(r.schedule.discarded), maxSamples)] {
		n := r.plan.At(number)
		report.DiscardedSamples = append(report.DiscardedSamples,
			DiscardedMessage{OperationID: r.plan.OperationID(n.Task), DeviceID: r.plan.DeviceID(n.Device)})
	}
	return report
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// WriteJSON writes the report as indented JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// WriteText writes the report as a table for people.
func (r *Report) WriteText(w io.Writer) error {
	var sum TaskCounts
	for _, c := range r.Counts {
		sum.Succeeded += c.Succeeded
		sum.Failed += c.Failed
		sum.InProgress += c.InProgress
		sum.Pending += c.Pending
		sum.Recovered += c.Recovered
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, values...))
	}
	row("notifications", "%d, of %d devices in %d tasks", r.Notifications, r.Devices, r.Tasks)
	row("sent", "%d, of them %d again", r.Sent, r.Retried)
	for _, answer := range slices.Sorted(maps.Keys(r.Answers)) {
		row("  "+answer, "%d", r.Answers[answer])
	}
	row("delivered", "%d", r.Delivered)
	row("refused", "%d, unanswered %d", r.Refused, r.Unanswered)
	row("discarded", "%d, not delivered in time %d", r.Discarded, r.Undelivered)
	row("blacklistings", "%d, held back by them %d", r.Blacklistings, r.Backlog)
	row("duration", "%.1f s, %.0f delivered/s", r.DurationSeconds, r.RatePerSecond)
	row("latency", "p50 %.1f ms, p99 %.1f ms, max %.1f ms", r.Latency.P50, r.Latency.P99, r.Latency.Max)
	row("to be counted", "%d succeeded (%d recovered), %d failed, %d in progress, %d pending",
		sum.Succeeded, sum.Recovered, sum.Failed, sum.InProgress, sum.Pending)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
