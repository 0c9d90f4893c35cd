// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"
)

// commandScale, as the first argument, measures how the operator bears growth instead of how it compares.
const commandScale = "scale"

// The parts of a scale run, in their order.
const (
	partGrowth  = "growth"
	partTasks   = "tasks"
	partTrickle = "trickle"
	partRestart = "restart"
)

// scaleOptions are the flags of a scale run.
type scaleOptions struct {
	parts                       []string
	devices, tasks              []int
	connections, results        int
	trickleRate, trickleSeconds int
	restartTasks                []int
	stored, mixed               int
	verbose                     bool
	jsonFile                    string
}

func parseScale(args []string) (*scaleOptions, error) {
	all := []string{partGrowth, partTasks, partTrickle, partRestart}
	o := &scaleOptions{}
	fs := pflag.NewFlagSet("bench scale", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.StringSliceVar(&o.parts, "parts", all, "what to measure")
	fs.IntVar(&o.connections, "connections", 256, "connections of growth and tasks, in a closed loop")
	fs.IntSliceVar(&o.devices, "devices", []int{1000, 10_000, 100_000}, "growth: devices of one task")
	fs.IntSliceVar(&o.tasks, "tasks", []int{1, 10, 100, 1000},
		"tasks and trickle: tasks at once; trickle takes the first and the last")
	fs.IntVar(&o.results, "results", 50_000, "tasks: results over all tasks")
	fs.IntVar(&o.trickleRate, "trickle-rate", 100, "trickle: notifications a second, each arriving alone")
	fs.IntVar(&o.trickleSeconds, "trickle-seconds", 60, "trickle: for how long")
	fs.IntSliceVar(&o.restartTasks, "restart-tasks", []int{1, 1000}, "restart: tasks over which the results are spread")
	fs.IntVar(&o.stored, "stored", 1_000_000, "restart: results that are stored, sorted by task")
	fs.IntVar(&o.mixed, "mixed", 20_000, "restart: further results, in batches of 100 as the webhook stores them")
	fs.BoolVar(&o.verbose, "verbose", false, "show what the operator logs")
	fs.StringVar(&o.jsonFile, "json", "", "file that gets everything that was measured, as JSON")
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	var problems []error
	for _, part := range o.parts {
		if !slices.Contains(all, part) {
			problems = append(problems, fmt.Errorf("--parts=%s is not known: name some of %s", part, strings.Join(all, ", ")))
		}
	}
	for name, values := range map[string][]int{
		"devices": o.devices, "tasks": o.tasks, "restart-tasks": o.restartTasks, "results": {o.results},
		"connections":  {o.connections},
		"trickle-rate": {o.trickleRate}, "trickle-seconds": {o.trickleSeconds}, "stored": {o.stored}, "mixed": {o.mixed},
	} {
		for _, value := range values {
			if value < 1 || value > 2*maxResults || strings.HasSuffix(name, "tasks") && value > maxTasks {
				problems = append(problems, fmt.Errorf("--%s=%d is out of bounds", name, value))
			}
		}
	}
	return o, errors.Join(problems...)
}

// scaleReport is what a scale run measured.
type scaleReport struct {
	CPUs    int         `json:"cpus"`
	Load    string      `json:"loadBefore"`
	Turns   []scaleTurn `json:"turns,omitempty"`
	Restart []*restart  `json:"restart,omitempty"`
}

// scaleTurn is a turn of the operator.
type scaleTurn struct {
	Part    string `json:"part"`
	Results int    `json:"results"`
	Tasks   int    `json:"tasks"`
	measurement
	// Cores is the seconds of CPU a second, by process, from the first push until every status was right.
	Cores map[string]float64 `json:"cores"`
}

// runScale takes the parts one after the other, each with a control plane of its own.
func runScale(ctx context.Context, args []string) error {
	o, err := parseScale(args)
	if err != nil {
		return err
	}
	r := &scaleReport{CPUs: runtime.NumCPU(), Load: loadAverage()}
	for _, part := range o.parts {
		if err = measurePart(ctx, o, part, r); err != nil {
			err = fmt.Errorf("%s: %w", part, err)
			break
		}
	}
	return errors.Join(err, r.write(os.Stdout, o.jsonFile))
}

func measurePart(ctx context.Context, o *scaleOptions, part string, r *scaleReport) (err error) {
	b, err := startBench(ctx, &options{verbose: o.verbose, fsync: true}, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cluster.Stop()) }()
	closed := load{Key: "scale", Connections: o.connections}
	switch part {
	case partGrowth:
		for _, devices := range o.devices {
			if err := b.scaleTurn(ctx, r, part, devices, 1, closed); err != nil {
				return err
			}
		}
	case partTasks:
		for _, tasks := range o.tasks {
			if err := b.scaleTurn(ctx, r, part, o.results, tasks, closed); err != nil {
				return err
			}
		}
	case partTrickle:
		alone := load{Key: "trickle", Connections: o.connections, PerSecond: o.trickleRate, Seconds: o.trickleSeconds}
		for _, tasks := range slices.Compact([]int{o.tasks[0], o.tasks[len(o.tasks)-1]}) {
			if err := b.scaleTurn(ctx, r, part, alone.results(nil), tasks, alone); err != nil {
				return err
			}
		}
	case partRestart:
		for _, tasks := range o.restartTasks {
			measured, err := b.measureRestart(ctx, tasks, o.stored, o.mixed)
			if err != nil {
				return err
			}
			r.Restart = append(r.Restart, measured)
		}
	}
	return nil
}

