// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-logr/logr"

	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// maxSweepTime is how long a sweep may take at most.
	maxSweepTime = 24 * time.Hour
	// sweepRetry is when a sweep that broke off, or can't begin, is tried again.
	sweepRetry = time.Minute
	// storeDeadline is how long storing the results of a page may take, as for what the webhook receives.
	storeDeadline = 10 * time.Second
)

// noRoomNote is what is said of a task while the store is full.
const noRoomNote = "the repair waits for room in the store"

// errNotFollowed is the end of a sweep whose task nobody follows any more.
var errNotFollowed = errors.New("nobody follows the task any more")

// sweeps are the tasks whose missing results are to be asked for, in the order in which they came.
type sweeps struct {
	wanted []result.Task
	// turns is how many pages were asked for.
	turns int
	wake  chan struct{}
}

func newSweeps() sweeps { return sweeps{wake: make(chan struct{}, 1)} }

// want adds a task, unless it waits already: then only for room in the store, which there may be now.
func (s *sweeps) want(task result.Task) {
	if !slices.Contains(s.wanted, task) {
		s.wanted = append(s.wanted, task)
	}
	wake(s.wake)
}

// keepSwept asks for missing results, page by page. After each page another task may have its turn.
func (l *Link) keepSwept(ctx context.Context) {
	for {
		task, ok := l.nextSweep()
		if !ok {
			l.noteNoRoom()
			select {
			case <-ctx.Done():
				return
			case <-l.sweeps.wake:
			}
			continue
		}
		ended, err := l.sweep(ctx, task)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && !ended:
			continue
		}
		l.endSweep(task, err)
		if err == nil || errors.Is(err, errNotFollowed) {
			continue
		}
		l.noteSweep(err)
		logr.FromContextOrDiscard(ctx).Info("Could not ask for missing results, will try again",
			"operationId", task.OperationID, "error", err.Error())
		if platform.IsAboutRequest(err) { // the other tasks need not wait
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-l.o.Clock.After(sweepRetry):
		}
	}
}

// nextSweep returns whose turn it is, if the store has room for what is found: of the task that lacks the fewest
// results, and every second time of the one that has waited longest. So a small one need not wait for a large one, and
// neither for all small ones.
func (l *Link) nextSweep() (result.Task, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sweeps.wanted) == 0 || l.o.Store.IsFull() {
		return result.Task{}, false
	}
	l.sweeps.turns++
	if l.sweeps.turns%2 == 0 {
		return l.sweeps.wanted[0], true
	}
	return slices.MinFunc(l.sweeps.wanted, func(a, b result.Task) int {
		return cmp.Compare(l.missingOf(a), l.missingOf(b))
	}), true
}

// missingOf is how many results of a task are missing. The caller holds the lock.
func (l *Link) missingOf(task result.Task) int64 {
	if v := l.views[task]; v != nil {
		return v.missing
	}
	return 0
}

// noteNoRoom says of the tasks that have to wait that they do. The next round has the sweeps go on, if there is room.
func (l *Link) noteNoRoom() {
	var wait []result.Task
	l.mu.Lock()
	for _, task := range l.sweeps.wanted {
		if v := l.views[task]; v != nil && v.judgement == status.Repairing && v.note != noRoomNote {
			v.note = noRoomNote
			wait = append(wait, task)
		}
	}
	l.mu.Unlock()
	l.o.Changed(wait)
}

// endSweep notes the end of a sweep. One that broke off is begun again by the next round that finds a difference. One
// that found something helped, whatever got lost meanwhile. Only what the platform does is a reason to give up: that
// results can't be stored is not.
func (l *Link) endSweep(task result.Task, err error) {
	l.mu.Lock()
	l.sweeps.wanted = slices.DeleteFunc(l.sweeps.wanted, func(other result.Task) bool { return other == task })
	if v := l.views[task]; v != nil {
		switch platform.KindOf(err) {
		case "": // ours
			if err == nil {
				v.endSweep(l.callsPerMinute.Load(), l.o.Period)
			}
		case platform.BreakerOpen, platform.Throttled, platform.Canceled:
		default:
			v.broken++
			v.brokenBy = messageOf(err)
		}
	}
	l.mu.Unlock()
	l.o.Changed([]result.Task{task})
}

