// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-logr/logr"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// maxSweepTime is how long a sweep may take at most.
	maxSweepTime = 24 * time.Hour
	// sweepRetry is when a sweep that broke off, or can't begin, is tried again.
	sweepRetry = time.Minute
	// pageSize is how many tasks or sub-tasks the client asks for in a call: the most that the platform gives.
	pageSize = 100
	// maxMorePages is how many pages more than the figures tell a state may have: devices move while it is looked
	// through. A platform that takes no notice of the page's number has no last one.
	maxMorePages = 2
	// storeDeadline is how long storing the results of a page may take, as for what the webhook receives.
	storeDeadline = 10 * time.Second
)

// errNotFollowed is the end of a sweep whose task nobody follows any more.
var errNotFollowed = errors.New("nobody follows the task any more")

// sweeps are the tasks whose missing results are to be asked for, in order.
type sweeps struct {
	wanted []result.Task
	wake   chan struct{}
}

func newSweeps() sweeps { return sweeps{wake: make(chan struct{}, 1)} }

// want adds a task, unless it waits already: then only for room in the store, which there may be now.
func (s *sweeps) want(task result.Task) {
	if !slices.Contains(s.wanted, task) {
		s.wanted = append(s.wanted, task)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// keepSwept asks for missing results, one task after the other.
func (l *Link) keepSwept(ctx context.Context) {
	for {
		task, ok := l.nextSweep()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-l.sweeps.wake:
			}
			continue
		}
		found, err := l.sweep(ctx, task)
		if ctx.Err() != nil {
			return
		}
		l.endSweep(task, found, err)
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

func (l *Link) nextSweep() (result.Task, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sweeps.wanted) == 0 || l.o.Store.IsFull() {
		return result.Task{}, false
	}
	return l.sweeps.wanted[0], true
}

// endSweep notes the end of a sweep. One that broke off is begun again by the next round that finds a difference. One
// that found something helped, whatever got lost meanwhile.
func (l *Link) endSweep(task result.Task, found bool, err error) {
	l.mu.Lock()
	l.sweeps.wanted = l.sweeps.wanted[1:]
	if v := l.views[task]; v != nil {
		switch {
		case found:
			v.swept, v.broken = 0, 0
		case err == nil:
			v.swept++
			v.broken = 0
		case platform.KindOf(err) != platform.BreakerOpen && platform.KindOf(err) != platform.Throttled:
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
	pages := subTasks/pageSize + 1
	return time.Duration(pages) * time.Minute * 3 / time.Duration(max(1, 2*l.callsPerMinute.Load()))
}

// sweep asks for the results of a task that are missing, by state: first what failed, which is little and matters most.
// It stops when as many were found as were missing: pages may shift while it looks, and the next round compares. What
// was stopped counts as failed, so that nobody knows which of the two is missing. It says whether it found anything.
func (l *Link) sweep(ctx context.Context, task result.Task) (found bool, err error) {
	l.mu.Lock()
	v := l.views[task]
	var of platform.Task
	if v != nil && v.task != nil {
		of = *v.task
	}
	l.mu.Unlock()
	sum, r := l.o.Store.Summary(task, tally.Query{}), of.Result
	missing := r.Failed() - sum.Failed
	timeouts := r.Failed() - r.Fail - r.Stop // where they are counted beside the failures
	for _, state := range []struct {
		of    platform.SubTaskStatus
		count int64
	}{
		{platform.SubTaskFailed, r.Failed() - r.Stop}, {platform.SubTaskTimeout, timeouts},
		{platform.SubTaskStopped, r.Stop}, {platform.SubTaskSucceeded, r.Success},
	} {
		if state.of == platform.SubTaskSucceeded {
			missing = r.Success - sum.Succeeded
		}
		if state.count == 0 {
			continue
		}
		stored, err := l.sweepState(ctx, &of, task, state.of, state.count/pageSize+maxMorePages, missing)
		found = found || stored > 0
		if state.of == platform.SubTaskTimeout && platform.IsAboutRequest(err) {
			err = nil // the state is not documented: where the platform has none, they are among the failures
		}
		if err != nil {
			return found, err
		}
		missing -= stored
	}
	return found, nil
}

// sweepState asks for the sub-tasks in a state, at most so many pages of them, until as many were found as are missing.
// It returns how many were found and stored.
func (l *Link) sweepState(
	ctx context.Context, of *platform.Task, task result.Task, state platform.SubTaskStatus, pages, missing int64,
) (stored int64, err error) {
	page := l.resume(task, state)
	defer func() { l.noteResume(task, state, page, err != nil) }()
	for ; stored < missing && int64(page) < pages; page++ {
		answer, err := l.o.Client.SubTasks(ctx, task.OperationID, string(state), page, platform.PrioritySweep)
		if err != nil {
			return stored, err
		}
		lacking, ended := l.lacking(of, task, answer.SubTasks)
		if len(lacking) > 0 {
			if err := l.add(ctx, task, lacking, ended); err != nil {
				return stored, err
			}
			stored += int64(len(lacking))
		}
		if len(answer.SubTasks) == 0 || answer.Total >= 0 && int64(page+1)*pageSize >= answer.Total {
			break
		}
	}
	return stored, nil
}

// resume is the page at which a sweep of a state begins: where the last one broke off, else the first.
func (l *Link) resume(task result.Task, state platform.SubTaskStatus) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.views[task]; v != nil {
		return v.resume[state]
	}
	return 0
}

// noteResume notes at which page a sweep of a state broke off, or that it did not.
func (l *Link) noteResume(task result.Task, state platform.SubTaskStatus, page int, brokeOff bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch v := l.views[task]; {
	case v == nil:
	case !brokeOff:
		delete(v.resume, state)
	case v.resume == nil:
		v.resume = map[platform.SubTaskStatus]int{state: page}
	default:
		v.resume[state] = page
	}
}

// add stores results that were asked for, of a task that is still followed: results of one whose FirmwareUpgrade is
// deleted may be purged, and must not come back. A purge waits for what may be on its way for longer than this takes.
// Ended is when the devices did, by the platform's clock.
func (l *Link) add(ctx context.Context, task result.Task, results []result.Result, ended []time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	followed, err := l.o.Followed(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(followed, func(f Followed) bool { return f.Task == task }) {
		return errNotFollowed
	}
	// Counted before they are stored: as soon as they are, the upgrade may end, and is told how many were asked for.
	l.countRepaired(task, len(results))
	if err := l.o.Store.AddPolled(ctx, task, results); err != nil {
		l.countRepaired(task, -len(results))
		return err
	}
	offset := l.o.Client.Status().ClockOffset
	l.mu.Lock()
	l.receiving.repaired(task, results, ended, offset)
	l.mu.Unlock()
	l.o.Repaired(len(results))
	l.judgeReceiving(true)
	return nil
}

func (l *Link) countRepaired(task result.Task, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.views[task]; v != nil {
		v.repaired += int64(n)
	}
}

// lacking returns the results that the tally lacks, of sub-tasks that have ended, and when these did by the platform's
// clock; zero where it does not say.
func (l *Link) lacking(
	of *platform.Task, task result.Task, subTasks []platform.SubTask,
) (lacking []result.Result, ended []time.Time) {
	for i := range subTasks {
		r, hasEnded := resultOf(of, task, &subTasks[i], l.o.Clock.Now())
		if !hasEnded {
			continue
		}
		lacks, heard := l.o.Store.Heard(task, r.DeviceID, r.State)
		if !lacks {
			continue
		}
		// The platform's clock may be behind. It says how the device ended after everything that was heard of it: a step
		// that seems to be later would look like a retry.
		if r.State == storage.StateFailed {
			r.ReceivedAt = max(r.ReceivedAt, heard)
		}
		lacking, ended = append(lacking, r), append(ended, subTasks[i].StopTime)
	}
	return lacking, ended
}
