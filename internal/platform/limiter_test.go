// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
	"pgregory.net/rapid"
)

// arrival is a call that comes to the limiter.
type arrival struct {
	at, giveUp, length time.Duration
	priority           Priority
	fails              bool // when its turn has come, as a call does whose token ended meanwhile
}

// change is what happens to a limiter: it is throttled, or gets another limit.
type change struct {
	at    time.Duration
	limit int // 0: throttled
}

// gone is a call that went.
type gone struct {
	at       time.Duration
	priority Priority
	overtook string // a call of a higher class that waited
	beside   bool   // a login beside another call, or one beside a login
}

// runLimiter lets calls and changes come to a limiter, and returns what went, in its order. Time is synthetic.
func runLimiter(t *testing.T, limit int, quiet time.Duration, arrivals []arrival, changes []change) (went []gone) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := newLimiter(clock.RealClock{}, limit, start.Add(quiet))
		var mu sync.Mutex
		waiting := map[int]arrival{}
		inFlight := map[Priority]int{}
		var all sync.WaitGroup
		for i, a := range arrivals {
			all.Go(func() {
				time.Sleep(a.at)
				ctx, cancel := context.WithTimeout(t.Context(), a.giveUp)
				defer cancel()
				mu.Lock()
				waiting[i] = a
				mu.Unlock()
				_, err := l.acquire(ctx, a.priority, func() error {
					mu.Lock()
					defer mu.Unlock()
					delete(waiting, i)
					if a.fails {
						return errStale
					}
					now := time.Since(start)
					overtook := ""
					for _, other := range waiting {
						if other.priority > a.priority && other.at < now && other.at+other.giveUp > now {
							overtook = fmt.Sprintf("%+v", other)
						}
					}
					login := a.priority == PriorityLogin
					beside := inFlight[PriorityLogin] > 0
					for _, n := range inFlight {
						beside = beside || login && n > 0
					}
					inFlight[a.priority]++
					went = append(went, gone{at: now, priority: a.priority, overtook: overtook, beside: beside})
					return nil
				})
				mu.Lock()
				delete(waiting, i)
				mu.Unlock()
				if err == nil {
					time.Sleep(a.length)
					mu.Lock()
					inFlight[a.priority]--
					mu.Unlock()
					l.release()
				}
			})
		}
		for _, c := range changes {
			all.Go(func() {
				time.Sleep(c.at)
				if c.limit == 0 {
					l.throttle()
				} else {
					l.setLimit(c.limit)
				}
			})
		}
		all.Wait()
		if len(l.queue) > 0 || l.inFlight != 0 {
			t.Errorf("%d wait and %d are in flight at the end", len(l.queue), l.inFlight)
		}
	})
	return went
}

// mostWithin returns the largest number of calls in any sliding window, its ends included, and when that begins.
func mostWithin(window time.Duration, went []gone) (most int, at time.Duration) {
	first := 0
	for i := range went {
		for went[i].at-went[first].at > window {
			first++
		}
		if n := i - first + 1; n > most {
			most, at = n, went[first].at
		}
	}
	return most, at
}

