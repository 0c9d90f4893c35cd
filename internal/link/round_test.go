// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
)

func none(int) bool { return false }

// onlyRounds has no subscriptions made.
func onlyRounds(o *Options) { o.Notifications = nil }

// Tasks that run are compared by the list, which is two calls a round however many there are.
func TestRunningTasksAreListed(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	for range 20 {
		w.follow(w.createTask(northbound.TaskSpec{Count: 2, StartsIn: northbound.Duration(48 * time.Hour)}))
	}
	w.run()
	w.pass(time.Hour)
	if got := w.calls(northbound.CallTask); got != 0 {
		t.Errorf("%d tasks were asked for alone", got)
	}
	if got := w.calls(northbound.CallTasks); got < 58 || got > 64 {
		t.Errorf("%d calls for lists in an hour of rounds of two minutes", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.followed {
		if w.changes[f.Task] < 29 {
			t.Errorf("%v was told %d times", f.Task, w.changes[f.Task])
		}
	}
}

// withoutFigures removes the figures from an answer.
func withoutFigures(body []byte) []byte {
	return regexp.MustCompile(`"staResult":\{[^}]*\},?`).ReplaceAll(body, nil)
}

// A list without figures is no reason to know none: the tasks that it has are asked for alone.
func TestListWithoutFigures(t *testing.T) {
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{
		Fates: map[string]northbound.Fate{"late": northbound.Offline},
	}}, onlyRounds)
	w.through(nil, func(path string, body []byte) []byte {
		if strings.HasSuffix(path, "/operations") {
			return withoutFigures(body)
		}
		return body
	}, onlyRounds)
	operation := w.createTask(northbound.TaskSpec{Devices: []string{"a", "b", "late"}})
	w.clock.Step(time.Hour)
	task := w.follow(operation)
	w.run()
	w.await(15*time.Minute, "the results are not asked for", func() bool {
		return w.store.Summary(task, tally.Query{}).Succeeded == 2
	})
	w.pass(RoundPeriod)
	if f := w.View(task).Figures; f == nil || f.Total != 3 || f.Succeeded != 2 || f.State != v1alpha1.PlatformProcessing {
		t.Errorf("figures: %+v", f)
	}
}

// A platform that has no list of tasks is asked for each of them.
func TestNoListOfTasks(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.through(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/operations") {
			rw.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}, nil, onlyRounds)
	task := w.follow(w.createEnded(3))
	w.run()
	w.await(10*time.Minute, "the results are not asked for", func() bool { return w.isEqual(task) })
	if c := w.State().Connected; !c.isTrue() {
		t.Errorf("Connected: %+v", c)
	}
}

// A drift is not over because an answer comes without figures.
func TestAnswerWithoutFiguresHealsNothing(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	var without atomic.Bool
	w.through(nil, func(_ string, body []byte) []byte {
		if without.Load() {
			return withoutFigures(body)
		}
		return body
	}, onlyRounds)
	operation := w.createEnded(5)
	w.push(operation, none)
	w.store.Add([]result.Result{pushOfDevice(w, operation, "forged")})
	task := w.follow(operation)
	w.run()
	w.await(10*time.Minute, "the counts do not drift", func() bool { return w.judgement(task) == status.Drifting })
	before := w.View(task)
	without.Store(true)
	asked := w.calls(northbound.CallTask)
	w.pass(time.Hour)
	if v := w.View(task); v.Judgement != status.Drifting || v.Note != before.Note || v.Figures.Total != 5 ||
		!v.AskedAt.Equal(before.AskedAt) || w.calls(northbound.CallTask) == asked {
		t.Errorf("%+v of %+v", v, v.Figures)
	}
}

// Of what the platform answers only what is needed is kept: a task has as many targets as devices.
func TestTargetsAreNotKept(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	running := w.follow(w.createTask(northbound.TaskSpec{Devices: []string{"a"}}))
	w.run()
	w.pass(time.Minute)
	w.clock.Step(time.Hour)
	w.pass(RoundPeriod)
	w.Link.mu.Lock()
	defer w.Link.mu.Unlock()
	if task := w.views[running].task; task == nil || len(task.Targets.Devices) > 0 {
		t.Errorf("kept: %+v", task)
	}
}

