// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"testing"
	"time"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
)

// A platform that takes no more calls is left alone for a minute, and then called at half the rate.
func TestThrottledPlatformIsLeftAlone(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	task := w.follow(w.createEnded(3000)) // which a sweep of 30 pages asks for
	w.run()
	w.await(30*time.Minute, "nothing is asked for", func() bool { return w.calls(northbound.CallSubTasks) > 3 })
	w.setFaults(northbound.Faults{Throttled: northbound.Fault{Next: 1}})
	w.await(time.Minute, "nobody is refused", func() bool { return w.Report().Calls.Throttled == 1 })
	w.await(5*time.Minute, "it is not said", func() bool { return w.State().Connected.Reason == v1alpha1.ReasonThrottled })
	w.await(30*time.Minute, "the sweep does not go on", func() bool { return w.isEqual(task) })
	var refused time.Time
	after := 0
	for _, call := range w.Report().CallList {
		switch {
		case call.Code == "1010009":
			refused = call.Time
		case refused.IsZero():
		case call.Time.Sub(refused) < time.Minute:
			t.Errorf("%s was called %s after the platform had refused a call", call.Kind, call.Time.Sub(refused))
		case call.Time.Sub(refused) < 3*time.Minute:
			after++
		}
	}
	if after > scaleLimit || after == 0 {
		t.Errorf("%d calls in the two minutes after the silence, half of %d a minute are allowed", after, scaleLimit)
	}
	w.await(30*time.Minute, "it is not forgotten", func() bool { return w.State().Connected.isTrue() })
}

// Somebody else who logs in every 20 seconds is noticed, and not fought: the logins of ours are ever farther apart.
// Once nobody does any more, the connection comes back by itself.
func TestContendedToken(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(48 * time.Hour)}))
	w.run()
	contend := func(d time.Duration) {
		for range d / (20 * time.Second) {
			w.pass(20 * time.Second)
			w.RevokeToken()
		}
	}
	contend(20 * time.Minute)
	if c := w.State().Connected; c.Reason != v1alpha1.ReasonTokenContended {
		t.Fatalf("Connected: %+v", c)
	}
	contend(2 * time.Hour)
	var ours []time.Time
	for _, login := range w.Report().Logins {
		if !login.Other {
			ours = append(ours, login.Time)
		}
	}
	for n := 1; n < len(ours); n++ {
		if apart := ours[n].Sub(ours[n-1]); apart < time.Minute {
			t.Errorf("login %d came %s after the last one", n, apart)
		}
	}
	if len(ours) < 4 || len(ours) > 20 {
		t.Errorf("%d logins in 140 minutes", len(ours))
	}
	if again := w.Report().Calls.StaleTokenAgain; again > 0 {
		t.Errorf("%d calls with a token that was known to have ended", again)
	}
	w.await(40*time.Minute, "it does not come back", func() bool { return w.State().Connected.isTrue() })
}
