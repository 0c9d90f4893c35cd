// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import "time"

// schedule decides which notification is pushed next, and when. It is used by one goroutine.
type schedule struct {
	total      int
	limit      int // how many pushes are under way at most
	start      time.Time
	interval   time.Duration // between two fresh notifications; 0: all are due at once
	discard    bool          // a failed push is not repeated
	retryDelay time.Duration
	backlogGap time.Duration // between two pushes of the backlog; 0: none
	blacklist  Blacklist

	next         int // the next fresh notification
	retries      []retry
	inFlight     int
	backlogUntil time.Time // what was due before was held back by a blacklisting
	backlogNext  time.Time // when the backlog may go on

	retried, backlog int
	discarded        []int
}

type retry struct {
	number int
	due    time.Time
}

// take returns the number of the notification to push now. If there is none now, it returns when there will be one;
// zero stands for: when a push under way was answered. With done everything was pushed and answered.
func (s *schedule) take(now time.Time) (number int, at time.Time, ok, done bool) {
	number, due, isRetry, any := s.head()
	if !any {
		return 0, time.Time{}, false, s.inFlight == 0
	}
	if s.inFlight >= s.limit {
		return 0, time.Time{}, false, false
	}
	if admitted, at := s.blacklist.Admits(now, s.inFlight); !admitted {
		return 0, at, false, false
	}
	held := due.Before(s.backlogUntil)
	if held && s.backlogNext.After(due) {
		due = s.backlogNext
	}
	if due.After(now) {
		return 0, due, false, false
	}
	if held {
		s.backlog++
		s.backlogNext = now.Add(s.backlogGap)
	}
	if isRetry {
		s.retries = s.retries[1:]
		s.retried++
	} else {
		s.next++
	}
	s.inFlight++
	return number, time.Time{}, true, false
}

// head returns what comes next and when it is due: what has to be repeated before what is fresh, if that is due.
func (s *schedule) head() (number int, due time.Time, isRetry, any bool) {
	fresh := s.start.Add(time.Duration(s.next) * s.interval)
	if len(s.retries) > 0 && (s.next >= s.total || !s.retries[0].due.After(fresh)) {
		return s.retries[0].number, s.retries[0].due, true, true
	}
	return s.next, fresh, false, s.next < s.total
}

// answered notes how a push ended; delivered stands for an answer 200.
func (s *schedule) answered(now time.Time, number int, delivered bool) {
	s.inFlight--
	if delivered {
		if s.blacklist.Succeeded(now) {
			s.backlogUntil = now
		}
		return
	}
	s.blacklist.Failed(now)
	if s.discard {
		s.discarded = append(s.discarded, number)
		return
	}
	s.retries = append(s.retries, retry{number: number, due: now.Add(s.retryDelay)})
}
