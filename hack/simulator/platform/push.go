// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
)

// What the platform does, by its documentation.
const (
	DefaultTimeout           = 15 * time.Second
	DefaultBlacklistAfter    = 10
	DefaultBlacklistDuration = 3 * time.Minute
	DefaultBacklogRate       = 800
	DefaultRetryDelay        = time.Second
	DefaultMaxDuration       = 10 * time.Minute
	DefaultConcurrency       = 16
)

const (
	maxConcurrency = 2048 // a source has half of the receiver's connections
	maxRate        = 1_000_000
)

// PushOptions says where to push and how.
type PushOptions struct {
	// URL is the callback: http or https. It is a secret, and appears in no error and no report.
	URL string
	// AllowRemote permits a callback that is not on this machine.
	AllowRemote bool
	// TLS is used for an https URL.
	TLS *tls.Config
	// Rate is how many fresh notifications fall due in a second; 0: all at once.
	Rate float64
	// Concurrency is how many pushes are under way at most; default 16.
	Concurrency int
	// Timeout is how long an answer may take; default 15 s.
	Timeout time.Duration
	// Discard drops a push that failed, as the platform's current pages say. By default it is pushed again, after
	// RetryDelay (default 1 s), as older pages say.
	Discard    bool
	RetryDelay time.Duration
	// BlacklistAfter is how many failures in a row blacklist the host, BlacklistDuration, for how long; default 10 and
	// 3 min. What falls due meanwhile is pushed first afterwards, at most BacklogRate a second, default 800. With
	// Rate 0 everything fell due.
	BlacklistAfter    int
	BlacklistDuration time.Duration
	BacklogRate       float64
	// MaxDuration ends the run; default 10 min.
	MaxDuration time.Duration
	// Clock is the real one by default.
	Clock clock.Clock
	// Progress, if not nil, is called after every answer with how many notifications were delivered or discarded so
	// far. It must not block.
	Progress func(settled int)
}

func (o *PushOptions) setDefaults() {
	setDefault(&o.Concurrency, DefaultConcurrency)
	setDefault(&o.Timeout, DefaultTimeout)
	setDefault(&o.RetryDelay, DefaultRetryDelay)
	setDefault(&o.BlacklistAfter, DefaultBlacklistAfter)
	setDefault(&o.BlacklistDuration, DefaultBlacklistDuration)
	setDefault(&o.BacklogRate, DefaultBacklogRate)
	setDefault(&o.MaxDuration, DefaultMaxDuration)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}

func setDefault[T comparable](value *T, def T) {
	var zero T
	if *value == zero {
		*value = def
	}
}

func (o *PushOptions) validate() error {
	target, err := url.Parse(o.URL)
	switch {
	case err != nil: // without the cause, which quotes the URL
		return errors.New("the URL can't be parsed: give http(s)://host:port/path")
	case target.Scheme != "http" && target.Scheme != "https", target.Host == "":
		return errors.New("the URL must begin with http:// or https:// and name a host")
	case !o.AllowRemote && !IsLoopback(target.Hostname()):
		return fmt.Errorf("%s is not on this machine: allow remote targets if you mean it", target.Hostname())
	case o.Concurrency < 1 || o.Concurrency > maxConcurrency:
		return fmt.Errorf("concurrency must be from 1 to %d, not %d", maxConcurrency, o.Concurrency)
	case !(o.Rate >= 0 && o.Rate <= maxRate) || !(o.BacklogRate > 0 && o.BacklogRate <= maxRate):
		return fmt.Errorf("rates must be from 0 to %d a second", maxRate)
	case o.Timeout < 0 || o.RetryDelay < 0 || o.BlacklistAfter < 0 || o.BlacklistDuration < 0 || o.MaxDuration < 0:
		return errors.New("durations and counts must not be negative")
	}
	return nil
}

// IsLoopback tells whether a host, a name or an address, is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// outcome is how one push ended.
type outcome struct {
	number  int
	answer  string // the status code, or what came instead of an answer
	latency time.Duration
}

// Push pushes the plan and returns when everything was delivered or discarded, when MaxDuration passed or when ctx
// ended; the report tells. An error means that nothing was pushed.
func Push(ctx context.Context, plan *Plan, o PushOptions) (*Report, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.MaxDuration)
	defer cancel()
	client := NewClient(o)
	defer client.CloseIdleConnections()

	r := newRun(plan, o)
	group := new(errgroup.Group)
	for range o.Concurrency {
		group.Go(func() error {
			for number := range r.work {
				r.outcomes <- pushOne(ctx, client, plan, o, number)
			}
			return nil
		})
	}
	r.dispatch(ctx)
	close(r.work)
	_ = group.Wait() // the workers return no error
	return r.report(), nil
}

// NewClient returns a client that behaves like the platform's: HTTP/1.1, connections kept, redirects not followed.
func NewClient(o PushOptions) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: o.Timeout}).DialContext,
			TLSClientConfig:     o.TLS,
			MaxConnsPerHost:     o.Concurrency,
			MaxIdleConns:        o.Concurrency,
			MaxIdleConnsPerHost: o.Concurrency,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// run is the state of a Push. All but the channels belongs to the goroutine that dispatches.
type run struct {
	plan     *Plan
	options  PushOptions
	work     chan int
	outcomes chan outcome
	schedule schedule

	start, end time.Time
	answers    map[string]int
	latencies  latencies
	delivered  []bool
	settled    int
}

func newRun(plan *Plan, o PushOptions) *run {
	now := o.Clock.Now()
	r := &run{
		plan: plan, options: o,
		work: make(chan int), outcomes: make(chan outcome, o.Concurrency),
		start: now, end: now,
		answers:   map[string]int{},
		delivered: make([]bool, plan.Len()),
		schedule: schedule{
			total: plan.Len(), limit: o.Concurrency, start: now, discard: o.Discard, retryDelay: o.RetryDelay,
			backlogGap: time.Duration(float64(time.Second) / o.BacklogRate),
			blacklist:  Blacklist{After: o.BlacklistAfter, Duration: o.BlacklistDuration},
		},
	}
	if o.Rate > 0 {
		r.schedule.interval = time.Duration(float64(time.Second) / o.Rate)
	}
	return r
}

// dispatch hands out the work when it is due, until all is done or ctx ends, and collects the outcomes.
func (r *run) dispatch(ctx context.Context) {
	for {
		number, at, ok, done := r.schedule.take(r.options.Clock.Now())
		switch {
		case done:
			return
		case ok:
			r.work <- number // never blocks for long: no more are under way than there are workers
		default:
			r.waitFor(ctx, at)
		}
		if ctx.Err() != nil {
			for r.schedule.inFlight > 0 {
				r.collect(<-r.outcomes)
			}
			return
		}
	}
}

// waitFor waits for an outcome, or until the time at, unless that is zero.
func (r *run) waitFor(ctx context.Context, at time.Time) {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := r.options.Clock.NewTimer(at.Sub(r.options.Clock.Now()))
		defer timer.Stop()
		due = timer.C()
	}
	select {
	case o := <-r.outcomes:
		r.collect(o)
	case <-due:
	case <-ctx.Done():
	}
}

func (r *run) collect(o outcome) {
	r.end = r.options.Clock.Now()
	delivered := o.answer == answerOK
	r.schedule.answered(r.end, o.number, delivered)
	r.answers[o.answer]++
	if o.latency > 0 {
		r.latencies.add(o.latency)
	}
	if delivered {
		r.delivered[o.number] = true
	}
	if delivered || r.options.Discard {
		r.settled++
	}
	if r.options.Progress != nil {
		r.options.Progress(r.settled)
	}
}
