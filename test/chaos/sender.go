// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	callbackPath = "/v1.0.0/messageReceiver"
	appID        = "chaos"
	// pushTimeout is how long the platform waits for an answer.
	pushTimeout = 15 * time.Second
	// senders is how many pushes are under way at most: at 150 a second more than wait during an outage of the API server,
	// when an answer takes 10 s.
	senders = 2048
	// queued is how many may wait: all of an epoch.
	queued = 200_000
)

// push is one notification that is due.
type push struct {
	task *task
	planned
	body []byte
	// malformed says that it can't be used: it has to be stored as rejected.
	malformed string
}

// sender pushes to the webhooks as the platform does through a Service: to one that is ready, on connections that are
// kept. It remembers the answers.
type sender struct {
	webhooks []*slot
	secret   string
	answers  *answers
	due      chan push
	client   *http.Client

	turn    atomic.Uint64
	pending atomic.Int64 // pushes that are neither answered 200 nor given up
	byTask  sync.Map     // the same of each task, as *atomic.Int64
	counts  [600]atomic.Int64
	refused atomic.Int64 // connections
	silent  atomic.Int64 // pushes that got no answer
	gaps    gaps
}

func newSender(webhooks []*slot, secret string) *sender {
	return &sender{
		webhooks: webhooks, secret: secret, answers: newAnswers(), due: make(chan push, queued),
		client: &http.Client{
			Timeout: pushTimeout,
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
				MaxIdleConnsPerHost: senders,
				MaxIdleConns:        2 * senders,
			},
		},
	}
}

// run pushes what is due until the context ends.
func (s *sender) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range senders {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case p := <-s.due:
					s.push(ctx, p)
				}
			}
		})
	}
	workers.Wait()
	s.client.CloseIdleConnections()
}

// add makes a push due.
func (s *sender) add(p push) {
	s.settle(p, 1)
	s.answers.planned(p)
	s.due <- p
}

// settle counts what is under way.
func (s *sender) settle(p push, change int64) {
	s.pending.Add(change)
	count, _ := s.byTask.LoadOrStore(p.task, new(atomic.Int64))
	count.(*atomic.Int64).Add(change) //nolint:forcetypeassert // Nothing else is stored.
}

// underWay is how many pushes of a task are neither answered 200 nor given up.
func (s *sender) underWay(t *task) int64 {
	count, _ := s.byTask.LoadOrStore(t, new(atomic.Int64))
	return count.(*atomic.Int64).Load() //nolint:forcetypeassert // Nothing else is stored.
}

// push pushes once, and makes it due again if it has to be.
func (s *sender) push(ctx context.Context, p push) {
	code, stored := s.send(ctx, p)
	switch {
	case code == http.StatusOK:
		s.gaps.answered(time.Now())
		s.answers.certain(p)
		s.settle(p, -1)
		return
	case stored:
		s.answers.possible(p)
	}
	if !p.insist && p.malformed == "" && code != 0 || ctx.Err() != nil {
		s.settle(p, -1)
		return
	}
	timer := time.NewTimer(retryDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	s.due <- p
}

// retryDelay is how long after a push that failed the next one is tried.
const retryDelay = 700 * time.Millisecond

// send sends a push, and returns the code of the answer, 0 where there was no connection and 599 where no answer came.
// Stored says that it may be stored.
func (s *sender) send(ctx context.Context, p push) (code int, stored bool) {
	webhook := s.choose(p)
	if webhook == nil {
		s.refused.Add(1)
		return 0, false
	}
	url := "http://" + webhook.callback + callbackPath + "/" + s.secret
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(p.body))
	if err != nil {
		return 0, false
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		if opError, ok := errors.AsType[*net.OpError](err); ok && opError.Op == "dial" {
			webhook.unready()
			s.refused.Add(1)
			return 0, false
		}
		s.silent.Add(1)
		return 599, true
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	s.counts[min(response.StatusCode, len(s.counts)-1)].Add(1)
	s.answers.check(p, response.StatusCode)
	return response.StatusCode, true
}

// choose returns the webhook that a push goes to: the first one, whose clock is right, where that is needed, else one
// after the other of those that are ready; nil where none is.
func (s *sender) choose(p push) *slot {
	if p.task != nil && p.task.kind.rightClock() {
		return s.webhooks[0]
	}
	turn := int(s.turn.Add(1))
	for i := range s.webhooks {
		if webhook := s.webhooks[(turn+i)%len(s.webhooks)]; webhook.ready.Load() {
			return webhook
		}
	}
	return nil
}

// body makes the JSON of a notification.
func body(t *task, p planned) []byte {
	fields := map[string]any{
		"deviceId": p.device, "appId": appID, "operationId": t.operation,
		"subOperationId": fmt.Sprintf("%s-s%d", p.device, p.sub),
	}
	if !p.report.ends() {
		fields["notifyType"], fields["stepDesc"] = "fwUpgradeStateChangeNotify", "step"
		fields["step"] = map[report]string{reportDownloading: "1", reportUpdating: "3"}[p.report]
		return encode(fields)
	}
	fields["notifyType"], fields["upgradeTime"] = "fwUpgradeResultNotify", len(p.device)
	fields["sourceVersion"], fields["targetVersion"] = "1.0", targetVersion
	switch p.report {
	case reportSuccess:
		fields["status"], fields["curVersion"] = "SUCCESS", targetVersion
		fields["statusDesc"] = "The device upgrade is successful"
	case reportSuspect:
		fields["status"], fields["curVersion"], fields["statusDesc"] = "SUCCESS", "1.9", ""
	default:
		cause := causes[(len(p.device)+int(p.device[len(p.device)-1]))%len(causes)]
		if bytes.ContainsRune([]byte(cause), '%') {
			cause = fmt.Sprintf(cause, p.device)
		}
		fields["status"], fields["curVersion"], fields["statusDesc"] = "FAIL", nil, cause
	}
	return encode(fields)
}

func encode(fields map[string]any) []byte {
	content, err := json.Marshal(fields)
	if err != nil {
		panic(err) // strings and numbers
	}
	return content
}

// gaps are the times in which no push was answered 200.
type gaps struct {
	mu    sync.Mutex
	last  time.Time
	ended bool
	all   []interval
}

// interval is a span of time.
type interval struct{ from, to time.Time }

// shortestGap is what is noted.
const shortestGap = time.Second

func (g *gaps) answered(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return
	}
	if !g.last.IsZero() && at.Sub(g.last) > shortestGap {
		g.all = append(g.all, interval{g.last, at})
	}
	if at.After(g.last) {
		g.last = at
	}
}

// begin forgets when the last answer came: nothing was due since.
func (g *gaps) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.ended = time.Now(), false
}

// end ends the time in which pushes are always due. One that was not answered by then has waited until now.
func (g *gaps) end() {
	g.answered(time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}

// longestBeyond returns the longest gap, less what of it lies in outages, which may overlap.
func longestBeyond(gaps, outages []interval) time.Duration {
	longest := time.Duration(0)
	for _, gap := range gaps {
		longest = max(longest, gap.beyond(outages))
	}
	return longest
}

// beyond returns how long an interval is without the parts that lie in others.
func (i interval) beyond(others []interval) time.Duration {
	left := i.to.Sub(i.from)
	at := i.from
	for _, o := range sorted(others) {
		from, to := later(o.from, at), earlier(o.to, i.to)
		if to.After(from) {
			left -= to.Sub(from)
			at = to
		}
	}
	return left
}
