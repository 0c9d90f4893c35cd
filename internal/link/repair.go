// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"fmt"
	"slices"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
)

// maxUncounted is how many devices of a task are remembered whose results were stored and are missing all the same.
const maxUncounted = 1000

// add stores results that were asked for, of a task that is still followed: results of one whose FirmwareUpgrade is
// deleted may be purged, and must not come back. A purge waits for what may be on its way for longer than this takes.
// Ended is when the devices did, by the platform's clock. It returns how many of them the store counts then.
func (l *Link) add(
	ctx context.Context, task result.Task, results []result.Result, ended []time.Time,
) (counted int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	followed, err := l.o.Followed(ctx)
	if err != nil {
		return 0, err
	}
	if !slices.ContainsFunc(followed, func(f Followed) bool { return f.Task == task }) {
		return 0, errNotFollowed
	}
	// Counted before they are stored: as soon as they are, the upgrade may end, and is told how many were asked for.
	l.countRepaired(task, len(results))
	if err := l.o.Store.AddPolled(ctx, task, results); err != nil {
		l.countRepaired(task, -len(results))
		return 0, err
	}
	uncounted := l.noteUncounted(task, results)
	l.countRepaired(task, -uncounted)
	if len(results) == uncounted {
		return 0, nil
	}
	offset := l.o.Client.Status().ClockOffset
	l.mu.Lock()
	if v := l.views[task]; v != nil {
		v.swept, v.broken = 0, 0
	}
	l.receiving.repaired(task, results, ended, offset)
	l.mu.Unlock()
	l.o.Repaired(len(results) - uncounted)
	l.judgeReceiving(true)
	return int64(len(results) - uncounted), nil
}

func (l *Link) countRepaired(task result.Task, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v := l.views[task]; v != nil {
		v.repaired += int64(n)
	}
}

// noteUncounted returns how many results are missing although they were stored, as a device's id was read back
// otherwise, say. These devices are not asked for again: they would be for ever.
func (l *Link) noteUncounted(task result.Task, results []result.Result) (n int) {
	for i := range results {
		lacks, _ := l.o.Store.Heard(task, results[i].DeviceID, results[i].State)
		if !lacks {
			continue
		}
		n++
		l.mu.Lock()
		if v := l.views[task]; v != nil && len(v.uncounted) < maxUncounted {
			if v.uncounted == nil {
				v.uncounted = map[string]struct{}{}
			}
			v.uncounted[results[i].DeviceID] = struct{}{}
		}
		l.mu.Unlock()
	}
	return n
}

// lacking returns the results that the tally lacks, of sub-tasks that have ended, each device once, and when these did
// by the platform's clock; zero where it does not say.
func (l *Link) lacking(
	of *platform.Task, task result.Task, subTasks []platform.SubTask,
) (lacking []result.Result, ended []time.Time) {
	at := map[string]int{} // where a device is in them
	for i := range subTasks {
		r, hasEnded := resultOf(of, task, &subTasks[i], l.o.Clock.Now())
		if !hasEnded || l.isUncounted(task, r.DeviceID) {
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
		switch n, again := at[r.DeviceID]; {
		case !again:
			at[r.DeviceID] = len(lacking)
			lacking, ended = append(lacking, r), append(ended, subTasks[i].StopTime)
		case result.Compare(&lacking[n], &r) < 0:
			lacking[n], ended[n] = r, subTasks[i].StopTime
		}
	}
	return lacking, ended
}

// leftOut says which results are not taken over from the platform, after other words of a note.
func (v *view) leftOut() (text string) {
	if v.unusable > 0 {
		text = fmt.Sprintf("; %d of these name a device, or themselves, in a way that no notification could", v.unusable)
	}
	if n := len(v.uncounted); n > 0 {
		text += fmt.Sprintf("; the results of %d devices were stored, and are missing all the same", n)
	}
	return text
}

func (l *Link) isUncounted(task result.Task, deviceID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views[task]
	if v == nil {
		return false
	}
	_, is := v.uncounted[deviceID]
	return is
}
