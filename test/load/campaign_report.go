// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// The targets of a campaign, beside that of the 99th percentile.
const (
	targetCampaignCores    = 1.0  // cores of the API server
	targetCampaignProgress = 30.0 // seconds
	targetCampaignNews     = 3.0  // seconds
	targetCampaignRestart  = 30.0 // seconds
)

// findTargets returns what has to be reached: without a restart how the upgrades are told, with one how soon they are
// right again, as everything is late that came while no controllers ran.
func (c *campaign) findTargets() []target {
	var all []target
	add := func(title string, measured, bound float64, unit string) {
		all = append(all, target{
			Title: title, Load: commandCampaign, Measured: measured, Low: measured, High: measured, Bound: bound, AtMost: true,
			Unit: unit, Met: measured <= bound,
		})
	}
	add("p99 of the answer", c.P99, targetP99, "ms")
	if c.RightAfterRestart != nil {
		add("statuses right after a restart", *c.RightAfterRestart, targetCampaignRestart, "s")
	} else {
		add("CPU of the API server", c.Cores[processAPIServer], targetCampaignCores, "cores")
		add("progress ever behind", c.ProgressBehind, targetCampaignProgress, "s")
		if c.News != nil {
			add("news ever behind", c.News.behind(), targetCampaignNews, "s")
		}
	}
	if c.News != nil {
		add("news never told", float64(c.News.Missing), 0, "news")
	}
	return all
}

// write writes the figures for people.
func (c *campaign) write(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%d FirmwareUpgrades of %d devices; %d results, %d a second in random order.\n",
		c.Upgrades, c.Devices, c.Results, c.PerSecond)
	fmt.Fprintf(&text, "%d CPUs, the sender's included; load average %s before.\n\n", c.CPUs, c.LoadBefore)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "answer, ms\tp50 %.0f\tp99 %.0f\tmax %.0f\n", c.P50, c.P99, c.Max)
	fmt.Fprintf(table, "cores\twebhook %.2f\tcontrollers %.2f\tapiserver %.2f\tetcd %.2f\n",
		c.Cores[processReceiver], c.Cores[processControllers], c.Cores[processAPIServer], c.Cores[processEtcd])
	fmt.Fprintf(table, "memory of the controllers\t%d MiB\n", c.LeaderRSS>>20)
	fmt.Fprintf(table, "progress behind, s\tever %.1f\n", c.ProgressBehind)
	if c.News != nil {
		writeNewsRow(table, "all news", c.News.Count, c.News.Status, c.News.Event)
		for _, kind := range newsKinds() {
			if k, ok := c.News.Kinds[kind.String()]; ok {
				writeNewsRow(table, kind.String(), k.Count, k.Status, k.Event)
			}
		}
	}
	if c.RightAfterRestart != nil {
		fmt.Fprintf(table, "statuses right after the restart, s\t%.1f\n", *c.RightAfterRestart)
	}
	_ = table.Flush() // writing to memory does not fail
	fmt.Fprint(&text, "\nEvery result that was answered 200 is stored, nothing else is, and every status counts it "+
		"once.\n\n")
	for _, t := range c.Targets {
		fmt.Fprintf(table, "%s\t%s\t%.2f %s\t≤ %g %s\n", map[bool]string{true: "met", false: "missed"}[t.Met], t.Title,
			t.Measured, t.Unit, t.Bound, t.Unit)
	}
	_ = table.Flush() // as above
	fmt.Fprintf(&text, "\n%s\n", decodingAlone(c.Decoding))
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func writeNewsRow(w io.Writer, title string, count int, status, event seconds) {
	fmt.Fprintf(w, "%s behind, s (%d)\tstatus: p50 %.1f, p99 %.1f, max %.1f\tEvent: p50 %.1f, p99 %.1f, max %.1f\n", title,
		count,
		status.P50, status.P99, status.Max, event.P50, event.P99, event.Max)
}
