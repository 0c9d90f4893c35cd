// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
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
	seen     map[types.UID]string // the task of each FirmwareUpgrade that there ever was
	problems []string
	looks    int
}

func newWatcher(s *system, a *answers, tasks []*task) *watcher {
	w := &watcher{
		system: s, answers: a, operations: map[string]bool{}, before: map[types.UID]v1alpha1.DeviceCounts{},
		seen: map[types.UID]string{},
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
	w.seen[fwu.UID] = fwu.Spec.OperationID
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
	if meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionReady) && !w.mayBeReady(fwu, due) {
		say("FALSE GREEN: %+v, pushed %+v", c, due)
	}
}

// mayBeReady says whether a FirmwareUpgrade can be Ready, by its spec and by what was pushed: enough devices have come
// to an end, and no more are bad than may be.
func (w *watcher) mayBeReady(fwu *v1alpha1.FirmwareUpgrade, due dueCounts) bool {
	spec, c := fwu.Spec, fwu.Status.Devices
	allowed := int64(0)
	if p := spec.FailurePolicy; p != nil {
		allowed = int64(p.MaxFailed.IntVal)
	}
	switch {
	case spec.Placeholder:
		return false // it waits for a day
	case len(spec.Devices) > 0: // what others report decides nothing
		ended, bad := w.answers.ended(spec.Devices)
		return ended == int64(len(spec.Devices)) && bad <= allowed
	case spec.ExpectedDevices != nil && due.ended < *spec.ExpectedDevices:
		return false
	}
	// Where nobody says how many there are, one may begin after the end.
	awaited := spec.ExpectedDevices != nil && c.Pending+c.InProgress+c.Unexpected > 0
	return c.Succeeded > 0 && !awaited && c.Failed+c.Suspect <= allowed
}

// known returns the task of each FirmwareUpgrade that was ever seen.
func (w *watcher) known() map[types.UID]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.seen)
}

// take returns what was found, and how often was looked.
func (w *watcher) take() (problems []string, looks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problems, w.looks
}

// dueCounts are how many devices of a task have anything due, a success, a failure, and either.
type dueCounts struct{ devices, succeeded, failed, ended int64 }

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
		if k.due.success() || k.due.has(reportFailure) {
			c.ended++
		}
		counts[k.operation] = c
	}
	return counts
}
