// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import "time"

// agenda is what is to happen and when. A million devices have one entry each, so an entry is small.
type agenda struct {
	entries queue[entry]
	added   uint64
}

// entry is something that is to happen: to a device, or, with do, anything.
type entry struct {
	at    time.Time
	order uint64 // what is due at the same time happens in the order in which it was added
	task  *task
	// device is the number of the device in its task, turn, its turn when the entry was added: it is void when that
	// has moved on.
	device, turn int32
	do           func(at time.Time)
}

func (e entry) before(other entry) bool {
	if !e.at.Equal(other.at) {
		return e.at.Before(other.at)
	}
	return e.order < other.order
}

func (a *agenda) add(e entry) {
	a.added++
	e.order = a.added
	a.entries.add(e)
}

// next returns when the next entry is due; zero where there is none.
func (a *agenda) next() time.Time {
	if len(a.entries) == 0 {
		return time.Time{}
	}
	return a.entries[0].at
}

// due removes the next entry and returns it, if it is due.
func (a *agenda) due(now time.Time) (entry, bool) {
	if len(a.entries) == 0 || a.entries[0].at.After(now) {
		return entry{}, false
	}
	return a.entries.take(), true
}

// advance makes everything happen that is due, each thing at its time.
func (s *Server) advance(now time.Time) {
	for e, ok := s.agenda.due(now); ok; e, ok = s.agenda.due(now) {
		switch {
		case e.do != nil:
			e.do(e.at)
		case e.task.devices[e.device].turn == e.turn:
			s.proceed(e.task, int(e.device), e.at)
		}
	}
}