// Nobody is called where nothing is followed.
func TestNothingIsFollowed(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.createTask(northbound.TaskSpec{Count: 2})
	w.run()
	w.pass(50 * time.Minute)
	if got := w.calls(northbound.CallTasks) + w.calls(northbound.CallTask); got != 0 {
		t.Errorf("%d calls", got)
	}
}

// A task that ended is asked for again after 10 minutes, 1, 6 and 24 hours, and then no more, unless it runs again.
func TestEndedTasksAreAskedForEverLess(t *testing.T) {
	const period = 10 * time.Minute
	w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1}}, onlyRounds,
		func(o *Options) { o.Period = period })
	operation := w.createEnded(2)
	w.push(operation, none)
	task := w.follow(operation, func(f *Followed) { f.Finished = true })
	w.run()
	asked := func() int { return w.calls(northbound.CallTask) }
	for _, c := range []struct {
		after time.Duration
		calls int
	}{{time.Minute, 1}, {8 * time.Minute, 1}, {4 * time.Minute, 2}, {55 * time.Minute, 2}, {10 * time.Minute, 3},
		{5 * time.Hour, 3}, {70 * time.Minute, 4}, {23 * time.Hour, 4}, {70 * time.Minute, 5}, {50 * time.Hour, 5}} {
		w.pass(c.after)
		if got := asked(); got != c.calls {
			t.Fatalf("after %s more: asked for %d times, not %d", c.after, got, c.calls)
		}
	}
	if err := w.RetryTask(operation); err != nil { // somebody tries it again by hand
		t.Fatal(err)
	}
	w.pass(period + time.Second)
	if f := w.View(task).Figures; f == nil || f.State != v1alpha1.PlatformProcessing {
		t.Fatalf("figures: %+v", f)
	}
	w.clock.Step(3 * time.Hour)
	w.pass(period + time.Second)
	w.pass(period + time.Second)
	if got := asked(); got != 7 {
		t.Errorf("asked for %d times after it ran again", got)
	}
}

// A task that ended is asked for in every round while its counts differ, or its end waits for a comparison.
func TestEndedTasksAreAskedForWhileSomebodyWaits(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	operation := w.createEnded(2)
	w.push(operation, none)
	w.follow(operation, func(f *Followed) { f.Complete = true })
	w.run()
	w.pass(9 * time.Minute)
	if got := w.calls(northbound.CallTask); got < 5 {
		t.Errorf("asked for %d times", got)
	}
}

// A task that the platform does not know is asked for in every round for ten minutes, and then every ten minutes.
func TestUnknownTaskIsAskedForAWhile(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	task := w.follow("no-such-task")
	w.run()
	w.pass(9 * time.Minute)
	if got := w.calls(northbound.CallTask); got != 5 {
		t.Errorf("asked for %d times in nine minutes", got)
	}
	if v := w.View(task); !v.Unknown || v.Figures != nil || v.Trouble != "" {
		t.Errorf("%+v", v)
	}
	w.pass(time.Hour)
	if got := w.calls(northbound.CallTask); got < 10 || got > 12 {
		t.Errorf("asked for %d times in an hour", got)
	}
	w.createTask(northbound.TaskSpec{OperationID: "no-such-task", Count: 1})
	w.pass(RoundPeriod + time.Second)
	if v := w.View(task); v.Unknown || v.Figures == nil {
		t.Errorf("it is there now: %+v", v)
	}
}

// Where the list does not have them, tasks are asked for alone: all of them in their turn, and with a third of the
// calls.
func TestUnlistedTasksAreAskedForInTurn(t *testing.T) {
	const tasks, callsPerMinute = 40, 12
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{
		ListLags: northbound.Fault{Share: 1, Delay: northbound.Duration(48 * time.Hour)},
	}}, onlyRounds, func(o *Options) { o.CallsPerMinute = callsPerMinute })
	for n := range tasks {
		w.follow(w.createTask(northbound.TaskSpec{
			OperationID: fmt.Sprintf("task-%03d", n), Count: 1, StartsIn: northbound.Duration(24 * time.Hour),
		}))
	}
	w.run()
	w.pass(time.Hour)
	w.mu.Lock()
	defer w.mu.Unlock()
	least, most := 1000, 0
	for _, f := range w.followed {
		least, most = min(least, w.changes[f.Task]), max(most, w.changes[f.Task])
	}
	if least == 0 || most-least > 1 {
		t.Errorf("some were asked for %d times, others %d times", least, most)
	}
	if got := w.calls(northbound.CallTask) + w.calls(northbound.CallTasks); got > 60*callsPerMinute/3+30 {
		t.Errorf("%d calls in an hour are more than a third", got)
	}
}

