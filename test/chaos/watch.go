// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"fwupgrade.io/operator/api/v1alpha1"
)

// lookInterval is how often the statuses are looked at while devices report.
const lookInterval = 2 * time.Second

// watcher looks for what must hold at any moment, whatever is broken: that a status counts nothing that was not pushed,
// adds up, never counts less than before, and is Ready only where it has to be.
type watcher struct {
	system     *system
	answers    *answers
	operations map[string]bool // that are looked at

	mu       sync.Mutex
	before   map[types.UID]v1alpha1.DeviceCounts
	problems []string
	looks    int
}

func newWatcher(s *system, a *answers, tasks []*task) *watcher {
	w := &watcher{
		system: s, answers: a, operations: map[string]bool{}, before: map[types.UID]v1alpha1.DeviceCounts{},
	}
	for _, t := range tasks {
		w.operations[t.operation] = true
	}
	return w
}

// run looks until the context ends.
func (w *watcher) run(ctx context.Context) {
	for sleep(ctx, lookInterval) {
		list := &v1alpha1.FirmwareUpgradeList{}
		attempt, cancel := context.WithTimeout(ctx, lookInterval)
		err := w.system.api.List(attempt, list)
		cancel()
		if err != nil {
			continue
		}
		w.mu.Lock()
		w.looks++
		due := w.answers.counts()
		for i := range list.Items {
			if fwu := &list.Items[i]; w.operations[fwu.Spec.OperationID] { // others are of the epoch before
				w.look(fwu, due[fwu.Spec.OperationID])
			}
		}
		w.mu.Unlock()
	}
}

// look looks at one FirmwareUpgrade.
func (w *watcher) look(fwu *v1alpha1.FirmwareUpgrade, due dueCounts) {
	say := func(format string, args ...any) {
		w.problems = append(w.problems, fmt.Sprintf("%s: at %s %s", fwu.Spec.OperationID,
			time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...)))
	}
	c := fwu.Status.Devices
	reported := c.Succeeded + c.Failed + c.InProgress
	if c.Expected+c.Unexpected != reported+c.Pending {
		say("the counts don't add up: %+v", c)
	}
	if reported > due.devices || c.Succeeded > due.succeeded || c.Failed+c.Recovered > due.failed {
		say("DOUBLED or invented: counts %+v, pushed %+v", c, due)
	}
	before := w.before[fwu.UID]
	if reported < before.Succeeded+before.Failed+before.InProgress || c.Succeeded < before.Succeeded ||
		c.Failed+c.Recovered < before.Failed+before.Recovered {
		say("it counts less than before: %+v, before %+v", c, before)
	}
	w.before[fwu.UID] = c
	if meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionReady) && len(fwu.Spec.Devices) == 0 {
		allowed := int64(0)
		if p := fwu.Spec.FailurePolicy; p != nil {
			allowed = int64(p.MaxFailed.IntVal)
		}
		if c.Pending+c.InProgress+c.Unexpected > 0 || c.Failed+c.Suspect > allowed || c.Succeeded == 0 {
			say("FALSE GREEN: %+v, %d may fail", c, allowed)
		}
	}
}

// take returns what was found, and forgets it.
func (w *watcher) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	problems := w.problems
	w.problems = nil
	return problems
}

// dueCounts are how many devices of a task have anything due, a success, and a failure.
type dueCounts struct{ devices, succeeded, failed int64 }

// counts returns them for each task.
func (a *answers) counts() map[string]dueCounts {
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := map[string]dueCounts{}
	for _, k := range a.devices {
		c := counts[k.operation]
		c.devices++
		if k.due.success() {
			c.succeeded++
		}
		if k.due.has(reportFailure) {
			c.failed++
		}
		counts[k.operation] = c
	}
	return counts
}
