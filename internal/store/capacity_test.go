// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// withoutStore begins and ends a test without a ResultStore.
func withoutStore(t *testing.T) {
	t.Helper()
	remove := func() {
		store := &storage.ResultStore{ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}}
		if err := client.IgnoreNotFound(k8s.Delete(context.Background(), store)); err != nil {
			t.Error(err)
		}
	}
	remove()
	t.Cleanup(remove)
}

// published returns the status of the ResultStore.
func published(t *testing.T) storage.ResultStoreStatus {
	t.Helper()
	store := &storage.ResultStore{}
	if err := k8s.Get(t.Context(), client.ObjectKey{Name: storage.ResultStoreName}, store); err != nil {
		t.Fatal(err)
	}
	return store.Status
}

// takeEvents returns the Events of a namespace, and removes them.
func takeEvents(t *testing.T, namespace string) []eventsv1.Event {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if err := k8s.Delete(t.Context(), &list.Items[i]); err != nil {
			t.Fatal(err)
		}
	}
	return list.Items
}

// refusingEvents is a client whose Events are refused while refuse says so.
func refusingEvents(refuse *bool) client.WithWatch {
	return interceptor.NewClient(k8s, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if _, isEvent := obj.(*eventsv1.Event); isEvent && *refuse {
				return errors.New("refused")
			}
			return c.Create(ctx, obj, opts...)
		},
	})
}

// TestCapacity fills and empties the store, and looks at what the ResultStore and the Events say after each step.
func TestCapacity(t *testing.T) {
	withoutStore(t)
	namespace := harness.NewNamespace(t, k8s)
	refuse := false
	s := newStore(t, namespace, refusingEvents(&refuse))
	for i, step := range []struct {
		results, rejected int
		refuse            bool
		state             storage.StoreState
		event             string
	}{
		{0, 0, false, storage.StoreOpen, ""},
		{799, 0, false, storage.StoreOpen, ""},
		{800, 0, false, storage.StoreNearlyFull, EventStoreNearlyFull},
		{780, 0, false, storage.StoreNearlyFull, ""},
		{810, 0, false, storage.StoreNearlyFull, ""}, // it hovers: one warning
		{740, 0, false, storage.StoreOpen, ""},
		{810, 0, false, storage.StoreNearlyFull, EventStoreNearlyFull},
		{1000, 0, false, storage.StoreFull, EventStoreFull},
		{950, 0, false, storage.StoreFull, ""},
		{949, 0, false, storage.StoreNearlyFull, EventStoreReopened},
		{0, 0, false, storage.StoreOpen, ""},
		{968, 1, false, storage.StoreFull, EventStoreFull}, // a rejected notification counts as 32 results
		{0, 0, true, storage.StoreOpen, ""},
		{0, 0, true, storage.StoreOpen, ""},
		{0, 0, false, storage.StoreOpen, EventStoreReopened}, // told late, but told
		{0, 0, false, storage.StoreOpen, ""},
		{1000, 0, true, storage.StoreFull, ""}, // storing stops, whatever becomes of the Event
		{0, 0, true, storage.StoreOpen, ""},
		{0, 0, false, storage.StoreOpen, ""}, // there is nothing to tell any more
	} {
		all := &storedSlice{results: step.results, rejected: make([]rejection, step.rejected)}
		all.Name = "all"
		s.index.insert(all)
		s.clock.Step(capacityInterval)
		refuse = step.refuse
		err := s.publishCapacity(t.Context())
		now := published(t)
		if untold := now.State != now.AnnouncedState; (err != nil) != untold || untold && !step.refuse {
			t.Fatalf("step %d: %v", i, err)
		}
		event := ""
		for _, e := range takeEvents(t, namespace) {
			event += e.Reason
		}
		want, got := []string{string(step.state), step.event}, []string{string(now.State), event}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("step %d, %d results (-want +got):\n%s", i, step.results, diff)
		}
	}
}