// TestLimiterProperties has calls of all classes come, end, fail and give up at any time, while the platform throttles
// and the limit changes.
func TestLimiterProperties(t *testing.T) {
	seconds := func(most int) *rapid.Generator[time.Duration] {
		return rapid.Map(rapid.IntRange(0, 1000*most), func(ms int) time.Duration {
			return time.Duration(ms) * time.Millisecond
		})
	}
	limit := rapid.OneOf(rapid.IntRange(1, 20), rapid.SampledFrom([]int{60, 100, 600, 6000}))
	call := rapid.Custom(func(t *rapid.T) arrival {
		return arrival{
			at: seconds(rapid.SampledFrom([]int{0, 2, 600}).Draw(t, "within")).Draw(t, "at"),
			// Longer than all can take.
			giveUp:   rapid.OneOf(seconds(100), rapid.Just(24*time.Hour)).Draw(t, "giveUp"),
			length:   rapid.OneOf(rapid.Just(time.Duration(0)), seconds(30)).Draw(t, "length"),
			priority: Priority(rapid.IntRange(int(PrioritySweep), int(PriorityLogin)).Draw(t, "priority")),
			fails:    rapid.IntRange(0, 9).Draw(t, "fails") == 0,
		}
	})
	event := rapid.Custom(func(t *rapid.T) change {
		c := change{at: seconds(900).Draw(t, "at")}
		if rapid.Bool().Draw(t, "limit") {
			c.limit = limit.Draw(t, "to")
		}
		return c
	})
	rapid.Check(t, func(rt *rapid.T) {
		n := limit.Draw(rt, "n")
		quiet := rapid.OneOf(rapid.Just(time.Duration(0)), seconds(120)).Draw(rt, "quiet")
		arrivals := rapid.SliceOfN(call, 1, 120).Draw(rt, "calls")
		changes := rapid.SliceOfN(event, 0, 3).Draw(rt, "changes")
		if rapid.Bool().Draw(rt, "crowd") { // all at once, so that the limit is reached for minutes
			crowd := arrival{giveUp: 24 * time.Hour, priority: PriorityRound}
			arrivals = append(arrivals, slices.Repeat([]arrival{crowd}, 3*min(n, 30))...)
		}
		went := runLimiter(t, n, quiet, arrivals, changes)

		highest := n
		for _, c := range changes {
			highest = max(highest, c.limit)
		}
		if most, at := mostWithin(time.Minute, went); most > highest {
			rt.Fatalf("%d calls in the minute from %s, may be %d", most, at, highest)
		}
		for _, g := range went {
			if g.at < quiet {
				rt.Fatalf("went at %s, before it may", g.at)
			}
			if g.beside {
				rt.Fatalf("%+v went beside a login, or a login beside it", g)
			}
			if g.overtook != "" {
				rt.Fatalf("%+v overtook one of a higher class", g)
			}
		}
		for _, c := range changes {
			if c.limit > 0 {
				continue
			}
			var half []gone
			for _, g := range went {
				if g.at > c.at && g.at < c.at+throttleQuiet {
					rt.Fatalf("went at %s, throttled at %s", g.at, c.at)
				}
				if g.at > c.at && g.at < c.at+throttleQuiet+throttleHalf {
					half = append(half, g)
				}
			}
			if most, at := mostWithin(time.Minute, half); most > (highest+1)/2 {
				rt.Fatalf("%d calls in the minute from %s, after being throttled at %s: more than half of %d",
					most, at, c.at, highest)
			}
		}
	})
}

// TestLimiterIsUsed holds that the limit is not only kept but reached, but for the second that is left to the network.
func TestLimiterIsUsed(t *testing.T) {
	for _, n := range []int{1, 2, 5, 6, 7, 12, 60, 100, 6000} {
		for _, priority := range []Priority{PriorityRound, PrioritySweep} {
			// Five minutes' calls, or a part of them: what is above the burst flows in at n - b a window.
			calls := make([]arrival, min(5*n, 500))
			for i := range calls {
				calls[i] = arrival{giveUp: 24 * time.Hour, priority: priority}
			}
			went := runLimiter(t, n, 0, calls, nil)
			burst := max(1, min(10, n/6))
			atOnce := burst
			if priority == PrioritySweep {
				atOnce = 1
			}
			want := time.Duration(float64(len(calls)-atOnce) / float64(max(1, n-burst)) * float64(callWindow))
			if last := went[len(went)-1].at; (last-want).Abs() > time.Millisecond || len(went) != len(calls) {
				t.Errorf("%d calls of class %d at %d a minute took %s, want %s", len(went), priority, n, last, want)
			}
		}
	}
}

// TestSweepsLeaveTheBurst holds that rounds find their calls however many sweeps wait.
func TestSweepsLeaveTheBurst(t *testing.T) {
	var calls []arrival
	for range 300 {
		calls = append(calls, arrival{giveUp: 24 * time.Hour, priority: PrioritySweep})
	}
	for range 9 {
		calls = append(calls, arrival{at: 100 * time.Second, giveUp: time.Millisecond, priority: PriorityRound})
	}
	went := runLimiter(t, 60, 0, calls, nil)
	rounds := slices.DeleteFunc(slices.Clone(went), func(g gone) bool { return g.priority != PriorityRound })
	if len(rounds) != 9 {
		t.Errorf("%d of 9 rounds went at once", len(rounds))
	}
	sweeps := slices.DeleteFunc(went, func(g gone) bool { return g.priority != PrioritySweep })
	if most, _ := mostWithin(time.Minute, sweeps); most > 51 {
		t.Errorf("%d sweeps in a minute of 60, want the burst left", most)
	}
}

