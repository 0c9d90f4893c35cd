// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

var (
	sliceKind     = schema.GroupKind{Group: storage.GroupVersion.Group, Kind: "ResultSlice"}
	sliceResource = schema.GroupResource{Group: storage.GroupVersion.Group, Resource: "resultslices"}
	errGone       = errors.New("connection reset by peer")
)

// fault is what goes wrong with one attempt.
type fault int

const (
	faultNone fault = iota
	// faultLost stores nothing and fails.
	faultLost
	// faultUnclear stores and fails nevertheless.
	faultUnclear
	// faultHang stores nothing and doesn't answer.
	faultHang
	// faultUnclearHang stores and doesn't answer.
	faultUnclearHang
	// faultForbidden refuses for a reason that passes.
	faultForbidden
	// faultFull refuses as the admission policy of a full store does, faultOther as that of another installation.
	faultFull
	faultOther
	// faultTooLarge refuses the content.
	faultTooLarge
)

// scriptedAPI is a creator that stores and fails as a script says, as the API server would: a name is taken once, and
// content is checked before it is stored.
type scriptedAPI struct {
	// script says what goes wrong with an attempt, counted from 0.
	script func(attempt int) fault
	// poison are devices whose results are refused.
	poison map[string]bool
	// poisonRejected refuses rejected notifications too.
	poisonRejected bool

	mu       sync.Mutex
	attempts int
	names    []string
	slices   map[string]storage.ResultSlice
}

func (s *scriptedAPI) create(ctx context.Context, body []byte) error {
	f, err := s.attempt(body)
	if f == faultHang || f == faultUnclearHang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (s *scriptedAPI) attempt(body []byte) (fault, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var slice storage.ResultSlice
	if err := json.Unmarshal(body, &slice); err != nil {
		return faultNone, apierrors.NewBadRequest(err.Error())
	}
	f := faultNone
	if s.script != nil {
		f = s.script(s.attempts)
	}
	s.attempts++
	s.names = append(s.names, slice.Name)
	switch f {
	case faultLost:
		return f, errGone
	case faultHang:
		return f, nil
	case faultForbidden:
		return f, apierrors.NewForbidden(sliceResource, slice.Name, errors.New("exceeded quota"))
	case faultFull:
		return f, apierrors.NewForbidden(sliceResource, slice.Name, errors.New(textFull))
	case faultOther:
		return f, apierrors.NewForbidden(sliceResource, slice.Name, errors.New(textOtherName+" namespace a"))
	case faultTooLarge:
		return f, apierrors.NewRequestEntityTooLargeError("limit is 3145728")
	}
	for _, r := range unpack(&slice) {
		if s.poison[r.DeviceID] {
			return f, apierrors.NewInvalid(sliceKind, slice.Name, nil)
		}
	}
	if s.poisonRejected && len(slice.Rejected) > 0 {
		return f, apierrors.NewInvalid(sliceKind, slice.Name, nil)
	}
	if _, taken := s.slices[slice.Name]; taken {
		return f, apierrors.NewAlreadyExists(sliceResource, slice.Name)
	}
	if s.slices == nil {
		s.slices = map[string]storage.ResultSlice{}
	}
	s.slices[slice.Name] = slice
	if f == faultUnclear {
		return f, errGone
	}
	return f, nil
}

// stored counts what is stored: results by device, rejected notifications by body.
func (s *scriptedAPI) stored() (results, rejected map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	results, rejected = map[string]int{}, map[string]int{}
	for _, slice := range s.slices {
		for _, r := range unpack(&slice) {
			results[r.DeviceID]++
		}
		for _, r := range slice.Rejected {
			rejected[r.Body]++
		}
	}
	return results, rejected
}

func testMetrics(t *testing.T) *metrics {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// running is a committer that runs in a bubble of synctest, where waiting costs no time.
type running struct {
	*committer
	t       *testing.T
	abandon context.CancelFunc
	ended   chan struct{}
}

func runCommitter(t *testing.T, api creator) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{
		committer: newCommitter(api, clock.RealClock{}, logr.Discard(), testMetrics(t)),
		t:         t, abandon: cancel, ended: make(chan struct{}),
	}
	go func() {
		defer close(r.ended)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		r.close()
		<-r.ended
	})
	return r
}

func device(i int) string { return fmt.Sprintf("device-%03d", i) }

func deviceEntry(i int) *entry {
	r := result.Result{
		Task: result.Task{AppID: "app", OperationID: fmt.Sprintf("op-%d", i%3)}, DeviceID: device(i),
		ResultFields: storage.ResultFields{State: storage.StateSucceeded, CurVersion: "1.6"}, ReceivedAt: int64(i + 1),
	}
	return newResultEntry(time.Now(), r, []byte(device(i)))
}