// A leader that dies between the Event and its record tells nothing twice, nor does the next one.
func TestAnnouncedStateIsNotRepeated(t *testing.T) {
	withoutStore(t)
	namespace := harness.NewNamespace(t, k8s)
	writes := 0
	dying := interceptor.NewClient(k8s, interceptor.Funcs{
		SubResourceUpdate: func(
			ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption,
		) error {
			if writes++; writes == 2 {
				return errKilled
			}
			return c.SubResource(sub).Update(ctx, obj, opts...)
		},
	})
	now := time.Now()
	for i, c := range []client.WithWatch{dying, k8s} {
		s := newStore(t, namespace, c)
		all := &storedSlice{results: 1000}
		all.Name = "all"
		s.index.insert(all)
		s.clock.SetTime(now)
		if err := s.publishCapacity(t.Context()); (err != nil) != (i == 0) {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	if events := takeEvents(t, namespace); len(events) != 1 || events[0].Reason != EventStoreFull {
		t.Errorf("want one Event, got %d", len(events))
	}
	if got := published(t); got.AnnouncedState != storage.StoreFull || got.Load != 1000 {
		t.Errorf("the record is missing: %+v", got)
	}
}

// The figures are written when they move by more than a hundredth, or once a minute; a ResultStore that somebody
// deleted comes again.
func TestFiguresArePublished(t *testing.T) {
	withoutStore(t)
	s := newStore(t, harness.NewNamespace(t, k8s), k8s)
	check := func(results int, after time.Duration, want int64) {
		t.Helper()
		all := &storedSlice{results: results}
		all.Name = "all"
		s.index.insert(all)
		s.clock.Step(after)
		if err := s.publishCapacity(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := published(t)
		if got.Results != want || got.Load != want || got.Limit != 1000 || got.Slices != 1 {
			t.Errorf("%d results: want %d published, got %+v", results, want, got)
		}
	}
	check(100, 0, 100)
	check(110, capacityInterval, 100)
	check(111, capacityInterval, 111)
	check(105, publishInterval, 105)
	withoutStore(t)
	check(105, capacityInterval, 105)
}

// Rejected notifications are announced: each once, at most one Event a minute, however often Events are refused and
// leaders change.
func TestRejectedAreAnnouncedOnce(t *testing.T) {
	withoutStore(t)
	namespace := harness.NewNamespace(t, k8s)
	refuse := false
	first := time.Now().UTC().Truncate(time.Second) // the API server's clock is not ours
	clock := clocktesting.NewFakeClock(first)
	lead := func() *testStore {
		s := newStore(t, namespace, refusingEvents(&refuse))
		s.options.Clock, s.clock = clock, clock
		s.announcing.started = clock.Now()
		return s
	}
	s := lead()
	var notes []string
	check := func(want ...string) {
		t.Helper()
		s.awaitRead()
		if err := s.publishCapacity(t.Context()); err != nil && !refuse {
			t.Fatal(err)
		}
		var got []string
		for _, e := range takeEvents(t, namespace) {
			note, _, _ := strings.Cut(e.Note, " authentic")
			got = append(got, note)
			notes = append(notes, e.Note)
			if e.Reason != EventNotificationRejected || e.Regarding.Name != storage.ResultStoreName {
				t.Errorf("unexpected Event %+v", e)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", clock.Since(first), diff)
		}
	}
	s.create("r-0", rejectedSlice(first.Add(-time.Second), first))
	check() // what was received before may be on its way
	s.create("r-1", rejectedSlice(first.Add(-2*time.Second)))
	clock.Step(arrivalDelay)
	check("3")
	s.create("r-2", rejectedSlice(first.Add(time.Second)))
	clock.Step(30 * time.Second)
	check() // a minute has not passed
	clock.Step(30 * time.Second)
	refuse = true
	check()
	clock.Step(time.Hour)
	s.create("r-3", rejectedSlice(first.Add(2*time.Second)))
	check()
	s = lead() // another leader
	check()
	refuse = false
	check("1")
	check()
	clock.Step(time.Minute)
	check("1")
	s = lead()
	clock.Step(time.Hour)
	check()
	s.create("r-4", rejectedSlice(first.Add(time.Minute)))
	check("1")
	if got := published(t); got.Rejected != 6 || got.AnnouncedRejectTime.UTC() != first.Add(time.Minute) {
		t.Errorf("recorded %+v", got)
	}

	// Compaction moves them, which is no news.
	for _, slice := range s.index.all() {
		if err := s.rewrite(t.Context(), []*storedSlice{slice}, nil); err != nil {
			t.Fatal(err)
		}
	}
	clock.Step(time.Hour)
	check()
	listsRejected(t, namespace, notes[len(notes)-1], 1)
	listsRejected(t, namespace, notes[0], 6)
}

// Rejected notifications of a replica whose clock is behind are announced, too, once, and the command of the note lists
// them: also where compaction was faster, and when leaders change.
func TestRejectedOfALateClockAreAnnounced(t *testing.T) {
	withoutStore(t)
	namespace := harness.NewNamespace(t, k8s)
	start := time.Now().UTC().Truncate(time.Second)
	clock := clocktesting.NewFakeClock(start)
	lead := func() *testStore {
		s := newStore(t, namespace, k8s)
		s.options.Clock, s.clock = clock, clock
		s.announcing.started = clock.Now()
		return s
	}
	s := lead()
	// check says how many are announced, and how many the note lists: all since the first of them.
	check := func(listed int, want ...string) {
		t.Helper()
		clock.Step(2 * time.Minute)
		s.awaitRead()
		if err := s.publishCapacity(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range takeEvents(t, namespace) {
			note, _, _ := strings.Cut(e.Note, " authentic")
			got = append(got, note)
			listsRejected(t, namespace, e.Note, listed)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	s.create("r-0", rejectedSlice(start))
	check(1, "1")
	check(0)
	harness.Eventually(t, func() string { // creation times are kept in seconds
		if time.Since(start) < 2*time.Second {
			return "the next one would be stored in the second of the first"
		}
		return ""
	})
	s.create("r-1", rejectedSlice(start.Add(-30*time.Minute), start.Add(-20*time.Minute)))
	s.awaitRead()
	compact := func() {
		t.Helper()
		for _, slice := range s.index.all() {
			if err := s.rewrite(t.Context(), []*storedSlice{slice}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	compact()
	s = lead()
	s.awaitRead()
	compact()
	check(3, "2")
	check(0)
	compact()
	check(0)
	s = lead()
	check(0)
}

// One that is stored twice, as compaction broke off, is announced once, also where only one of the two slices says when
// it was stored.
func TestRejectedStoredTwiceCountOnce(t *testing.T) {
	x := newIndex()
	late := rejection{receivedAt: first.UnixMicro(), reason: "no JSON"}
	stored := first.Add(time.Hour).UnixMicro()
	for name, at := range map[string]int64{"r-0": stored, "c-0": 0, "c-1": stored} {
		x.insert(&storedSlice{
			ObjectMeta: metav1.ObjectMeta{Name: name}, rejected: []rejection{late}, rejectedStored: at,
		})
	}
	for _, within := range []struct {
		after, until int64
		want         int
	}{{0, stored, 1}, {stored - 1, stored, 1}, {0, stored - 1, 0}, {stored, stored + 1, 0}} {
		if got := x.rejectedWithin(within.after, within.until); got.count != within.want {
			t.Errorf("after %d until %d: want %d, got %d", within.after, within.until, within.want, got.count)
		}
	}
}

// listsRejected runs the command that a note names on what is stored, where jq is installed.
func listsRejected(t *testing.T, namespace, note string, want int) {
	t.Helper()
	_, command, found := strings.Cut(note, "kubectl -n "+namespace+" get fwslice -o json | jq '")
	filter, _, ended := strings.Cut(command, "'")
	if !found || !ended {
		t.Fatalf("there is no command in %q", note)
	}
	jq, err := exec.LookPath("jq")
	if err != nil {
		t.Log("jq is not installed: the command of the note is not tried")
		return
	}
	list := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), jq, filter+" | length")
	cmd.Stdin = strings.NewReader(encode(t, list))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != encode(t, want) {
		t.Errorf("want %d listed, got %s by %s", want, got, filter)
	}
}