// sweepTakes is how long it takes to look through the sub-tasks in the states in which results are missing, with two
// thirds of the calls.
func (l *Link) sweepTakes(r platform.StaResult, sum tally.Summary) time.Duration {
	subTasks := int64(0)
	if r.Success > sum.Succeeded {
		subTasks += r.Success
	}
	if r.Failed() > sum.Failed {
		subTasks += r.Failed()
	}
	pages := subTasks/platform.PageSize + 1
	return time.Duration(pages) * time.Minute * 3 / time.Duration(max(1, 2*l.callsPerMinute.Load()))
}

// sweep is the look through the sub-tasks of a task for results that are missing, by state: first what failed, which is
// little and matters most. What was stopped counts as failed, so that nobody knows which of the two is missing.
type sweep struct {
	// of is the task as it was when this began.
	of platform.Task
	// states are those that are still to be looked through, pages how far the first one was; asked is how many pages were
	// asked for.
	states []sweptState
	pages  paging
	asked  int
	// failed is how many results are missing of what failed or was stopped, succeeded of the others. It ends when as many
	// were found: pages may shift while it looks, and the next round compares.
	failed, succeeded int64
	// found says that it found any, unusable how many sub-tasks it saw with an id that no notification could have.
	found    bool
	unusable int
}

// sweptState is a state and how many sub-tasks are in it by the figures.
type sweptState struct {
	status platform.SubTaskStatus
	count  int64
}

func newSweep(of platform.Task, sum tally.Summary) *sweep {
	r := of.Result
	s := &sweep{of: of, failed: r.Failed() - sum.Failed, succeeded: r.Success - sum.Succeeded}
	timeouts := r.Failed() - r.Fail - r.Stop // where they are counted beside the failures
	for _, state := range []sweptState{
		{platform.SubTaskFailed, r.Failed() - r.Stop}, {platform.SubTaskTimeout, timeouts},
		{platform.SubTaskStopped, r.Stop}, {platform.SubTaskSucceeded, r.Success},
	} {
		if state.count > 0 {
			s.states = append(s.states, state)
		}
	}
	return s
}

// missing is how many results of a state are missing.
func (s *sweep) missing(of sweptState) *int64 {
	if of.status == platform.SubTaskSucceeded {
		return &s.succeeded
	}
	return &s.failed
}

// next returns the state of the next page; false where there is none.
func (s *sweep) next() (sweptState, bool) {
	for ; len(s.states) > 0; s.skip() {
		if state := s.states[0]; *s.missing(state) > 0 {
			return state, true
		}
	}
	return sweptState{}, false
}

// skip goes on to the next state.
func (s *sweep) skip() { s.states, s.pages = s.states[1:], paging{} }

// sweep asks for the next page of the sweep of a task, which begins where there is none yet, or goes on where it was,
// also when it broke off there. It says whether that was the last page.
func (l *Link) sweep(ctx context.Context, task result.Task) (ended bool, err error) {
	s := l.sweepOf(task)
	state, ok := s.next()
	if !ok {
		return true, nil
	}
	inTime, cancel := l.within(ctx, maxWait)
	defer cancel()
	page, err := l.o.Client.SubTasks(inTime, task.OperationID, string(state.status), s.pages.next, platform.PrioritySweep)
	if state.status == platform.SubTaskTimeout && platform.IsAboutRequest(err) {
		s.skip() // the state is not documented: where the platform has none, they are among the failures
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lacking, stopped := l.lacking(&s.of, task, page.SubTasks)
	if len(lacking) > 0 {
		counted, err := l.add(ctx, task, lacking, stopped)
		if err != nil {
			return false, err
		}
		*s.missing(state) -= counted
		s.found = s.found || counted > 0
	}
	s.unusable += page.Unusable
	if s.asked++; s.pages.take(page, state.count) {
		s.skip()
	}
	_, more := s.next()
	return !more, nil
}

// sweepOf returns the sweep of a task: the one that was begun, or a new one.
func (l *Link) sweepOf(task result.Task) *sweep {
	sum := l.o.Store.Summary(task, tally.Query{})
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views[task]
	if v == nil || v.task == nil {
		return &sweep{}
	}
	if v.sweep == nil {
		v.sweep = newSweep(*v.task, sum)
	}
	return v.sweep
}
