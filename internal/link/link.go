// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package link keeps one application of the platform connected: it keeps the callback subscribed, compares the followed
// tasks with the platform's own figures in rounds, and asks for results that no push brought, in sweeps. What it learns
// is read as a State of the connection and a view of each task; it writes nothing but results.
package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// RoundPeriod is how far apart rounds are; farther where they would take more than a third of the calls.
	RoundPeriod = 2 * time.Minute
	// soonPart and wokenPart divide it: so far apart are rounds when a difference has been seen once, and when an upgrade
	// waits for a comparison to come to its end.
	soonPart, wokenPart = 4, 8
	// firstRetry and lastRetry bound how long after a failure the platform is called again.
	firstRetry = 30 * time.Second
	lastRetry  = 10 * time.Minute
	// maxWait is how long a visit may take, and how long a page of a sweep: a call that waits for its turn must come to an
	// end some time.
	maxWait = 10 * time.Minute
	// maxDoublings is how often a period is doubled that grows with every failure.
	maxDoublings = 8
)

// Options of a Link.
type Options struct {
	// Client talks to the platform for the application.
	Client *platform.Client
	// Notifications are the types to keep subscribed; none leaves the subscriptions alone.
	Notifications []string
	// Callback returns what to subscribe. An error says what is missing, for people.
	Callback func() (Callback, error)
	// Followed returns the tasks of the application that somebody follows, each once.
	Followed func(context.Context) ([]Followed, error)
	// Store has the results.
	Store Store
	// Changed is called when the view of some tasks changed, StateChanged when the State did. They return at once.
	Changed      func([]result.Task)
	StateChanged func()
	// Repaired is called with how many results were asked for and stored.
	Repaired func(n int)
	// WasMissing says that pushes were missing when an earlier process looked.
	WasMissing bool
	// CallsPerMinute is the client's limit at the beginning.
	CallsPerMinute int
	// Period is RoundPeriod, but in tests.
	Period time.Duration
	// Clock is the time.
	Clock clock.WithTicker
}

// Callback is the URL to which the platform is to push.
type Callback struct {
	URL string
	// Version tells one URL from another one.
	Version string
}

// Followed is a task that a FirmwareUpgrade follows.
type Followed struct {
	Task result.Task
	// Placeholder says that nobody declared it: others go first.
	Placeholder bool
	// Finished says that it came to its end, Complete that no more results are awaited by the counts.
	Finished, Complete bool
	// Owner tells the FirmwareUpgrade from one that had the task before: its UID.
	Owner string
	// Repaired is how many results had to be asked for, as the status has it.
	Repaired int64
}

// Store has the results, as *store.Store does.
type Store interface {
	Summary(task result.Task, q tally.Query) tally.Summary
	LastReceived(task result.Task) time.Time
	Heard(task result.Task, deviceID string, state storage.State) (lacks bool, last int64)
	AddPolled(ctx context.Context, task result.Task, results []result.Result) error
	IsFull() bool
}

// Link is the connection of an application. Safe for concurrent use.
type Link struct {
	o Options
	// wake and corrected have a token when Wake and Corrected were called.
	wake, corrected chan struct{}
	// callsPerMinute is the client's limit.
	callsPerMinute atomic.Int64

	mu            sync.Mutex
	state         State
	subscriptions map[string]subscription
	views         map[result.Task]*view
	// answeredAt is when the platform was asked last for a task, with an answer.
	answeredAt time.Time
	// shownOffset is by how much the platform's clock is said to be wrong.
	shownOffset time.Duration
	// gets is how many tasks were asked for alone.
	gets int
	// followed are the tasks that were followed when that was looked at last.
	followed  map[result.Task]following
	sweeps    sweeps
	receiving receiving
}

// New returns a Link that calls nobody before Run.
func New(o Options) *Link {
	l := &Link{
		o: o, wake: make(chan struct{}, 1), corrected: make(chan struct{}, 1), subscriptions: map[string]subscription{},
		views: map[result.Task]*view{}, sweeps: newSweeps(), receiving: newReceiving(o),
	}
	l.callsPerMinute.Store(int64(o.CallsPerMinute))
	l.state = State{Connected: unknown(reasonConnecting, "the platform was not called yet")}
	l.state.Subscribed, l.state.Receiving = l.state.Connected, l.receiving.condition(false)
	return l
}

// Run keeps the application connected until the context ends.
func (l *Link) Run(ctx context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { l.keepConnected(ctx); return nil })
	group.Go(func() error { l.keepSwept(ctx); return nil })
	_ = group.Wait()
	l.o.Changed(l.viewed()) // nobody has a view of them any more
}

// Wake has the platform called soon: somebody waits for a comparison. While calls fail it is called no sooner than it
// would be after a first failure.
func (l *Link) Wake() { wake(l.wake) }

