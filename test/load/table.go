// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// writeTable writes the medians for people: a table for each load, then the targets.
func (r *report) writeTable(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%d CPUs (%s, %s), etcd %s; load average %s before, %s after.\n",
		r.Machine.CPUs, r.Machine.Platform, r.Machine.GoVersion,
		map[bool]string{true: "with fsync",
			false: "without fsync"}[r.Options.Fsync], r.Machine.LoadBefore, r.Machine.LoadAfter)
	fmt.Fprint(&text, "Everything runs on these CPUs, the sender included: compare, don't extrapolate.\n")
	turns := 0
	for _, l := range r.Loads {
		turns += r.writeLoad(&text, l)
	}
	r.writeLegend(&text)
	fmt.Fprintf(&text, "\nIn all %d turns every result that was answered 200 is stored, nothing else is, and every "+
		"status counts it once.\n", turns)
	r.writeTargets(&text)
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// writeLoad writes the table of a load and returns how many turns are in it; without any it writes nothing.
func (r *report) writeLoad(w *strings.Builder, l load) (turns int) {
	rounds := 0
	for _, s := range r.Series {
		if s.Load == l.Key {
			turns += len(s.Rounds)
			rounds = max(rounds, len(s.Rounds))
		}
	}
	if turns == 0 {
		return 0
	}
	fmt.Fprintf(w, "\n%s%s\n\n", l.Title, map[bool]string{true: fmt.Sprintf("; medians of %d rounds", rounds)}[rounds > 1])
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\t\tanswer, ms\t\t\tnot\t\tstatus behind, s\t\tCPU s per 1,000 results\t\t\tetcd\t")
	fmt.Fprintln(table, "\tresults/s\tp50\tp99\tmax\tstored\tlate\tever\tat last\treceiver\tapiserver\tetcd\tB/result\t")
	for i := range r.Series {
		if s := &r.Series[i]; s.Load == l.Key && len(s.Rounds) > 0 {
			writeRow(table, r.titleOf(s.Side), s)
		}
	}
	_ = table.Flush() // writing to memory does not fail
	r.writeNews(w, l)
	return turns
}

// writeNews writes how far behind news were at a load, of the sides that have some.
func (r *report) writeNews(w *strings.Builder, l load) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	found := false
	for i := range r.Series {
		s := &r.Series[i]
		if s.Load != l.Key || !slices.ContainsFunc(s.Rounds, func(m measurement) bool { return m.News != nil }) {
			continue
		}
		if !found {
			found = true
			fmt.Fprintln(table, "\t\tnews behind, s: status\t\t\tEvent\t\t\tnever\t")
			fmt.Fprintln(table, "\tnews\tp50\tp99\tmax\tp50\tp99\tmax\ttold\t")
		}
		of := func(figure func(*newsFigures) float64) float64 {
			return s.medianOf(func(m measurement) float64 {
				if m.News == nil {
					return 0
				}
				return figure(m.News)
			})
		}
		fmt.Fprintf(table, "%s\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t\n", r.titleOf(s.Side),
			of(func(n *newsFigures) float64 { return float64(n.Count) }),
			of(func(n *newsFigures) float64 { return n.Status.P50 }), of(func(n *newsFigures) float64 { return n.Status.P99 }),
			of(func(n *newsFigures) float64 { return n.Status.Max }), of(func(n *newsFigures) float64 { return n.Event.P50 }),
			of(func(n *newsFigures) float64 { return n.Event.P99 }), of(func(n *newsFigures) float64 { return n.Event.Max }),
			of(func(n *newsFigures) float64 { return float64(n.Missing) }))
	}
	if found {
		w.WriteString("\n")
	}
	_ = table.Flush() // writing to memory does not fail
}

func writeRow(w io.Writer, title string, s *series) {
	speed := fmt.Sprintf("%.0f", s.medianOf(perSecond))
	if speeds := s.figures(perSecond); len(speeds) > 1 {
		speed += fmt.Sprintf(" (%.0f–%.0f)", slices.Min(speeds), slices.Max(speeds))
	}
	cpu := func(process string) float64 {
		return s.medianOf(func(m measurement) float64 { return m.CPU[process] })
	}
	fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.3f\t%.3f\t%.3f\t%.0f\t\n", title, speed,
		s.medianOf(func(m measurement) float64 { return m.P50 }),
		s.medianOf(func(m measurement) float64 { return m.P99 }),
		s.medianOf(func(m measurement) float64 { return m.Max }),
		s.medianOf(func(m measurement) float64 { return float64(m.Refused + m.Unsent) }),
		s.medianOf(func(m measurement) float64 { return float64(m.Late) }),
		s.medianOf(func(m measurement) float64 { return m.BehindMaxSeconds }),
		s.medianOf(func(m measurement) float64 { return m.BehindSeconds }),
		s.medianOf(func(m measurement) float64 { return operatorOf(m.CPU) }), cpu(processAPIServer), cpu(processEtcd),
		s.medianOf(func(m measurement) float64 { return m.EtcdBytes }))
}

// writeLegend explains the columns.
func (r *report) writeLegend(w *strings.Builder) {
	fmt.Fprint(w, `
answer: from when a push was due, in a closed loop from when it left, to its answer 200
not stored: pushes that were not answered 200, or never left, as those before them took so long
late: pushes that left more than 10 ms after they were due
news behind: how long after the answer to the push that decided it somebody could know it, over all upgrades: the first
    failure of an upgrade, Degraded, Finished; in the status, and by an Event
status behind: the greatest age of a result that was answered and not yet counted in its task's status, ever and
    after the last answer
receiver: the process that takes the pushes; for the operator its webhook and its controllers, two processes
`)
	if slices.ContainsFunc(r.Series, func(s series) bool { return s.Side == keyInline }) {
		fmt.Fprint(w, "inline list: one writer, only a few results and only at two loads, as it slows down with every\n"+
			"    result\n")
	}
}

// writeTargets writes what was reached of what has to be.
func (r *report) writeTargets(w *strings.Builder) {
	if len(r.Targets) == 0 {
		return
	}
	fmt.Fprint(w, "\nTargets, medians and ranges of the rounds:\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, t := range r.Targets {
		sign := map[bool]string{true: "≤", false: "≥"}[t.AtMost]
		met := map[bool]string{true: "met", false: "missed"}[t.Met]
		fmt.Fprintf(table, "%s\t%s\t%s\t%.2f %s\t(%.2f–%.2f)\t%s %g %s\n", met, t.Load, t.Title, t.Measured, t.Unit, t.Low,
			t.High, sign, t.Bound, t.Unit)
	}
	_ = table.Flush() // writing to memory does not fail
	if alone := r.find(r.Options.MainLoad, keyDecode); alone != nil {
		fmt.Fprintf(w, "\n%s\n", decodingAlone(alone.medianOf(perSecond)))
	}
}
