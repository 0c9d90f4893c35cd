// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/platform"
)

// A task that the platform answers in no useful way keeps no other one from being asked for, says so for itself alone,
// and is asked for ever less.
func TestOneTaskThatCannotBeAskedFor(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"refused": func(rw http.ResponseWriter) {
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = rw.Write([]byte(`{"error_code":"123016","error_desc":"bad parameter"}`))
		},
		"not found, without a code": func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusNotFound) },
		"another task":              func(rw http.ResponseWriter) { _, _ = rw.Write([]byte(`{"operationId":"other"}`)) },
		"an error of the platform":  func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusInternalServerError) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{}, onlyRounds)
			var asked atomic.Int64
			var heals atomic.Bool
			w.through(func(rw http.ResponseWriter, r *http.Request) bool {
				if heals.Load() || !isGet(r, "bad") {
					return false
				}
				asked.Add(1)
				answer(rw)
				return true
			}, nil, onlyRounds)
			bad, good := w.follow("bad"), w.follow(w.createEnded(3))
			w.run()
			w.await(10*time.Minute, "the other one is not repaired", func() bool { return w.isEqual(good) })
			w.pass(2 * time.Hour)
			if v := w.View(bad); v.Trouble == "" || v.Figures != nil || v.Unknown {
				t.Errorf("of the bad one: %+v", v)
			}
			if v := w.View(good); v.Trouble != "" {
				t.Errorf("of the good one: %+v", v)
			}
			if c := w.State().Connected; !c.isTrue() {
				t.Errorf("Connected: %+v", c)
			}
			if got := asked.Load(); got < 10 || got > 20 {
				t.Errorf("asked for %d times in two hours", got)
			}
			heals.Store(true)
			w.await(11*time.Minute, "it is not asked for again", func() bool { return w.View(bad).Unknown })
		})
	}
}

// Where there is no list, and no task can be asked for, that is the connection's trouble.
func TestNothingCanBeAskedFor(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.through(func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/operations"):
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = rw.Write([]byte(`{"error_code":"123016"}`))
		case isGet(r, "bad"):
			_, _ = rw.Write([]byte(`<html>`))
		default:
			return false
		}
		return true
	}, nil, onlyRounds)
	w.follow("bad")
	w.run()
	w.await(10*time.Minute, "it is not said", func() bool {
		return w.State().Connected.Reason == v1alpha1.ReasonUnreachable
	})
}

// An outage is said once, and so is its end, whichever calls fail: who is told of both by turns believes neither.
func TestOutageIsSaidOnce(t *testing.T) {
	for name, calls := range map[string][]northbound.Call{
		"lists": {northbound.CallTasks},
		"everything": {
			northbound.CallLogin, northbound.CallTasks, northbound.CallTask, northbound.CallSubscriptions,
			northbound.CallSubscribe, northbound.CallSubTasks,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{})
			w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(96 * time.Hour)}))
			w.run()
			w.pass(10 * time.Minute)
			told := func() int { w.mu.Lock(); defer w.mu.Unlock(); return w.stateChanges }
			before := told()
			w.setFaults(northbound.Faults{ErrorBefore: northbound.Fault{Share: 1, Calls: calls}})
			if name != "lists" {
				w.setCallback(Callback{URL: testCallback, Version: "2"}, nil) // which is to be looked for
			}
			w.await(10*time.Minute, "it is not said", func() bool {
				return w.State().Connected.Reason == v1alpha1.ReasonUnreachable
			})
			w.pass(2 * time.Hour)
			if got := told() - before; got != 1 {
				t.Errorf("told %d times", got)
			}
			if lines := w.loggedWith("Could not call the platform"); len(lines) == 0 || len(lines) > 2 {
				t.Errorf("logged: %s", lines)
			}
			w.setFaults(northbound.Faults{})
			w.await(15*time.Minute, "the end is not said", func() bool { return w.State().Connected.isTrue() })
		})
	}
}