// scaleTurn has the operator take so many results of so many tasks.
func (b *bench) scaleTurn(ctx context.Context, r *scaleReport, part string, results, tasks int, l load) error {
	c := &contender{
		key: fmt.Sprintf("%s-%d-%d", part, results, tasks), results: results, tasks: tasks,
		warmup: min(1000, results/4), side: &operatorSide{}, strict: true,
	}
	began := time.Now()
	m, err := b.takeTurn(ctx, c, l, turnOf{})
	if err != nil {
		return err
	}
	fmt.Fprintf(b.log, "%s, %d results, %d tasks: %.0f results/s (%.0f s)\n", part, results, tasks, m.PerSecond,
		time.Since(began).Seconds())
	cores := map[string]float64{}
	for process, seconds := range m.CPU {
		cores[process] = seconds * float64(results) / 1000 / (float64(results)/m.PerSecond + m.BehindSeconds)
	}
	r.Turns = append(r.Turns, scaleTurn{Part: part, Results: results, Tasks: tasks, measurement: *m, Cores: cores})
	return nil
}

// write writes a table and, with a path, everything as JSON.
func (r *scaleReport) write(w io.Writer, path string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\n%d CPUs, the sender's included; load average %s before.\n\n", r.CPUs, r.Load)
	fmt.Fprintln(table, "\t\t\t\tanswer, ms\tstatus behind, s\t\tCPU s per 1,000 results\t\t\tcores\t\t\tetcd\t")
	fmt.Fprintln(table, "\tresults\ttasks\tresults/s\tp99\tever\tat last\toperator\tapiserver\tetcd\toperator\t"+
		"apiserver\tetcd\tB/result\t")
	for i := range r.Turns {
		t := &r.Turns[i]
		fmt.Fprintf(table, "%s\t%d\t%d\t%.0f\t%.0f\t%.1f\t%.1f", t.Part, t.Results, t.Tasks, t.PerSecond, t.P99,
			t.BehindMaxSeconds, t.BehindSeconds)
		for _, by := range []map[string]float64{t.CPU, t.Cores} {
			fmt.Fprintf(table, "\t%.3f\t%.3f\t%.3f", operatorOf(by), by[processAPIServer], by[processEtcd])
		}
		fmt.Fprintf(table, "\t%.0f\t\n", t.EtcdBytes)
	}
	for _, restart := range r.Restart {
		restart.writeTo(table)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return writeJSON(path, r)
}
