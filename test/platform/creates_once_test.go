// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
)

var kills = flag.Int("kills", 9, "how often TestCreatesOnce kills the leader in a creation")

// A death is where a leader dies that has a task created.
type death struct {
	name string
	// at and after are those of kill; at is nil where it dies when the platform was asked, before the answer comes.
	at    func(method, path, body string) bool
	after bool
	// posts is how many creations are posted in the end: one, as what was never asked is asked by the next leader, and
	// what was asked is found.
	posts int
	// step is what passes until it is looked at again.
	step time.Duration
}

const recordOf = "/firmwareupgradetaskrecords"

// deaths are before and after each step of the creation that a FirmwareUpgrade asks for.
func deaths(name string) []death {
	statusOf := "/firmwareupgrades/" + name + "/status"
	isCreating, isIntent := writesOf(statusOf, `"state":"Creating"`), writesOf(recordOf, `"intent":`)
	isOutcome, isCreated := writesOf(recordOf, `"outcome":`), writesOf(statusOf, `"state":"Created"`)
	return []death{
		{"before the status says that it begins", isCreating, false, 1, leadTime},
		{"when the status says that it begins", isCreating, true, 1, leadTime},
		{"before the intent is recorded", isIntent, false, 1, leadTime},
		{"when the intent is recorded, before the platform is asked", isIntent, true, 1, 20 * time.Minute},
		{"when the platform created the task, before it answers", nil, false, 1, leadTime},
		{"before the outcome is recorded", isOutcome, false, 1, leadTime},
		{"when the outcome is recorded", isOutcome, true, 1, leadTime},
		{"before the status says that it was created", isCreated, false, 1, leadTime},
		{"when the status says that it was created", isCreated, true, 1, leadTime},
	}
}

// The leader dies before and after each step, again and again. Each wave has one task in the end, and nobody is asked.
func TestCreatesOnce(t *testing.T) {
	w := startCreating(t, quick())
	first := w.create(w.wave("first", 1))
	w.await(first, stands(first, v1alpha1.ReasonCreated, v1alpha1.ConditionReady))
	harness.Eventually(t, func() string { // what is not found was not created
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil || w.app.Status.Search == nil {
			return fmt.Sprintf("the search is not proved: %v", err)
		}
		return ""
	})
	posts := 1
	for n := range *kills {
		name := fmt.Sprintf("wave-%d", n)
		all := deaths(name)
		d := all[n%len(all)]
		w.stop()
		w.kill = newKill(d.at, d.after)
		if d.at == nil {
			w.setFaults(northbound.Faults{AnswerSilent: once()})
		}
		fwu := w.create(w.wave(name, 1))
		logins := w.platform.Report().Calls.Logins
		w.goOn()
		w.awaitLogin(logins)
		w.pass(leadTime)
		if d.at == nil {
			w.awaitPosts(posts + 1)
			w.kill.now()
		}
		select {
		case <-w.kill.dead:
		case <-time.After(time.Minute):
			t.Fatalf("%d: the leader did not die %s", n, d.name)
		}
		w.stop()
		w.kill = nil
		w.setFaults(northbound.Faults{})
		logins = w.platform.Report().Calls.Logins
		w.goOn()
		w.awaitLogin(logins)
		w.passUntil(fwu, d.step, func() string {
			if c := taskCreated(fwu, v1alpha1.ReasonCreationUncertain); c == "" {
				t.Fatalf("%d: somebody is asked after it died %s", n, d.name)
			}
			return taskCreated(fwu, v1alpha1.ReasonCreated)
		})
		posts += d.posts
		if got := w.platform.Report(); len(got.Creations) != posts || got.Tasks.Duplicates != 0 {
			t.Fatalf("%d: it died %s: want %d creations, got %d, %+v", n, d.name, posts, len(got.Creations), got.Tasks)
		}
	}
	if got := w.platform.Report().Tasks; got.Created != *kills+1 {
		t.Errorf("%d tasks for %d waves", got.Created, *kills+1)
	}
}

// awaitLogin waits until a new leader called the platform: it logs in anew.
func (w *world) awaitLogin(before int) {
	w.t.Helper()
	harness.Eventually(w.t, func() string {
		if w.platform.Report().Calls.Logins > before {
			return ""
		}
		w.clock.step(5 * time.Second) // a leader calls nobody in its first minute
		return "the new leader did not log in"
	})
}