// answered is the outcome of one push and when it came.
type answered struct {
	outcome outcome
	after   time.Duration
}

// push submits n entries at once and returns a function that waits for all outcomes.
func (r *running) push(from, n int) func() []answered {
	outcomes := make([]answered, n)
	var waiting sync.WaitGroup
	for i := range n {
		e := deviceEntry(from + i)
		waiting.Go(func() {
			start := time.Now()
			outcomes[i].outcome = r.submit(e)
			outcomes[i].after = time.Since(start)
		})
	}
	return func() []answered { waiting.Wait(); return outcomes }
}

func count(outcomes []answered) map[string]int {
	counts := map[string]int{}
	for _, o := range outcomes {
		counts[o.outcome.answer.String()]++
	}
	return counts
}

func TestCommitter(t *testing.T) {
	outage := func(from, to int) func(int) fault {
		return func(attempt int) fault {
			if attempt >= from && attempt < to {
				return faultLost
			}
			return faultNone
		}
	}
	always := func(f fault) func(int) fault { return func(int) fault { return f } }
	first := func(f fault) func(int) fault {
		return func(attempt int) fault {
			if attempt == 0 {
				return f
			}
			return faultNone
		}
	}
	cases := map[string]struct {
		api    *scriptedAPI
		pushes int
		// want are the answers, wantStored how many results are stored.
		want         map[string]int
		wantStored   int
		wantRejected int
		// atLeast and atMost bound when the last answer came.
		atLeast, atMost time.Duration
	}{
		"one push":           {&scriptedAPI{}, 1, map[string]int{"recorded": 1}, 1, 0, batchDelay, batchDelay},
		"a burst":            {&scriptedAPI{}, 5000, map[string]int{"recorded": 5000}, 5000, 0, 0, batchDelay},
		"answer lost":        {&scriptedAPI{script: first(faultUnclear)}, 1, map[string]int{"recorded": 1}, 1, 0, 0, time.Second},
		"answer never comes": {&scriptedAPI{script: first(faultUnclearHang)}, 1, map[string]int{"recorded": 1}, 1, 0, attemptTimeout, attemptTimeout + time.Second},
		"dead peer":          {&scriptedAPI{script: first(faultHang)}, 1, map[string]int{"recorded": 1}, 1, 0, attemptTimeout, attemptTimeout + time.Second},
		"short outage":       {&scriptedAPI{script: outage(0, 5)}, 100, map[string]int{"recorded": 100}, 100, 0, 0, 5 * time.Second},
		"quota for a moment": {&scriptedAPI{script: first(faultForbidden)}, 1, map[string]int{"recorded": 1}, 1, 0, 0, time.Second},
		"long outage":        {&scriptedAPI{script: always(faultLost)}, 100, map[string]int{"not_stored": 100}, 0, 0, 8 * time.Second, StoreDeadline},
		"forbidden for long": {&scriptedAPI{script: always(faultForbidden)}, 9, map[string]int{"not_stored": 9}, 0, 0, 8 * time.Second, StoreDeadline},
		// What the store refuses is refused for longer than anybody waits: the answer comes at once.
		"full store":      {&scriptedAPI{script: always(faultFull)}, 500, map[string]int{"not_stored": 500}, 0, 0, 0, batchDelay},
		"another's store": {&scriptedAPI{script: always(faultOther)}, 500, map[string]int{"not_stored": 500}, 0, 0, 0, batchDelay},
		"full after an outage": {&scriptedAPI{script: func(attempt int) fault { return []fault{faultLost, faultFull}[min(attempt, 1)] }},
			9, map[string]int{"not_stored": 9}, 0, 0, minBackoff, time.Second},
		"always unclear":       {&scriptedAPI{script: always(faultUnclear)}, 10, map[string]int{"recorded": 10}, 10, 0, 0, time.Second},
		"never an answer":      {&scriptedAPI{script: always(faultHang)}, 100, map[string]int{"not_stored": 100}, 0, 0, 8 * time.Second, StoreDeadline},
		"one poisonous of 500": {&scriptedAPI{poison: map[string]bool{device(77): true}}, 500, map[string]int{"recorded": 499, "rejected": 1}, 499, 1, 0, batchDelay},
		"all poisonous": {&scriptedAPI{poison: map[string]bool{device(0): true, device(1): true, device(2): true}}, 3,
			map[string]int{"rejected": 3}, 0, 3, 0, batchDelay},
		"refused even as rejected": {&scriptedAPI{poison: map[string]bool{device(1): true}, poisonRejected: true}, 4,
			map[string]int{"recorded": 3, "not_stored": 1}, 3, 0, 0, batchDelay},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outcomes := runCommitter(t, tc.api).push(0, tc.pushes)()
				if diff := cmp.Diff(tc.want, count(outcomes)); diff != "" {
					t.Errorf("answers (-want +got):\n%s", diff)
				}
				results, rejected := tc.api.stored()
				if len(results) != tc.wantStored || len(rejected) != tc.wantRejected {
					t.Errorf("want %d results and %d rejected notifications stored, got %d and %d",
						tc.wantStored, tc.wantRejected, len(results), len(rejected))
				}
				for device, times := range results {
					if times != 1 {
						t.Errorf("the result of %s is stored %d times", device, times)
					}
				}
				var last time.Duration
				for _, o := range outcomes {
					last = max(last, o.after)
				}
				if last < tc.atLeast || last > tc.atMost {
					t.Errorf("the last answer came after %s, want between %s and %s", last, tc.atLeast, tc.atMost)
				}
			})
		})
	}
}

func TestCommitterSplitsWhatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Everything with more than 10 results is refused, whatever the limits here say.
		api := &sizeLimit{most: 10}
		outcomes := runCommitter(t, api).push(0, 300)()
		if diff := cmp.Diff(map[string]int{"recorded": 300}, count(outcomes)); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		if results, _ := api.stored(); len(results) != 300 {
			t.Errorf("%d results are stored", len(results))
		}
	})
}

// sizeLimit refuses slices with more than so many results.
type sizeLimit struct {
	scriptedAPI
	most int
}

func (s *sizeLimit) create(ctx context.Context, body []byte) error {
	var slice storage.ResultSlice
	if err := json.Unmarshal(body, &slice); err != nil {
		return err
	}
	if len(unpack(&slice)) > s.most {
		return apierrors.NewRequestEntityTooLargeError("limit is 10 results")
	}
	return s.scriptedAPI.create(ctx, body)
}

func TestCommitterGathersWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		api := &gate{release: release}
		c := runCommitter(t, api)
		waits := []func() []answered{c.push(0, 1)}
		time.Sleep(batchDelay)
		waits = append(waits, c.push(1, 400))
		time.Sleep(batchDelay)
		synctest.Wait()
		if got := api.calls(); got != 1 {
			t.Errorf("%d slices are being written, want 1", got)
		}
		close(release)
		for _, wait := range waits {
			if o := count(wait()); o["recorded"] == 0 || len(o) != 1 {
				t.Errorf("answers: %v", o)
			}
		}
		if got := api.calls(); got != 2 {
			t.Errorf("400 entries that gathered went into %d slices, want 1", got-1)
		}
	})
}

// TestCommitterGathersWhatComesApart has pushes that never meet share slices.
func TestCommitterGathersWhatComesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &scriptedAPI{}
		c := runCommitter(t, api)
		const apart, pushes = batchDelay / 4, 100
		for i := range pushes {
			c.push(i, 1)
			time.Sleep(apart)
		}
		time.Sleep(batchDelay)
		api.mu.Lock()
		defer api.mu.Unlock()
		if got, most := len(api.slices), int(pushes*apart/batchDelay)+1; got > most {
			t.Errorf("%d pushes, %s apart, went into %d slices, want at most %d", pushes, apart, got, most)
		}
	})
}

// gate is a creator that waits until it is released.
type gate struct {
	scriptedAPI
	release <-chan struct{}
	mu      sync.Mutex
	n       int
}

func (g *gate) calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

func (g *gate) create(ctx context.Context, body []byte) error {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	select {
	case <-g.release:
		return g.scriptedAPI.create(ctx, body)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestCommitterRetriesUnderTheSameName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &scriptedAPI{script: func(attempt int) fault {
			return []fault{faultLost, faultForbidden, faultUnclear, faultNone}[min(attempt, 3)]
		}}
		c := runCommitter(t, api)
		if got := c.push(0, 1)()[0].outcome; got.answer != answerRecorded {
			t.Fatalf("got %+v", got)
		}
		if len(api.names) != 4 {
			t.Fatalf("attempts under %q", api.names)
		}
		for _, name := range api.names {
			if name != api.names[0] {
				t.Errorf("attempts under several names: %q", api.names)
			}
		}
	})
}

func TestCommitterRecoversAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		api := &scriptedAPI{}
		api.script = func(int) fault {
			if time.Since(start) < time.Minute {
				return faultHang
			}
			return faultNone
		}
		c := runCommitter(t, api)
		// A minute of pushes nobody can store.
		var waits []func() []answered
		for i := range 60 {
			waits = append(waits, c.push(i*10, 10))
			time.Sleep(time.Second)
		}
		after := c.push(600, 10)
		if diff := cmp.Diff(map[string]int{"recorded": 10}, count(after())); diff != "" {
			t.Errorf("answers after the outage (-want +got):\n%s", diff)
		}
		for i, wait := range waits {
			for _, o := range wait() {
				if o.after > StoreDeadline {
					t.Errorf("a push in second %d was answered after %s", i, o.after)
				}
			}
		}
	})
}

func TestCommitterRefusesWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := runCommitter(t, &gate{release: release})
		c.push(0, 1)
		time.Sleep(batchDelay)
		synctest.Wait()
		waiting := c.push(0, maxQueueEntries)
		synctest.Wait()
		over := c.push(maxQueueEntries, 5)()
		if diff := cmp.Diff(map[string]int{"not_stored": 5}, count(over)); diff != "" {
			t.Errorf("answers beyond the bound (-want +got):\n%s", diff)
		}
		for _, o := range over {
			if o.after != 0 {
				t.Errorf("was told after %s that the queue is full", o.after)
			}
		}
		close(release)
		if diff := cmp.Diff(map[string]int{"recorded": maxQueueEntries}, count(waiting())); diff != "" {
			t.Errorf("answers within the bound (-want +got):\n%s", diff)
		}
	})
}

func TestCommitterDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		api := &gate{release: release}
		c := runCommitter(t, api)
		wait := c.push(0, 5000)
		synctest.Wait()
		c.close()
		late := c.push(5000, 1)()
		if diff := cmp.Diff(map[string]int{"not_stored": 1}, count(late)); diff != "" {
			t.Errorf("answer after closing (-want +got):\n%s", diff)
		}
		close(release)
		<-c.ended
		if diff := cmp.Diff(map[string]int{"recorded": 5000}, count(wait())); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		if results, _ := api.stored(); len(results) != 5000 {
			t.Errorf("%d results are stored", len(results))
		}
	})
}

func TestCommitterAbandons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := runCommitter(t, &scriptedAPI{script: func(int) fault { return faultHang }})
		wait := c.push(0, 5000)
		synctest.Wait()
		c.close()
		c.abandon()
		<-c.ended
		if diff := cmp.Diff(map[string]int{"not_stored": 5000}, count(wait())); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

// TestCommitterNeverLies checks, for any script of faults, that what was answered 200 is stored, and that all get
// an answer in time.
func TestCommitterNeverLies(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(rapid.IntRange(int(faultNone), int(faultTooLarge)), 1, 40).Draw(rt, "faults")
		cycle := rapid.Bool().Draw(rt, "for ever")
		waves := rapid.SliceOfN(rapid.IntRange(1, 60), 1, 6).Draw(rt, "waves")
		gap := time.Duration(rapid.IntRange(0, 4000).Draw(rt, "gap")) * time.Millisecond
		poison := map[string]bool{}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, 100), 0, 3).Draw(rt, "poison") {
			poison[device(i)] = true
		}
		closeAfter := rapid.IntRange(0, 8).Draw(rt, "close after wave")

		api := &scriptedAPI{poison: poison, script: func(attempt int) fault {
			if attempt >= len(script) && !cycle {
				return faultNone
			}
			return fault(script[attempt%len(script)])
		}}
		var outcomes []answered
		synctest.Test(t, func(t *testing.T) {
			c := runCommitter(t, api)
			var waits []func() []answered
			from := 0
			for i, n := range waves {
				waits = append(waits, c.push(from, n))
				from += n
				time.Sleep(gap)
				if i == closeAfter {
					c.close()
				}
			}
			for _, wait := range waits {
				outcomes = append(outcomes, wait()...)
			}
		})
		results, rejected := api.stored()
		for i, o := range outcomes {
			name := device(i)
			if o.outcome.answer == answerRecorded && results[name] == 0 {
				rt.Fatalf("%s was answered recorded, and is not stored", name)
			}
			if o.outcome.answer == answerRejected && rejected[name] == 0 {
				rt.Fatalf("%s was answered rejected, and is not stored", name)
			}
			if poison[name] && o.outcome.answer == answerRecorded {
				rt.Fatalf("%s was answered recorded, and was refused", name)
			}
			// A refusal after an unclear answer splits what may be stored already; the join doesn't notice.
			if results[name]+rejected[name] > 1 && !slices.Contains(script, int(faultTooLarge)) {
				rt.Fatalf("%s is stored %d times", name, results[name]+rejected[name])
			}
			if o.after > StoreDeadline {
				rt.Fatalf("%s was answered after %s", name, o.after)
			}
		}
		// Every device has a name of its own: the sums show that nothing else is stored.
		for name := range maps.Keys(results) {
			if name >= device(len(outcomes)) {
				rt.Fatalf("%s is stored and was never pushed", name)
			}
		}
	})
}