// TestGivingUpTakesNothing holds that calls that gave up waiting, or gave their turn up, cost the others nothing.
func TestGivingUpTakesNothing(t *testing.T) {
	var calls []arrival
	for i := range 100 {
		calls = append(calls,
			arrival{at: time.Duration(i) * time.Millisecond, giveUp: time.Millisecond, priority: PriorityCreate},
			arrival{at: time.Duration(i) * time.Millisecond, giveUp: time.Hour, priority: PriorityCreate, fails: true})
	}
	const last = 2 * time.Second
	for range 11 {
		calls = append(calls, arrival{at: last, giveUp: time.Hour, priority: PriorityRound})
	}
	went := runLimiter(t, 60, 0, calls, nil)
	var rounds []time.Duration
	for _, g := range went {
		if g.priority == PriorityRound {
			rounds = append(rounds, g.at-last)
		}
	}
	// Of the calls that gave up the first ten went, as the bucket was full; that was two seconds ago.
	if len(went) != 21 || rounds[0] != 0 {
		t.Errorf("%d went, rounds after %s", len(went), rounds)
	}
}

// TestLimiterIsAlwaysAsked holds for every call, over HTTP, that it goes by the limiter; a login is one.
func TestLimiterIsAlwaysAsked(t *testing.T) {
	calls := map[string]func(*tester) error{
		"Tasks": func(c *tester) error {
			_, err := c.Tasks(c.t.Context(), TaskFilter{}, PriorityRound)
			return err
		},
		"Task":      func(c *tester) error { return ignore(c.Task(c.t.Context(), "op-1", PriorityRound)) },
		"SubTasks":  func(c *tester) error { return ignore(c.SubTasks(c.t.Context(), "op-1", "", 0, PrioritySweep)) },
		"Subscribe": func(c *tester) error { return c.Subscribe(c.t.Context(), "fwUpgradeResultNotify", testCallback) },
		"Subscriptions": func(c *tester) error {
			return ignore(c.Subscriptions(c.t.Context(), "fwUpgradeResultNotify"))
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			var mu sync.Mutex
			var at []time.Time
			c := connect(t, p, func(o *Options) { o.CallsPerMinute = 1 })
			note := func() {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, c.clock.Now())
			}
			p.set(func(w http.ResponseWriter, _ *http.Request) {
				note()
				_, _ = fmt.Fprintf(w, `{"accessToken":%q}`, p.newToken())
			}, func(w http.ResponseWriter, _ *http.Request) {
				note()
				_, _ = io.WriteString(w, `{"operationId":"op-1","status":"wait","totalCount":0}`)
			})
			c.patient()
			c.must("", call(c))
			c.must("", call(c))
			if len(at) != 3 || at[1].Sub(at[0]) < time.Minute || at[2].Sub(at[1]) < time.Minute {
				t.Errorf("a login and two calls at one a minute were at %s", at)
			}
			if last := c.calls[2]; last.Waited < 50*time.Second {
				t.Errorf("observed %+v, want how long it waited", last)
			}
		})
	}
}

func ignore[T any](_ T, err error) error { return err }

func TestThrottled(t *testing.T) {
	p := startPlatform(t)
	c := connect(t, p)
	c.must("", c.list())
	p.set(nil, always(http.StatusForbidden, `{"error_code":"1010009","error_desc":"app throttle exceed."}`))
	c.must(Throttled, c.list())
	want := c.clock.Now().Add(time.Minute)
	if !c.Status().ThrottledUntil.Equal(want) {
		t.Errorf("throttled until %s, want %s", c.Status().ThrottledUntil, want)
	}
	if c.Status().Failures != 0 {
		t.Error("to be throttled is not to fail")
	}
	p.set(nil, nil)
	c.patient()
	c.must("", c.list())
	if now := c.clock.Now(); now.Before(want) || now.After(want.Add(30*time.Second)) {
		t.Errorf("the next call was at %s, want %s", now, want)
	}
}

func TestQuietUntil(t *testing.T) {
	p := startPlatform(t)
	var until time.Time
	c := connect(t, p, func(o *Options) {
		until = o.Clock.Now().Add(time.Minute)
		o.QuietUntil = until
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	e := c.failure(Canceled, c.Login(ctx))
	if !errors.Is(e, context.DeadlineExceeded) || len(p.seen()) > 0 {
		t.Errorf("got %v and %d requests, want to wait", e, len(p.seen()))
	}
	c.patient()
	c.must("", c.Login(t.Context()))
	if c.clock.Now().Before(until) || !c.Status().ThrottledUntil.IsZero() {
		t.Errorf("called at %s, want %s or later; status %+v", c.clock.Now(), until, c.Status())
	}
}
