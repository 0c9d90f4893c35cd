// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// report is everything that was measured.
type report struct {
	Machine machine      `json:"machine"`
	Options reportedWith `json:"options"`
	Sides   []sideReport `json:"sides"`
	Loads   []load       `json:"loads"`
	// Series are what was measured, a series for each load and side that took part in it.
	Series []series `json:"series"`
	// Targets are what the operator has to reach, as far as it was measured.
	Targets []target `json:"targets"`
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
	// MainLoad and RateLoad are the keys of the closed and of the open loop that the targets are about.
	MainLoad    string   `json:"mainLoad"`
	RateLoad    string   `json:"rateLoad"`
	Warmup      int      `json:"warmup"`
	Fsync       bool     `json:"fsync"`
	ManagerArgs []string `json:"managerArgs,omitempty"`
}

// sideReport is what a side is.
type sideReport struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	Tasks int    `json:"tasks"`
}

// series is what was measured of one side at one load.
type series struct {
	Load string `json:"load"`
	Side string `json:"side"`
	// Results is how many results were pushed in each round, the warm-up left out.
	Results int `json:"results"`
	// Rounds are in the order in which they were measured.
	Rounds []measurement `json:"rounds"`
}

func newReport(o *options, sides []contender, loads []load) *report {
	r := &report{
		Machine: machine{
			CPUs: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, GoVersion: runtime.Version(),
			LoadBefore: loadAverage(),
		},
		Options: reportedWith{
			MainLoad: closedKey(o.mainConnections), RateLoad: openKey(o.rates[0]),
			Warmup: o.warmup, Fsync: o.fsync, ManagerArgs: o.managerArgs,
		},
		Loads: loads,
	}
	for i := range sides {
		c := &sides[i]
		r.Sides = append(r.Sides, sideReport{Key: c.key, Title: c.title, Tasks: c.tasks})
	}
	for _, l := range loads {
		for i := range sides {
			if c := &sides[i]; c.takes(l) {
				r.Series = append(r.Series, series{Load: l.Key, Side: c.key, Results: l.results(c)})
			}
		}
	}
	return r
}

// empty tells whether nothing was measured.
func (r *report) empty() bool {
	return !slices.ContainsFunc(r.Series, func(s series) bool { return len(s.Rounds) > 0 })
}

// find returns what was measured of a side at a load; nil if nothing was.
func (r *report) find(loadKey, sideKey string) *series {
	i := slices.IndexFunc(r.Series, func(s series) bool { return s.Load == loadKey && s.Side == sideKey })
	if i < 0 || len(r.Series[i].Rounds) == 0 {
		return nil
	}
	return &r.Series[i]
}

// add takes what was measured in a turn.
func (r *report) add(loadKey, sideKey string, m measurement) {
	for i := range r.Series {
		if s := &r.Series[i]; s.Load == loadKey && s.Side == sideKey {
			s.Rounds = append(s.Rounds, m)
		}
	}
}

// medianOf returns the median of a figure over the rounds.
func (s *series) medianOf(figure func(measurement) float64) float64 {
	return median(s.figures(figure))
}

func (s *series) figures(figure func(measurement) float64) []float64 {
	var values []float64
	for _, m := range s.Rounds {
		values = append(values, figure(m))
	}
	return values
}

// ratios returns, for every round of a load, how many times as fast side a was as side b: each round is compared with
// itself, as what disturbed one side disturbed the other. There are none where one was not measured.
func (r *report) ratios(loadKey, a, b string) []float64 {
	sideA, sideB := r.find(loadKey, a), r.find(loadKey, b)
	if sideA == nil || sideB == nil {
		return nil
	}
	var ratios []float64
	for i := range min(len(sideA.Rounds), len(sideB.Rounds)) {
		if other := sideB.Rounds[i].PerSecond; other > 0 {
			ratios = append(ratios, sideA.Rounds[i].PerSecond/other)
		}
	}
	return ratios
}

// writeFile writes the report as JSON; without a path it does nothing.
func (r *report) writeFile(path string) error { return writeJSON(path, r) }

// writeJSON writes a report as JSON; without a path it does nothing.
func writeJSON(path string, report any) error {
	if path == "" {
		return nil
	}
	content, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