// gets has the link's calls for single tasks written down, in order.
func (w *world) gets(adjust ...func(*Options)) (operations func() []string) {
	var mu sync.Mutex
	var asked []string
	w.through(func(_ http.ResponseWriter, r *http.Request) bool {
		if before, id, found := strings.Cut(r.URL.Path, "/operations/"); found && before != "" && !strings.Contains(id, "/") {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, id)
		}
		return false
	}, nil, adjust...)
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(asked)
	}
}

// What waits for nothing but a comparison has three of four turns, and is asked for once each; the others go by turns,
// and what the platform never knew takes none of all these calls, however much of it there is.
func TestWhatWaitsForAComparisonGoesFirst(t *testing.T) {
	const complete, others, unknown, callsPerMinute = 50, 12, 100, 30
	const aRound = callsPerMinute * 2 / 3
	w := newWorld(t, northbound.Options{}, onlyRounds)
	asked := w.gets(onlyRounds, func(o *Options) { o.CallsPerMinute = callsPerMinute })
	for n := range unknown {
		w.follow(fmt.Sprintf("unknown-%03d", n))
	}
	w.run()
	w.await(time.Hour, "they are not asked for", func() bool { return len(asked()) >= unknown })
	ended := func(id string) string {
		return w.createTask(northbound.TaskSpec{OperationID: id, Count: 1})
	}
	for n := range others {
		ended(fmt.Sprintf("finished-%03d", n))
		ended(fmt.Sprintf("lacking-%03d", n))
	}
	for n := range complete {
		ended(fmt.Sprintf("complete-%03d", n))
	}
	w.clock.Step(3 * time.Hour)
	for n := range others {
		id := fmt.Sprintf("finished-%03d", n)
		w.push(id, none)
		w.follow(id, func(f *Followed) { f.Finished, f.Complete = true, true })
		w.follow(fmt.Sprintf("lacking-%03d", n))
	}
	for n := range complete {
		id := fmt.Sprintf("complete-%03d", n)
		w.push(id, none)
		w.follow(id, func(f *Followed) { f.Complete = true })
	}
	rounds := func() int { return w.calls(northbound.CallTasks) + w.calls(northbound.CallTask) }
	before, calls := len(asked()), rounds()
	compared := func(f Followed) bool { return w.View(f.Task).Figures != nil }
	finish := func() { // as their upgrades do
		w.mu.Lock()
		defer w.mu.Unlock()
		for i := range w.followed {
			w.followed[i].Finished = w.followed[i].Finished || w.followed[i].Complete && compared(w.followed[i])
		}
	}
	count := func(prefix string) (n int) {
		for _, id := range asked()[before:] {
			if strings.HasPrefix(id, prefix) {
				n++
			}
		}
		return n
	}
	w.await(time.Hour, "they are not compared", func() bool { finish(); return count("complete") >= complete })
	const turns = complete*otherTurn/(otherTurn-1) + 1
	first := slices.DeleteFunc(asked()[before:min(before+turns, len(asked()))], func(id string) bool {
		return !strings.HasPrefix(id, "complete")
	})
	slices.Sort(first)
	if n := len(slices.Compact(first)); n != complete || count("complete") != complete || count("unknown") > 0 {
		t.Errorf("of the first %d calls %d were for what waits for a comparison: %v", turns, n, first)
	}
	const wanted = (turns + aRound - 1) / aRound
	if got := rounds() - calls; got > wanted*(aRound+2) {
		t.Errorf("%d calls in %d rounds", got, wanted)
	}
	w.await(time.Hour, "what is finished is not compared", func() bool {
		return count("finished") >= others && count("lacking") >= others
	})
}

