// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

const (
	maxConnections = 4096
	maxResults     = 1_000_000
	maxTasks       = 1000 // as many placeholders as the operator would make
)

// options are the flags.
type options struct {
	connections, rounds, tasks     int
	results, objectResults, warmup int
	sides, managerArgs             []string
	fsync, verbose                 bool
	jsonFile                       string
}

func parse(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.IntVar(&o.connections, "connections", 256, "connections; each pushes again as soon as it was answered")
	fs.IntVar(&o.rounds, "rounds", 3, "how often each side has its turn")
	fs.IntVar(&o.results, "results", 20000, "results a side and round")
	fs.IntVar(&o.objectResults, "object-results", 4000, "results a round of the side that makes one object of each")
	fs.IntVar(&o.tasks, "tasks", 1000, "tasks of the side with many")
	fs.IntVar(&o.warmup, "warmup", 1000, "results pushed before the clock is started; checked like all others")
	fs.StringSliceVar(&o.sides, "sides", defaultSides(),
		"the sides to measure, in the order of their turns, of "+strings.Join(sideKeys(), ", "))
	fs.StringArrayVar(&o.managerArgs, "manager-arg", nil, "a further argument of the operator's manager; may be repeated")
	fs.BoolVar(&o.fsync, "fsync", true, "etcd syncs its log to the disk, as in production")
	fs.BoolVar(&o.verbose, "verbose", false, "show what the receivers log")
	fs.StringVar(&o.jsonFile, "json", "", "file that gets everything that was measured, as JSON")
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: every option begins with --", fs.Arg(0))
	}
	return o, o.validate()
}

func (o *options) validate() error {
	var problems []error
	check := func(name string, value, low, high int) {
		if value < low || value > high {
			problems = append(problems, fmt.Errorf("--%s must be from %d to %d, not %d", name, low, high, value))
		}
	}
	check("connections", o.connections, 1, maxConnections)
	check("rounds", o.rounds, 1, 100)
	check("results", o.results, 1, maxResults)
	check("object-results", o.objectResults, 1, maxResults)
	check("tasks", o.tasks, 1, min(maxTasks, o.results))
	check("warmup", o.warmup, 0, maxResults)
	for _, key := range o.sides {
		if !slices.Contains(sideKeys(), key) {
			problems = append(problems, fmt.Errorf("--sides=%s is not known: name some of %s", key, strings.Join(sideKeys(), ", ")))
		}
	}
	if len(o.sides) == 0 {
		problems = append(problems, errors.New("--sides is empty: name at least one"))
	}
	return errors.Join(problems...)
}
