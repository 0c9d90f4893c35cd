// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// The steps of a device that are not the platform's: it has not begun, and it has ended.
const (
	notBegun int8 = -1
	ended    int8 = 100
)

// after returns when something is that takes a device, or a timer of the platform about it, so long.
func (s *Server) after(at time.Time, d time.Duration) time.Time {
	return at.Add(part(d, 1/s.options.Speed))
}

// start starts a task: each of its devices begins when it is its turn.
func (s *Server) start(t *task, at time.Time) {
	if t.status != statusWait {
		return
	}
	t.status, t.started = statusProcessing, at
	for i := range t.devices {
		s.enroll(t, i, at)
	}
}

// enroll makes a device that waits begin some time after now.
func (s *Server) enroll(t *task, i int, at time.Time) {
	d := &t.devices[i]
	s.occupy(t, d.id)
	f := s.options.fateOf(t.id, d.id, d.attempt)
	wait := f.begins
	if f.offline {
		wait = onlineTimeout
	}
	d.step = notBegun
	s.agenda.add(entry{at: s.after(at, wait), task: t, device: int32(i), turn: d.turn})
}

// occupy makes a task the one that a device is upgraded by, unless there is another.
func (s *Server) occupy(t *task, deviceID string) registered {
	known := s.tasks.devices[deviceID]
	if known.busy == nil {
		known.busy = t
		s.tasks.devices[deviceID] = known
	}
	return known
}

// proceed makes happen to a device what comes next.
func (s *Server) proceed(t *task, i int, at time.Time) {
	d := &t.devices[i]
	f := s.options.fateOf(t.id, d.id, d.attempt)
	next := func(step platform.Kind, in time.Duration) {
		d.step = int8(step)
		d.turn++
		s.agenda.add(entry{at: s.after(at, in), task: t, device: int32(i), turn: d.turn})
		if f.steps {
			s.notifyStep(t, i, step, at)
		}
	}
	switch fails := f.fails && int8(f.failsAt) == d.step; {
	case d.step == notBegun && f.offline:
		s.end(t, i, statusFail, f.failure, at)
	case d.step == notBegun:
		s.begin(t, i, at, func() { next(platform.StepIdle, 0) })
	case d.step == int8(platform.StepIdle):
		next(platform.StepDownloading, f.downloads)
	case fails:
		s.end(t, i, statusFail, f.failure, at)
	case d.step == int8(platform.StepDownloading):
		next(platform.StepDownloaded, f.rests)
	case d.step == int8(platform.StepDownloaded):
		next(platform.StepUpdating, f.updates)
	default:
		s.end(t, i, statusSuccess, "", at)
	}
}

// begin begins a device's upgrade, unless there is none to do.
func (s *Server) begin(t *task, i int, at time.Time, goOn func()) {
	d := &t.devices[i]
	d.started = at
	switch known := s.occupy(t, d.id); {
	case known.busy != t:
		// Documented: a sub-task's failure; that the second task is created nevertheless is inferred.
		s.end(t, i, statusFail, textConflict, at)
	case known.version == t.version:
		// Documented: nothing is started. Inferred: that this is a success, and is pushed as one.
		s.end(t, i, statusSuccess, textSameVersion, at)
	default:
		t.set(d, statusProcessing, at)
		goOn()
	}
}

// end ends a device's sub-task, and the task with its last one. Results are pushed; that a stopped sub-task causes no
// push is inferred.
func (s *Server) end(t *task, i int, status, detail string, at time.Time) {
	d := &t.devices[i]
	known := s.tasks.devices[d.id]
	source := known.version
	if known.busy == t {
		known.busy = nil
		if status == statusSuccess {
			known.version = t.version
		}
		s.tasks.devices[d.id] = known
	}
	d.timedOut = status == statusFail && isTimeout(detail)
	t.set(d, status, at)
	d.stopped, d.detail, d.step = at, detail, ended
	d.failed = d.failed || status == statusFail
	if status != statusStop {
		s.notifyResult(t, i, source, at)
	}
	s.finishIfEnded(t, at)
}

// finishIfEnded ends a task when all its sub-tasks have ended.
func (s *Server) finishIfEnded(t *task, at time.Time) {
	if t.counts.open() > 0 || t.status != statusProcessing {
		return
	}
	t.stopped = at
	switch { // inferred: how the sub-tasks add up
	case t.counts.Stop > 0:
		t.status = statusStop
	case t.counts.Fail == 0:
		t.status = statusSuccess
	default:
		t.status = statusFailed
		if t.retries > 0 {
			t.retries--
			s.agenda.add(entry{at: s.after(at, s.options.Devices.RetryPause), do: func(at time.Time) { s.retry(t, at) }})
		}
	}
}

// retry tries the failed devices of a task again. Documented: it happens when the whole task has failed, to those that
// failed alone.
func (s *Server) retry(t *task, at time.Time) {
	if t.status != statusFailed || t.deleted {
		return
	}
	t.status, t.stopped = statusProcessing, time.Time{}
	for i := range t.devices {
		d := &t.devices[i]
		if d.status != statusFail {
			continue
		}
		t.set(d, statusWait, at)
		d.timedOut, d.detail, d.started, d.stopped = false, "", time.Time{}, time.Time{}
		d.attempt++
		s.enroll(t, i, at)
	}
}

// stopDevices stops those sub-tasks of a task that have not ended, or, with waiting, those that have not begun.
func (s *Server) stopDevices(t *task, at time.Time, waiting bool) {
	for i := range t.devices {
		status := t.devices[i].status
		if status == statusWait || status == statusProcessing && !waiting {
			s.end(t, i, statusStop, "", at)
		}
	}
}
