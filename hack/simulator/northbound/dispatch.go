// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// maxAnswerBytes is how much of an answer is read, so that its connection can be used again.
const maxAnswerBytes = 64 << 10

// settlePause is how often Settle looks, in real time.
const settlePause = 2 * time.Millisecond

func pushClient(o PushOptions) *http.Client {
	return platform.NewClient(platform.PushOptions{Concurrency: o.Concurrency, Timeout: o.Timeout, TLS: o.TLS})
}

// dispatch lets happen what is due and pushes what is to be pushed, until the context ends.
func (s *Server) dispatch(ctx context.Context) {
	for ctx.Err() == nil {
		now := s.lock()
		ready, given, at := s.pushes.take(now)
		for _, p := range given {
			s.discard(p)
		}
		at = earlier(at, s.agenda.next())
		s.mu.Unlock()
		for _, p := range ready {
			s.group.Go(func() error { s.send(ctx, p); return nil })
		}
		s.waitUntil(ctx, now, at)
	}
}

// waitUntil waits until something changed, or until a time, unless that is zero.
func (s *Server) waitUntil(ctx context.Context, now, at time.Time) {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := s.options.Clock.NewTimer(at.Sub(now))
		defer timer.Stop()
		due = timer.C()
	}
	select {
	case <-due:
	case <-s.wake:
	case <-ctx.Done():
	}
}

// send pushes, and waits for the answer. Documented: any but 200 within 15 s is a failure, and the notification is
// discarded.
func (s *Server) send(ctx context.Context, p push) {
	limited, cancel := context.WithTimeout(ctx, s.options.Push.Timeout)
	defer cancel()
	result := "not sent"
	request, err := http.NewRequestWithContext(limited, http.MethodPost, p.to.CallbackURL, bytes.NewReader(p.body))
	if err == nil {
		request.Header.Set("Content-Type", contentJSON)
		response, err := s.client.Do(request)
		if err == nil {
			result = strconv.Itoa(response.StatusCode)
			_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswerBytes))
			_ = response.Body.Close()
		} else {
			result = platform.Classify(err)
		}
	}
	if ctx.Err() != nil {
		return
	}
	s.pushed(p, result)
}

// pushed notes how a push ended.
func (s *Server) pushed(p push, result string) {
	now := s.lock()
	defer s.unlock()
	counts := &s.ledger.report.Pushes
	delivered := result == "200"
	s.pushes.answered(p.to.host, now, delivered)
	counts.Sent++
	counts.Answers[result]++
	if !delivered {
		s.discard(p)
		return
	}
	counts.Delivered++
	if p.result {
		p.task.devices[p.device].pushes.Delivered++
	}
}

// discard notes that a push was given up.
func (s *Server) discard(p push) {
	s.ledger.report.Pushes.Discarded++
	if p.result {
		p.task.devices[p.device].pushes.Discarded++
	}
}

// Settle waits until everything that is due by the clock has happened, and every push that is due was answered. What a
// blacklisting holds back is not due.
func (s *Server) Settle(ctx context.Context) error {
	ticker := time.NewTicker(settlePause)
	defer ticker.Stop()
	for {
		now := s.lock()
		idle := s.pushes.idle(now)
		s.unlock()
		if idle {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