// That sub-tasks alone can't be had is no outage.
func TestFailingSweepsAreNoOutage(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{
		ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallSubTasks}},
	}}, onlyRounds)
	w.follow(w.createEnded(3))
	w.run()
	w.pass(3 * time.Hour)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calls(northbound.CallSubTasks) == 0 || !w.State().Connected.isTrue() || w.stateChanges > 2 {
		t.Errorf("told %d times: %+v", w.stateChanges, w.State().Connected)
	}
}

// A visit whose calls do not come to their turn has an end, is logged, and says nothing about the platform.
func TestVisitWhoseTurnDoesNotCome(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	client, err := platform.New(platform.Options{
		Endpoint: w.URL(), AppID: w.AppID(), Secret: func() ([]byte, error) { return []byte(w.Secret()), nil },
		RootCAs: w.roots(), CallsPerMinute: 60, Clock: w.clock, QuietUntil: w.clock.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.o.Client = client
	w.run()
	w.pass(maxWait - time.Second)
	if lines := w.loggedWith("turn"); len(lines) > 0 {
		t.Errorf("logged: %s", lines)
	}
	w.pass(45 * time.Minute)
	if lines := w.loggedWith("did not come to their turn within 10m0s"); len(lines) != 1 {
		t.Errorf("logged: %s", w.logged)
	}
	if c := w.State().Connected; c.Reason != v1alpha1.ReasonConnecting {
		t.Errorf("Connected: %+v", c)
	}
	w.await(20*time.Minute, "it does not go on", func() bool { return w.State().Connected.isTrue() })
}

// That the platform fails with some tasks, or with their sub-tasks, is no outage, however many they are: the connection
// is not said to be one thing and then another, and the others are asked for as before.
func TestManyBadTasksAreNoOutage(t *testing.T) {
	for name, isBad := range map[string]func(path string) bool{
		"tasks":     func(path string) bool { return strings.Contains(path, "/operations/bad") },
		"sub-tasks": isSubTasks,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{}, onlyRounds)
			var refused atomic.Int64
			w.through(func(rw http.ResponseWriter, r *http.Request) bool {
				if !isBad(r.URL.Path) {
					return false
				}
				refused.Add(1)
				rw.Header()["Date"] = nil // which would be the time of this machine
				rw.WriteHeader(http.StatusInternalServerError)
				return true
			}, nil, onlyRounds)
			for n := range 8 {
				id := fmt.Sprintf("bad%d", n)
				w.createTask(northbound.TaskSpec{OperationID: id, Count: 2})
				w.follow(id)
			}
			good := w.follow(w.createTask(northbound.TaskSpec{
				Count: 1, StartsIn: northbound.Duration(96 * time.Hour),
			}))
			w.clock.Step(3 * time.Hour)
			w.run()
			w.pass(10 * time.Minute)
			before, wasRefused := w.calls(northbound.CallTasks), refused.Load()
			for range 60 {
				w.pass(2 * time.Minute)
				if c := w.State().Connected; !c.isTrue() {
					t.Fatalf("Connected: %+v", c)
				}
			}
			if got := w.calls(northbound.CallTasks) - before; got < 110 || w.View(good).Trouble != "" {
				t.Errorf("%d lists in two hours; %+v", got, w.View(good))
			}
			if got := refused.Load() - wasRefused; got < 8 || got > 8*70 {
				t.Errorf("%d calls failed in two hours", got)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.stateChanges > 2 {
				t.Errorf("told %d times", w.stateChanges)
			}
		})
	}
}

// A login that is refused in a way that is not known is said, too.
func TestRefusedLogin(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.through(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write([]byte(`{"error_code":"100022","error_desc":"the input is invalid"}`))
		return true
	}, nil, onlyRounds)
	w.run()
	w.await(time.Minute, "it is not said", func() bool {
		c := w.State().Connected
		return c.Reason == v1alpha1.ReasonUnreachable && strings.Contains(c.Message, "the input is invalid")
	})
}

