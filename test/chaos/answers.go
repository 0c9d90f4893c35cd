// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// answers are what is known of what was pushed: the one thing that the model knows beside the plan.
type answers struct {
	mu      sync.Mutex
	devices map[string]*known
	// unexpected are answers that no push may get, with how often they came.
	unexpected map[string]int
	// malformed are the notifications that can't be used and that were answered 200.
	malformed map[string]bool
}

// known is what is known of what a device reported.
type known struct {
	operation string
	phase     int
	// due has fallen due, so that it may be pushed at any moment.
	due reports
	// certain was answered 200; possible was pushed and got another answer or none, so that it may be stored.
	certain, possible reports
	// unclear is when the last push of it got another answer than 200, or none.
	unclear time.Time
}

// reports is a set of what notifications say.
type reports uint

func (r reports) has(report report) bool { return r&(1<<report) != 0 }

func (r *reports) add(report report) { *r |= 1 << report }

func (r reports) success() bool { return r.has(reportSuccess) || r.has(reportSuspect) }

func (r reports) any() bool { return r != 0 }

func newAnswers() *answers {
	return &answers{devices: map[string]*known{}, unexpected: map[string]int{}, malformed: map[string]bool{}}
}

// planned notes that a notification is about to be pushed.
func (a *answers) planned(p push) { a.note(p, func(k *known) { k.due.add(p.report) }) }

// certain notes that it was answered 200.
func (a *answers) certain(p push) {
	if p.malformed != "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.malformed[p.malformed] = true
		return
	}
	a.note(p, func(k *known) { k.certain.add(p.report) })
}

// possible notes that it was pushed, and that nobody knows whether it is stored.
func (a *answers) possible(p push) {
	a.note(p, func(k *known) {
		k.possible.add(p.report)
		k.unclear = time.Now()
	})
}

// check notes an answer that no push may get: one that can be used, or be stored as rejected, is answered 200, unless
// it could not be stored (503), or its body did not arrive in time, as where the webhook hung (408).
func (a *answers) check(p push, code int) {
	if code == http.StatusOK || code == http.StatusServiceUnavailable || code == http.StatusRequestTimeout {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unexpected[fmt.Sprintf("%d for a push of %s%s", code, p.device, p.malformed)]++
}

// ended is how many of some devices have had an end fall due, a success or a failure, and how many of these are bad,
// whatever has arrived: no success with the right version fell due.
func (a *answers) ended(ids []string) (all, bad int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		k := a.devices[id]
		if k == nil || !k.due.success() && !k.due.has(reportFailure) {
			continue
		}
		all++
		if !k.due.has(reportSuccess) {
			bad++
		}
	}
	return all, bad
}

func (a *answers) note(p push, change func(*known)) {
	if p.malformed != "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.devices[p.device]
	if k == nil {
		k = &known{operation: p.task.operation, phase: p.phase}
		a.devices[p.device] = k
	}
	change(k)
}

// of returns what is known of the devices of a task, by id.
func (a *answers) of(operation string) map[string]known {
	a.mu.Lock()
	defer a.mu.Unlock()
	devices := map[string]known{}
	for id, k := range a.devices {
		if k.operation == operation {
			devices[id] = *k
		}
	}
	return devices
}

func sorted(intervals []interval) []interval {
	return slices.SortedFunc(slices.Values(intervals), func(a, b interval) int { return a.from.Compare(b.from) })
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