// Corrected has the platform called at once: what it is called with was corrected.
func (l *Link) Corrected() {
	l.o.Client.Corrected()
	wake(l.corrected)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// SetCallsPerMinute changes the client's limit, and with it how far apart rounds are and how long sweeps may take. What
// the link knows stays known.
func (l *Link) SetCallsPerMinute(n int) {
	l.o.Client.SetLimit(n)
	l.callsPerMinute.Store(int64(n))
	l.Wake()
}

// keepConnected subscribes and makes rounds.
func (l *Link) keepConnected(ctx context.Context) {
	retry, said := firstRetry, ""
	for ctx.Err() == nil {
		began := l.o.Clock.Now()
		calls, err := l.visitWithin(ctx, maxWait)
		if ctx.Err() != nil {
			return
		}
		l.noteError(err)
		said = logError(ctx, err, said)
		if err != nil {
			l.pause(ctx, min(firstRetry, 5*l.o.Period), min(retry, 5*l.o.Period))
			retry = min(2*retry, lastRetry)
			continue
		}
		retry = firstRetry
		period := l.o.Period
		if l.isDoubtful() {
			period /= soonPart
		}
		took, least := l.o.Clock.Since(began), l.stretched(calls)
		l.pause(ctx, max(l.o.Period/wokenPart, least)-took, max(period, least)-took)
	}
}

// pause waits for a while, or until somebody wakes it after a shorter one, or something was corrected.
func (l *Link) pause(ctx context.Context, least, most time.Duration) {
	shorter, longer := l.o.Clock.NewTimer(max(least, 0)), l.o.Clock.NewTimer(max(most, least, 0))
	defer shorter.Stop()
	defer longer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-l.corrected:
		return
	case <-shorter.C():
	}
	select {
	case <-ctx.Done():
	case <-longer.C():
	case <-l.corrected:
	case <-l.wake:
	}
}

// isDoubtful says whether some counts differed once, so that another look tells more.
func (l *Link) isDoubtful() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range l.views {
		if v.doubtful {
			return true
		}
	}
	return false
}

// stretched is how long a round of so many calls lasts at least, so that rounds use at most a third of all calls.
func (l *Link) stretched(calls int) time.Duration {
	return time.Duration(3*calls) * time.Minute / time.Duration(max(1, l.callsPerMinute.Load()))
}

// logError logs why a visit failed, once for each change of the text: what was said before is passed on. That the
// breaker is open follows from what was said.
func logError(ctx context.Context, err error, said string) string {
	switch {
	case err == nil:
		return ""
	case platform.KindOf(err) == platform.BreakerOpen && said != "", err.Error() == said:
		return said
	}
	logr.FromContextOrDiscard(ctx).Info("Could not call the platform, will try again", "error", err.Error())
	return err.Error()
}

// within returns a context that ends after a time of the link's clock.
func (l *Link) within(ctx context.Context, limit time.Duration) (inTime context.Context, end context.CancelFunc) {
	inTime, cancel := context.WithCancel(ctx)
	timer := l.o.Clock.NewTimer(limit)
	go func() {
		select {
		case <-timer.C():
			cancel()
		case <-inTime.Done():
		}
	}()
	return inTime, func() { timer.Stop(); cancel() }
}

// visitWithin is a visit that ends when it has taken too long. What was learned until then stands.
func (l *Link) visitWithin(ctx context.Context, limit time.Duration) (calls int, err error) {
	inTime, end := l.within(ctx, limit)
	defer end()
	calls, err = l.visit(inTime)
	if err != nil && inTime.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the calls did not come to their turn within %s: %w", limit, err)
	}
	return calls, err
}

// visit calls the platform for everything that is due, and returns with how many calls of a round.
func (l *Link) visit(ctx context.Context) (calls int, err error) {
	callback, missing := l.o.Callback()
	if missing == nil { // whatever is subscribed: the platform may talk of it in any answer
		l.o.Client.Redact([]byte(callback.URL))
	}
	if err := l.o.Client.Login(ctx); err != nil {
		if followed, unknown := l.o.Followed(ctx); unknown == nil { // these wait from now on, whoever answers
			l.follow(followed)
		}
		return 0, err
	}
	l.noteLogin()
	failed, unsubscribed := l.subscribe(ctx, callback, missing)
	calls, err = l.round(ctx)
	if err == nil {
		l.noteSubscriptions(ctx, failed)
	}
	return calls, errors.Join(err, unsubscribed)
}

// View is what is known of the platform's view of a task: nothing but the connection's trouble, where it was not asked
// for. Its Since is when the link came to follow the task for its present owner: zero where it does not yet.
func (l *Link) View(task result.Task) *status.Platform {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &status.Platform{AnsweredAt: l.answeredAt, Since: l.followed[task].since}
	if !l.state.Connected.isTrue() {
		p.Trouble = l.state.Connected.Message
	}
	if v := l.views[task]; v != nil {
		v.tell(p)
	}
	return p
}