// Where more is waited for than a round comes to, every fourth turn is one of what nobody waits for, in its turn.
func TestOtherTasksAreNotStarved(t *testing.T) {
	const tasks, callsPerMinute = 40, 12
	w := newWorld(t, northbound.Options{}, onlyRounds, func(o *Options) { o.CallsPerMinute = callsPerMinute })
	var others []result.Task
	for n := range tasks { // none of which comes to its end, so that each round would ask for all
		w.createTask(northbound.TaskSpec{OperationID: fmt.Sprintf("awaited-%03d", n), Count: 1})
	}
	w.clock.Step(3 * time.Hour)
	for n := range tasks {
		operation := fmt.Sprintf("awaited-%03d", n)
		w.push(operation, none)
		w.follow(operation, func(f *Followed) { f.Complete = true })
	}
	for n := range 3 {
		others = append(others,
			w.follow(fmt.Sprintf("finished-%d", n), func(f *Followed) { f.Finished = true }),
			w.follow(fmt.Sprintf("placeholder-%d", n), func(f *Followed) { f.Placeholder = true }))
	}
	w.run()
	w.pass(7 * RoundPeriod)
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := 0
	for _, task := range others {
		if w.changes[task] == 0 {
			t.Errorf("%s was not asked for", task.OperationID)
		}
		asked += w.changes[task]
	}
	if all := w.calls(northbound.CallTask); asked > all/4+1 {
		t.Errorf("%d of %d turns were of others", asked, all)
	}
}

// Rounds that need many calls are farther apart: they leave two thirds to others.
func TestRoundsUseAThirdOfTheCalls(t *testing.T) {
	const callsPerMinute = 6
	w := newWorld(t, northbound.Options{}, onlyRounds, func(o *Options) { o.CallsPerMinute = callsPerMinute })
	for range 500 {
		w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(48 * time.Hour)}))
	}
	w.run()
	w.pass(time.Hour)
	if got, most := w.calls(northbound.CallTasks), 60*callsPerMinute/3+10; got > most || got < most/2 {
		t.Errorf("%d calls in an hour, want at most %d", got, most)
	}
}

// A list may have shorter pages than were asked for: rounds leave two thirds of the calls to sweeps all the same.
func TestRoundsWithShortPages(t *testing.T) {
	const hours, callsPerMinute = 2, 12
	fewCalls := func(o *Options) { o.CallsPerMinute = callsPerMinute }
	w := newWorld(t, northbound.Options{}, onlyRounds, fewCalls)
	w.through(func(_ http.ResponseWriter, r *http.Request) bool {
		if q := r.URL.Query(); strings.HasSuffix(r.URL.Path, "/operations") {
			q.Set("pageSize", "10")
			r.URL.RawQuery = q.Encode()
		}
		return false
	}, nil, onlyRounds, fewCalls)
	task := w.follow(w.createEnded(3000), func(f *Followed) { f.Complete = true })
	for range 200 {
		w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(96 * time.Hour)})
	}
	w.run()
	w.pass(hours * time.Hour)
	calls := w.calls(northbound.CallTasks) + w.calls(northbound.CallTask)
	if most := hours * 60 * callsPerMinute / 3; calls > most*11/10 || calls < most/2 {
		t.Errorf("rounds took %d calls of %d", calls, 3*most)
	}
	if !w.isEqual(task) {
		t.Errorf("not repaired: %+v", w.View(task))
	}
}

// A platform that fails is called ever less, never more, and is said to be unreachable until it works again.
func TestFailingPlatformIsCalledLess(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	task := w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(48 * time.Hour)}))
	w.run()
	w.pass(time.Minute)
	w.setFaults(northbound.Faults{ErrorBefore: northbound.Fault{Share: 1, Calls: []northbound.Call{northbound.CallTasks}}})
	w.await(10*time.Minute, "it is not said to be unreachable", func() bool {
		return w.State().Connected.Reason == v1alpha1.ReasonUnreachable
	})
	if v := w.View(task); v.Trouble == "" || v.Figures == nil {
		t.Errorf("what was known is told with the trouble: %+v", v)
	}
	w.pass(time.Hour)
	before := w.calls(northbound.CallTasks)
	w.pass(2 * time.Hour)
	if got := w.calls(northbound.CallTasks) - before; got < 5 || got > 15 {
		t.Errorf("%d calls in two hours, at most every ten minutes is wanted", got)
	}
	w.setFaults(northbound.Faults{})
	w.await(15*time.Minute, "it works again, and nobody says so", func() bool { return w.State().Connected.isTrue() })
	if v := w.View(task); v.Trouble != "" {
		t.Errorf("%+v", v)
	}
}

