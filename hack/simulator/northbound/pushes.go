// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// backlogLifetime is how long a push is kept that a blacklisting holds back. Documented.
const backlogLifetime = 24 * time.Hour

// push is a notification on its way to a subscriber.
type push struct {
	at, due time.Time
	order   uint64
	to      subscription
	body    []byte
	task    *task
	device  int
	result  bool // it says how a sub-task ended
}

func (p push) before(other push) bool {
	if !p.due.Equal(other.due) {
		return p.due.Before(other.due)
	}
	return p.order < other.order
}

// pushes are all that are to be pushed, by host: a host that does not answer holds up no other.
type pushes struct {
	hosts map[string]*host
	order []*host
	added uint64
}

// host is where pushes go to. Documented: it is the host that is blacklisted.
type host struct {
	waiting   queue[push]
	inFlight  int
	limit     int
	blacklist platform.Blacklist

	backlogUntil, backlogNext time.Time // what was due before the former was held back, and may go on at the latter
	backlogGap                time.Duration
}

func newPushes() pushes { return pushes{hosts: map[string]*host{}} }

func (p *pushes) add(added push, o PushOptions) {
	h := p.hosts[added.to.host]
	if h == nil {
		h = &host{
			limit:      o.Concurrency,
			blacklist:  platform.Blacklist{After: o.BlacklistAfter, Duration: o.BlacklistDuration},
			backlogGap: time.Duration(float64(time.Second) / o.BacklogRate),
		}
		p.hosts[added.to.host] = h
		p.order = append(p.order, h)
	}
	p.added++
	added.order = p.added
	h.waiting.add(added)
}

// take removes and returns what is to be pushed now, and what was given up; and when there is more, unless that is
// when a push under way was answered.
func (p *pushes) take(now time.Time) (ready, given []push, at time.Time) {
	for _, h := range p.order {
		r, g, next := h.take(now)
		ready, given = append(ready, r...), append(given, g...)
		at = earlier(at, next)
	}
	return ready, given, at
}

func (h *host) take(now time.Time) (ready, given []push, at time.Time) {
	for len(h.waiting) > 0 && h.inFlight < h.limit {
		next := &h.waiting[0]
		if h.held(next) && now.Sub(next.due) > backlogLifetime {
			given = append(given, h.waiting.take())
			continue
		}
		if admitted, at := h.blacklist.Admits(now, h.inFlight); !admitted {
			return ready, given, at
		}
		if due := h.due(); due.After(now) {
			return ready, given, due
		}
		if h.held(next) {
			h.backlogNext = now.Add(h.backlogGap)
		}
		h.inFlight++
		ready = append(ready, h.waiting.take())
	}
	return ready, given, time.Time{}
}

// due is when the next push may go out: what was held back goes one by one.
func (h *host) due() time.Time {
	next := &h.waiting[0]
	if h.held(next) && h.backlogNext.After(next.due) {
		return h.backlogNext
	}
	return next.due
}

// held tells whether a push is held back, or was, because the host is blacklisted.
func (h *host) held(p *push) bool { return h.blacklist.Listed() || p.due.Before(h.backlogUntil) }

// answered notes how a push ended.
func (p *pushes) answered(name string, now time.Time, delivered bool) {
	h := p.hosts[name]
	h.inFlight--
	if !delivered {
		h.blacklist.Failed(now)
		return
	}
	if h.blacklist.Succeeded(now) {
		h.backlogUntil = now
	}
}

// idle tells whether nothing is under way and nothing is to be pushed now.
func (p *pushes) idle(now time.Time) bool {
	for _, h := range p.order {
		admitted, _ := h.blacklist.Admits(now, h.inFlight)
		if h.inFlight > 0 || admitted && len(h.waiting) > 0 && !h.due().After(now) {
			return false
		}
	}
	return true
}

func (p *pushes) waiting() (count, blacklistings int) {
	for _, h := range p.order {
		count += len(h.waiting)
		blacklistings += h.blacklist.Times()
	}
	return count, blacklistings
}

// earlier returns the earlier of two times; zero stands for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
