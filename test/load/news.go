// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// news are what somebody waits for, as a set: other changes of a status are mere progress.
type news uint8

const (
	// newsFailure is that a first device failed.
	newsFailure news = 1 << iota
	// newsDegraded is that the failure policy is broken.
	newsDegraded
	// newsFinished is that the upgrade finished.
	newsFinished
)

// newsKinds are all of them.
func newsKinds() []news { return []news{newsFailure, newsDegraded, newsFinished} }

// String names one of them, for people and for the report.
func (n news) String() string {
	switch n {
	case newsFailure:
		return "first failure"
	case newsDegraded:
		return "Degraded"
	case newsFinished:
		return "Finished"
	default:
		return "several"
	}
}

// wantedNews is a news that has to come, as what was pushed decided it.
type wantedNews struct {
	newsOfUpgrade
	operationID string
	// decided is when the push that decided it was answered 200.
	decided time.Time
}

// newsOf returns the news that follow from what was answered 200 in a turn.
func newsOf(t *turn) []wantedNews {
	var wanted []wantedNews
	results := resultsByTask(t.plan, t.answers)
	for i, task := range t.plan.Counts(nil) {
		expected := t.devicesOf(i, task.Devices)
		add := func(what news, decided time.Time) {
			wanted = append(wanted, wantedNews{
				newsOfUpgrade: newsOfUpgrade{name: upgradeName(i), what: what}, operationID: task.OperationID, decided: decided,
			})
		}
		failed := int64(0)
		for n, r := range results[i] {
			if r.failed {
				failed++
				if failed == 1 {
					add(newsFailure, r.at)
				}
				if failed == maxFailed(expected)+1 {
					add(newsDegraded, r.at)
				}
			}
			if int64(n+1) == expected {
				add(newsFinished, r.at)
			}
		}
	}
	return wanted
}

// deviceResult is what a device reported, and when that was answered.
type deviceResult struct {
	at     time.Time
	failed bool
}

// resultsByTask returns, for every task, the devices' results in the order in which they were answered 200. A turn that
// is asked for news pushes one result for each device.
func resultsByTask(plan *platform.Plan, answers pushed) [][]deviceResult {
	byTask := make([][]deviceResult, plan.Options().Tasks)
	for i, a := range answers {
		if n := plan.At(i); a.ok() {
			byTask[n.Task] = append(byTask[n.Task], deviceResult{at: a.at, failed: n.Kind == platform.Fail})
		}
	}
	for _, of := range byTask {
		slices.SortStableFunc(of, func(a, b deviceResult) int { return a.at.Compare(b.at) })
	}
	return byTask
}

// told is what a side told of what was pushed.
type told struct {
	// statuses are the versions of the tasks' statuses, in the order in which they were seen.
	statuses []sighting
	// wanted are the news that had to come, and events when the first Event about each was seen.
	wanted []wantedNews
	events map[newsOfUpgrade]time.Time
}

// newsFigures is how long after the answer to the push that decided it a news was told, over all FirmwareUpgrades.
type newsFigures struct {
	// Count is how many news there were, and Missing how many of them were never told, in the status or by an Event.
	Count   int `json:"count"`
	Missing int `json:"missing"`
	// Status is until it was in the status, Event until an Event about it existed.
	Status seconds `json:"statusSeconds"`
	Event  seconds `json:"eventSeconds"`
	// Kinds are the same for each kind of news.
	Kinds map[string]kindFigures `json:"kinds,omitempty"`
}

type kindFigures struct {
	Count  int     `json:"count"`
	Status seconds `json:"statusSeconds"`
	Event  seconds `json:"eventSeconds"`
}

// seconds are quantiles.
type seconds struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func secondsOf(values []time.Duration) seconds {
	slices.Sort(values)
	return seconds{
		P50: quantile(values, 0.50).Seconds(), P99: quantile(values, 0.99).Seconds(), Max: quantile(values, 1).Seconds(),
	}
}

// figures returns how long the news took; nil where there were none.
func (t *told) figures() *newsFigures {
	if len(t.wanted) == 0 {
		return nil
	}
	inStatus := firstSightings(t.statuses)
	f := &newsFigures{Count: len(t.wanted), Kinds: map[string]kindFigures{}}
	var statuses, events []time.Duration
	for _, kind := range newsKinds() {
		count := 0
		var ofStatuses, ofEvents []time.Duration
		for _, w := range t.wanted {
			if w.what != kind {
				continue
			}
			count++
			status, told := inStatus[newsOfUpgrade{name: w.operationID, what: kind}]
			event, announced := t.events[w.newsOfUpgrade]
			if !told || !announced {
				f.Missing++
				continue
			}
			// A slice is stored a little before the pushes in it are answered.
			ofStatuses = append(ofStatuses, max(0, status.Sub(w.decided)))
			ofEvents = append(ofEvents, max(0, event.Sub(w.decided)))
		}
		if count > 0 {
			statuses, events = append(statuses, ofStatuses...), append(events, ofEvents...)
			f.Kinds[kind.String()] = kindFigures{Count: count, Status: secondsOf(ofStatuses), Event: secondsOf(ofEvents)}
		}
	}
	f.Status, f.Event = secondsOf(statuses), secondsOf(events)
	return f
}

// firstSightings returns when each news was first seen in a status, by the task's operation ID.
func firstSightings(seen []sighting) map[newsOfUpgrade]time.Time {
	first := map[newsOfUpgrade]time.Time{}
	for _, s := range seen {
		for _, kind := range newsKinds() {
			key := newsOfUpgrade{name: s.operationID, what: kind}
			if _, known := first[key]; s.tells&kind != 0 && !known {
				first[key] = s.at
			}
		}
	}
	return first
}

// behind returns the greater of the longest times until the status and until the Event, in seconds.
func (f *newsFigures) behind() float64 { return max(f.Status.Max, f.Event.Max) }