// What is not followed any more is forgotten.
func TestViewsAreForgotten(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	task := w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(time.Hour)}))
	w.run()
	w.pass(time.Minute)
	if w.View(task).Figures == nil {
		t.Fatal("there are no figures")
	}
	w.mu.Lock()
	w.followed = nil
	w.mu.Unlock()
	w.pass(RoundPeriod)
	w.Link.mu.Lock()
	defer w.Link.mu.Unlock()
	if len(w.views) > 0 || len(w.receiving.polled) > 0 {
		t.Errorf("%d views, %d times", len(w.views), len(w.receiving.polled))
	}
}

// A view tells since when its task is followed by who follows it now, and nothing of what was compared for another one.
func TestViewBeginsWithItsOwner(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	operation := w.createEnded(3)
	w.push(operation, none)
	w.follow("another")
	w.run()
	w.pass(time.Hour)
	task := result.Task{AppID: w.AppID(), OperationID: operation}
	if v := w.View(task); !v.Since.IsZero() || v.Figures != nil {
		t.Errorf("nobody follows it: %+v", v)
	}
	declare := func(owner string) time.Time {
		at := w.clock.Now()
		w.follow(operation, func(f *Followed) { f.Owner = owner })
		w.await(RoundPeriod+time.Second, "it is not asked for", func() bool {
			v := w.View(task)
			return v.Figures != nil && !v.AskedAt.Before(at) && !v.Since.Before(at)
		})
		return w.View(task).Since
	}
	first := declare("first")
	w.pass(time.Hour)
	if since := w.View(task).Since; !since.Equal(first) {
		t.Errorf("followed since %s, now since %s", first, since)
	}
	if second := declare("second"); !second.After(first) {
		t.Errorf("the second one follows since %s", second)
	}
	w.setFaults(northbound.Faults{ErrorBefore: northbound.Fault{
		Share: 1, Calls: []northbound.Call{northbound.CallLogin},
	}})
	w.RevokeToken()
	w.await(time.Hour, "it is not said", func() bool { return !w.State().Connected.isTrue() })
	before := w.clock.Now()
	w.follow(operation, func(f *Followed) { f.Owner = "third" })
	w.await(11*time.Minute, "it is not followed while the platform fails", func() bool {
		v := w.View(task)
		return !v.Since.Before(before) && v.Figures == nil
	})
}

// That more was reported than the platform counts is judged only when it was so for the time of a round: its figures
// may be late. It is looked at every ten minutes then.
func TestDifferencesAreJudgedTwice(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	operation := w.createEnded(5)
	w.push(operation, none)
	forged := pushOfDevice(w, operation, "forged")
	w.store.Add([]result.Result{forged}) // one more than the platform counts
	task := w.follow(operation, func(f *Followed) { f.Complete = true })
	w.run()
	w.pass(RoundPeriod - time.Second)
	if v := w.View(task); v.Judgement != status.NotJudged || v.Figures == nil || w.calls(northbound.CallTask) < 3 {
		t.Fatalf("within the time of a round: %+v", v)
	}
	w.pass(2 * time.Second)
	if v := w.View(task); v.Judgement != status.Drifting || !strings.Contains(v.Note, "more was reported") {
		t.Fatalf("after two rounds: %+v", v)
	}
	if got := w.calls(northbound.CallSubTasks); got != 0 {
		t.Errorf("%d sweeps, which can't help", got)
	}
	before := w.calls(northbound.CallTask)
	w.pass(10 * time.Hour)
	if got := w.calls(northbound.CallTask) - before; got < 50 || got > 60 {
		t.Errorf("asked for %d times in ten hours", got)
	}
}

// pushOfDevice is a success of a device that the platform does not know, a moment ago.
func pushOfDevice(w *world, operation, device string) result.Result {
	truth, _ := w.Truth(operation)
	r := pushOf(w.AppID(), truth, &truth.Devices[0])
	r.DeviceID, r.ReceivedAt = device, w.clock.Now().UnixMicro()
	return r
}
