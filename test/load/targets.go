// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
)

// The targets.
const (
	targetObject    = 15.0  // times one object a result
	targetFloor     = 1.0   // times opaque ConfigMaps
	targetManyTasks = 0.9   // times one task
	targetP99       = 100.0 // ms
	targetBehindOne = 2.0   // seconds, one task
	targetBehindAll = 10.0  // seconds, many tasks
	targetNews      = 2.0   // seconds
)

// referenceDecoding is how many results a second decoding alone takes on a day for which the targets in ms, seconds and
// cores are meant. The machine is not always as fast; ratios don't depend on it.
const referenceDecoding = 40_000

// decodingAlone says what decoding alone gave, beside targets that depend on the machine.
func decodingAlone(perSecond float64) string {
	return fmt.Sprintf("Targets in ms, seconds and cores are for a day on which decoding alone gives %d results/s; here "+
		"it gave %.0f.",
		referenceDecoding, perSecond)
}

// target is a figure that the operator has to reach. Missing one is reported and fails nothing; losing a result fails
// the run.
type target struct {
	Title string `json:"title"`
	// Load is the key of the load at which it has to be reached.
	Load string `json:"load"`
	// Measured is the median over the rounds, Low and High are the least and the greatest.
	Measured float64 `json:"measured"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	// Bound is what Measured has to be at least or, where AtMost is set, at most.
	Bound  float64 `json:"bound"`
	AtMost bool    `json:"atMost,omitempty"`
	Unit   string  `json:"unit"`
	Met    bool    `json:"met"`
}

// findTargets returns the targets whose sides and loads were measured.
func findTargets(r *report) []target {
	var all []target
	add := func(loadKey string, t target, values []float64) {
		if len(values) == 0 {
			return
		}
		t.Load = loadKey
		t.Measured, t.Low, t.High = median(values), slices.Min(values), slices.Max(values)
		t.Met = t.Measured >= t.Bound
		if t.AtMost {
			t.Met = t.Measured <= t.Bound
		}
		all = append(all, t)
	}
	closed, open := r.Options.MainLoad, r.Options.RateLoad
	add(closed, target{Title: "operator / one object a result", Bound: targetObject, Unit: "×"},
		r.ratios(closed, keyOperator, keyObject))
	add(closed, target{Title: "operator / opaque ConfigMaps", Bound: targetFloor, Unit: "×"},
		r.ratios(closed, keyOperator, keyFloor))
	add(closed, target{Title: "operator with many tasks / with one", Bound: targetManyTasks, Unit: "×"},
		r.ratios(closed, keyOperatorTasks, keyOperator))
	for _, side := range []struct {
		key    string
		behind float64
	}{{keyOperator, targetBehindOne}, {keyOperatorTasks, targetBehindAll}} {
		s := r.find(open, side.key)
		if s == nil {
			continue
		}
		title := r.titleOf(side.key)
		add(open, target{Title: "p99 of the answer, " + title, Bound: targetP99, AtMost: true, Unit: "ms"},
			s.figures(func(m measurement) float64 { return m.P99 }))
		add(open, target{Title: "status ever behind, " + title, Bound: side.behind, AtMost: true, Unit: "s"},
			s.figures(func(m measurement) float64 { return m.BehindMaxSeconds }))
		addNews(add, open, title, s)
	}
	return all
}

// addNews adds the targets of news, where there were any.
func addNews(add func(string, target, []float64), load, title string, s *series) {
	var behind, missing []float64
	for _, m := range s.Rounds {
		if m.News != nil {
			behind, missing = append(behind, m.News.behind()), append(missing, float64(m.News.Missing))
		}
	}
	add(load, target{Title: "news ever behind, " + title, Bound: targetNews, AtMost: true, Unit: "s"}, behind)
	add(load, target{Title: "news never told, " + title, Bound: 0, AtMost: true, Unit: "news"}, missing)
}

func (r *report) titleOf(sideKey string) string {
	for _, s := range r.Sides {
		if s.Key == sideKey {
			return s.Title
		}
	}
	return sideKey
}
