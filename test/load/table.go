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

// comparisons are the ratios that the table ends with.
func comparisons() [][3]string {
	return [][3]string{
		{keyOperator, keyObject, "operator / one object a result"},
		{keyOperatorTasks, keyOperator, "operator with many tasks / with one"},
		{keyOperatorTasks, keyObject, "operator with many tasks / one object a result"},
		{keyOperator, keyFloor, "operator / opaque ConfigMaps"},
		{keyOperator, keyDecode, "operator / decoding only"},
	}
}

// writeTable writes the medians for people.
func (r *report) writeTable(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%d CPUs (%s, %s), %d connections, %d rounds, etcd %s; load average %s before, %s after.\n",
		r.Machine.CPUs, r.Machine.Platform, r.Machine.GoVersion, r.Options.Connections, r.Options.Rounds,
		map[bool]string{true: "with fsync", false: "without fsync"}[r.Options.Fsync], r.Machine.LoadBefore, r.Machine.LoadAfter)
	fmt.Fprint(&text, "Medians of the rounds. Everything runs on these CPUs, the sender included: compare, don't extrapolate.\n\n")
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\t\t\tanswer, ms\t\t\tstatus\tCPU s per 1,000 results\t\t\t\tetcd\t")
	fmt.Fprintln(table, "side\tresults/s\tmin–max\tp50\tp99\tmax\tbehind\treceiver\tapiserver\tetcd\tsender\tB/result\t")
	for i := range r.Sides {
		writeRow(table, &r.Sides[i])
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	fmt.Fprintln(&text)
	for _, c := range comparisons() {
		if ratio, ok := r.ratio(c[0], c[1]); ok {
			fmt.Fprintf(&text, "%6.2f × %s\n", ratio, c[2])
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func writeRow(w io.Writer, s *sideReport) {
	if len(s.Rounds) == 0 {
		return
	}
	speeds := s.figures(perSecond)
	cpu := func(process string) float64 {
		return s.medianOf(func(m measurement) float64 { return m.CPU[process] })
	}
	fmt.Fprintf(w, "%s\t%.0f\t%.0f–%.0f\t%.0f\t%.0f\t%.0f\t%.1f s\t%.3f\t%.3f\t%.3f\t%.3f\t%.0f\t\n",
		s.Title, median(speeds), slices.Min(speeds), slices.Max(speeds),
		s.medianOf(func(m measurement) float64 { return m.P50 }),
		s.medianOf(func(m measurement) float64 { return m.P99 }),
		s.medianOf(func(m measurement) float64 { return m.Max }),
		s.medianOf(func(m measurement) float64 { return m.BehindSeconds }),
		cpu(processReceiver), cpu("kube-apiserver"), cpu("etcd"), cpu(processSender),
		s.medianOf(func(m measurement) float64 { return m.EtcdBytes }))
}
