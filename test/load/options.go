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
	maxConnections   = 4096
	maxRate          = 10_000
	maxOpenSeconds   = 120
	maxRounds        = 100
	maxResults       = 1_000_000
	maxInlineResults = 3000 // some more, and the object is larger than etcd takes
	maxTasks         = 1000 // as many placeholders as the operator would make
)

// options are the flags.
type options struct {
	connections, rates                            []int
	mainConnections, openConnections, openSeconds int
	rounds, otherRounds, tasks                    int
	results, objectResults, inlineResults, warmup int
	sides, managerArgs                            []string
	fsync, verbose                                bool
	jsonFile                                      string
}

func parse(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.IntSliceVar(&o.connections, "connections", []int{64, 256, 1024},
		"closed loops, by connections; each pushes again as soon as it was answered")
	fs.IntVar(&o.mainConnections, "main-connections", 0,
		"the closed loop that the targets are about (default: the middle one, 256)")
	fs.IntVar(&o.rounds, "rounds", 5, "how often each side has its turn in that loop")
	fs.IntSliceVar(&o.rates, "rates", []int{800, 1000},
		"open loops, by pushes a second, which leave when they are due; the targets are about the first one")
	fs.IntVar(&o.openSeconds, "open-seconds", 10, "how long pushes fall due in an open loop")
	fs.IntVar(&o.openConnections, "open-connections", 1024, "connections of an open loop: pushes wait when all are in use")
	fs.IntVar(&o.otherRounds, "other-rounds", 1, "how often each side has its turn in every other loop")
	fs.IntVar(&o.results, "results", 40000, "results of a turn in a closed loop")
	fs.IntVar(&o.objectResults, "object-results", 4000, "the same for the side that makes one object of each")
	fs.IntVar(&o.inlineResults, "inline-results", 200, "the same for the side that keeps them in one object's status")
	fs.IntVar(&o.warmup, "warmup", 1000,
		"results pushed before the clock is started, at most a quarter of those of a closed loop; checked like all others")
	fs.IntVar(&o.tasks, "tasks", 1000, "tasks of the side with many")
	fs.StringSliceVar(&o.sides, "sides", defaultSides(),
		"the sides to measure, in the order of their turns, of "+strings.Join(sideKeys(), ", "))
	fs.StringArrayVar(&o.managerArgs, "manager-arg", nil,
		"a further argument of the operator's controllers; may be repeated")
	fs.BoolVar(&o.fsync, "fsync", true, "etcd syncs its log to the disk, as in production")
	fs.BoolVar(&o.verbose, "verbose", false, "show what the receivers log")
	fs.StringVar(&o.jsonFile, "json", "", "file that gets everything that was measured, as JSON")
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: every option begins with --", fs.Arg(0))
	}
	o.connections, o.rates = ascending(o.connections), ascending(o.rates)
	if o.mainConnections == 0 {
		o.mainConnections = o.connections[len(o.connections)/2]
	}
	return o, o.validate()
}

// ascending returns the values in ascending order, each once.
func ascending(values []int) []int { return slices.Compact(slices.Sorted(slices.Values(values))) }

func (o *options) validate() error {
	var problems []error
	check := func(name string, value, low, high int) {
		if value < low || value > high {
			problems = append(problems, fmt.Errorf("--%s must be from %d to %d, not %d", name, low, high, value))
		}
	}
	for _, connections := range o.connections {
		check("connections", connections, 1, maxConnections)
	}
	for _, rate := range o.rates {
		check("rates", rate, 1, maxRate)
		check("tasks", o.tasks, 1, rate*o.openSeconds)
	}
	check("open-seconds", o.openSeconds, 1, maxOpenSeconds)
	check("open-connections", o.openConnections, 1, maxConnections)
	check("rounds", o.rounds, 1, maxRounds)
	check("other-rounds", o.otherRounds, 0, maxRounds)
	check("results", o.results, 1, maxResults)
	check("object-results", o.objectResults, 1, maxResults)
	check("inline-results", o.inlineResults, 1, maxInlineResults)
	check("tasks", o.tasks, 1, min(maxTasks, o.results))
	check("warmup", o.warmup, 0, maxResults)
	if !slices.Contains(o.connections, o.mainConnections) {
		problems = append(problems, fmt.Errorf("--main-connections=%d must be one of --connections", o.mainConnections))
	}
	for _, key := range o.sides {
		if !slices.Contains(sideKeys(), key) {
			problems = append(problems, fmt.Errorf("--sides=%s is not known: name some of %s", key,
				strings.Join(sideKeys(), ", ")))
		}
	}
	if len(o.sides) == 0 {
		problems = append(problems, errors.New("--sides is empty: name at least one"))
	}
	return errors.Join(problems...)
}