// Where it can't be known what is followed, what was learned stands.
func TestViewsStandWhileNobodyKnowsWhatIsFollowed(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	task := w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(time.Hour)}))
	w.run()
	w.pass(time.Minute)
	w.mu.Lock()
	w.followed, w.followedErr = nil, errors.New("the cache is not synced")
	w.mu.Unlock()
	w.pass(3 * RoundPeriod)
	if w.View(task).Figures == nil {
		t.Error("the figures were forgotten")
	}
}

// However often somebody waits for a comparison, a platform that fails is left alone for a while; what was corrected is
// tried at once.
func TestWakingDoesNotDefeatTheBackoff(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{
		ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallTasks}},
	}}, onlyRounds)
	w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(48 * time.Hour)}))
	w.run()
	for range 120 {
		w.pass(time.Second)
		w.Wake()
	}
	if got := w.calls(northbound.CallTasks); got < 3 || got > 5 {
		t.Errorf("%d calls in two minutes", got)
	}
	w.setFaults(northbound.Faults{})
	w.pass(time.Hour) // until it is healthy
	w.setFaults(northbound.Faults{ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallTasks}}})
	w.await(10*time.Minute, "it is not said", func() bool { return !w.State().Connected.isTrue() })
	w.setFaults(northbound.Faults{})
	w.Corrected()
	w.await(time.Second, "it is not tried at once", func() bool { return w.State().Connected.isTrue() })

	everything := northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallTasks, northbound.CallLogin}}
	w.setFaults(northbound.Faults{ErrorBefore: everything})
	w.await(3*time.Hour, "the breaker does not open", func() bool {
		return w.o.Client.Status().BreakerOpenUntil.Sub(w.clock.Now()) > 5*time.Minute
	})
	w.setFaults(northbound.Faults{})
	w.Corrected()
	w.await(time.Second, "the breaker stays open", func() bool { return w.State().Connected.isTrue() })
}

// Whether the platform can be called is a part of what is known of every task: these are told when it changes, and when
// the link ends.
func TestTasksAreToldOfTrouble(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	task := w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(48 * time.Hour)}))
	told := func() int { w.mu.Lock(); defer w.mu.Unlock(); return w.changes[task] }
	stop := w.run()
	w.pass(time.Minute)
	before := told()
	w.setFaults(northbound.Faults{ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallTasks}}})
	w.await(10*time.Minute, "it is not said", func() bool { return !w.State().Connected.isTrue() })
	if got := told() - before; got != 1 {
		t.Errorf("told %d times of the trouble", got)
	}
	before = told()
	stop()
	if got := told() - before; got != 1 {
		t.Errorf("told %d times of the end", got)
	}
}

// A clock of the platform that is wrong by more than a minute is told, in words that stay the same.
func TestWrongClockIsTold(t *testing.T) {
	w := newWorld(t, northbound.Options{
		Faults: northbound.Faults{ClockOffset: northbound.Duration(3 * time.Hour)},
	}, onlyRounds)
	w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(48 * time.Hour)}))
	w.run()
	w.await(time.Hour, "it is not told", func() bool {
		return strings.Contains(w.State().Connected.Message, "ahead of the operator's by about 3h0m0s")
	})
	w.mu.Lock()
	before := w.stateChanges
	w.mu.Unlock()
	w.pass(time.Hour)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stateChanges != before {
		t.Errorf("told %d times again", w.stateChanges-before)
	}
}

// Who comes to follow a task after another one begins without the other's repairs.
func TestRepairsAreNotInherited(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	task := w.follow(w.createEnded(3), func(f *Followed) { f.Owner, f.Complete = "first", true })
	w.run()
	w.await(10*time.Minute, "nothing is repaired", func() bool {
		f := w.View(task).Figures
		return f != nil && f.Repaired == 3
	})
	w.follow(task.OperationID, func(f *Followed) { f.Owner, f.Complete = "second", true })
	w.pass(RoundPeriod + time.Second)
	if f := w.View(task).Figures; f == nil || f.Repaired != 0 {
		t.Errorf("figures: %+v", f)
	}
}
