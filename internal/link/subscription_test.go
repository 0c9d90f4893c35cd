// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/result"
)

// subscribed waits until the condition Subscribed has a reason.
func (w *world) subscribed(status metav1.ConditionStatus, reason string) Condition {
	w.t.Helper()
	w.await(5*time.Minute, "want Subscribed "+string(status)+" for "+reason, func() bool {
		c := w.State().Subscribed
		return c.Status == status && c.Reason == reason
	})
	return w.State().Subscribed
}

// kinds are the calls that were made, but for logins.
func (w *world) kinds() (kinds []northbound.Call) {
	for _, call := range w.Report().CallList {
		if call.Kind != northbound.CallLogin {
			kinds = append(kinds, call.Kind)
		}
	}
	return kinds
}

// A callback is looked for, subscribed and looked for again; then once a day, and subscribed anew where it is gone.
func TestSubscriptionIsMadeAndVerifiedDaily(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	w.run()
	w.subscribed(metav1.ConditionTrue, v1alpha1.ReasonVerified)
	made := []northbound.Call{northbound.CallSubscriptions, northbound.CallSubscribe, northbound.CallSubscriptions}
	if got := w.kinds(); !slices.Equal(got, made) {
		t.Fatalf("calls: %v", got)
	}
	began := w.clock.Now()
	if s := w.State().Subscriptions; len(s) != 1 || s[0].Version != "1" || !s[0].VerifiedAt.Equal(began) {
		t.Fatalf("%+v", s)
	}
	const day = 24 * time.Hour
	w.pass(day - 5*time.Minute)
	if got := w.kinds(); !slices.Equal(got, made) {
		t.Fatalf("calls within a day: %v", got)
	}
	w.pass(10 * time.Minute)
	if got := w.kinds(); !slices.Equal(got, append(slices.Clone(made), northbound.CallSubscriptions)) {
		t.Fatalf("calls after a day: %v", got)
	}
	if s := w.State().Subscriptions; s[0].VerifiedAt.Sub(began) < day {
		t.Errorf("verified %s later", s[0].VerifiedAt.Sub(began))
	}
	if status := w.curl(http.MethodDelete, subscriptionsPath, ""); status != http.StatusNoContent {
		t.Fatalf("delete: %d", status)
	}
	w.pass(day + 10*time.Minute)
	if got := w.calls(northbound.CallSubscribe); got != 2 {
		t.Errorf("%d subscriptions were made", got)
	}
	if r := w.Report(); r.Subscriptions.Current[string(v1alpha1.NotificationResult)] != 1 || r.Calls.Beyond > 0 {
		t.Errorf("%+v, %+v", r.Subscriptions, r.Calls)
	}
}

// A callback that changed is subscribed at once, and without removing the other one: the platform may know others.
func TestAnotherCallbackIsSubscribedAtOnce(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{SubscribeAgain: northbound.SubscribeAgainAdds}})
	w.run()
	w.subscribed(metav1.ConditionTrue, v1alpha1.ReasonVerified)
	w.setCallback(Callback{URL: testCallback + "2", Version: "2"}, nil)
	w.Wake()
	w.await(time.Minute, "it is not subscribed anew", func() bool {
		s := w.State().Subscriptions
		return len(s) == 1 && s[0].Version == "2"
	})
	r := w.Report()
	if r.Subscriptions.Current[string(v1alpha1.NotificationResult)] != 2 || r.Subscriptions.Deleted != 0 {
		t.Errorf("%+v", r.Subscriptions)
	}
}

// What somebody else subscribed stays, whatever the platform does with a second subscription.
func TestForeignSubscription(t *testing.T) {
	const foreign = "http://127.0.0.1:2/somebody/elses"
	for name, c := range map[string]struct {
		again   northbound.SubscribeAgain
		status  metav1.ConditionStatus
		reason  string
		current int
	}{
		"both are pushed to":  {northbound.SubscribeAgainAdds, metav1.ConditionTrue, v1alpha1.ReasonVerified, 2},
		"the newest holds":    {northbound.SubscribeAgainReplaces, metav1.ConditionTrue, v1alpha1.ReasonVerified, 1},
		"a second is refused": {northbound.SubscribeAgainRefused, metav1.ConditionFalse, v1alpha1.ReasonOtherURL, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{Faults: northbound.Faults{SubscribeAgain: c.again, EchoCallbackURL: true}})
			w.subscribeURL(foreign)
			w.run()
			said := w.subscribed(c.status, c.reason)
			if strings.Contains(said.Message, "somebody") || strings.Contains(said.Message, "secret") {
				t.Errorf("the message shows a callback: %s", said.Message)
			}
			r := w.Report()
			if r.Subscriptions.Current[string(v1alpha1.NotificationResult)] != c.current || r.Subscriptions.Deleted != 0 {
				t.Errorf("%+v", r.Subscriptions)
			}
		})
	}
}

// A subscription that is there twice, or written in another way, is one.
func TestDuplicateSubscription(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{SubscribeAgain: northbound.SubscribeAgainAdds}})
	for range 2 {
		w.subscribeURL(strings.Replace(testCallback, "http", "HTTP", 1))
	}
	w.run()
	w.subscribed(metav1.ConditionTrue, v1alpha1.ReasonVerified)
	if r := w.Report(); r.Subscriptions.Made != 2 || r.Subscriptions.Deleted != 0 {
		t.Errorf("%+v", r.Subscriptions)
	}
}

// A callback that the platform refuses is said without showing it, and tried again every hour, or at once when it is
// another one.
func TestCallbackRefused(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{EchoCallbackURL: true}})
	w.setCallback(Callback{URL: "https://receiver.example.com/pa55word", Version: "1"}, nil) // it has no port
	w.run()
	said := w.subscribed(metav1.ConditionFalse, v1alpha1.ReasonCallbackRefused)
	if strings.Contains(said.Message, "pa55word") || strings.Contains(said.Message, "receiver.example.com") {
		t.Errorf("the message shows the callback: %s", said.Message)
	}
	if !w.State().Connected.isTrue() || len(w.State().Subscriptions) > 0 {
		t.Errorf("%+v", w.State())
	}
	w.pass(57 * time.Minute)
	if got := w.calls(northbound.CallSubscribe); got != 1 {
		t.Errorf("it was tried %d times within an hour", got)
	}
	w.pass(5 * time.Minute)
	if got := w.calls(northbound.CallSubscribe); got != 2 {
		t.Errorf("it was tried %d times in an hour", got)
	}
	w.setCallback(Callback{URL: testCallback, Version: "2"}, nil)
	w.Wake()
	w.subscribed(metav1.ConditionTrue, v1alpha1.ReasonVerified)
}

// A platform that can't list subscriptions is believed when it takes one.
func TestUnlistedSubscription(t *testing.T) {
	w := newWorld(t, northbound.Options{Faults: northbound.Faults{SubscriptionsUnlisted: true}})
	w.run()
	w.subscribed(metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	if got := w.kinds(); !slices.Equal(got, []northbound.Call{northbound.CallSubscriptions, northbound.CallSubscribe}) {
		t.Errorf("calls: %v", got)
	}
}

// answers are ways in which the platform may answer one kind of call alone.
func answers() map[string]func(http.ResponseWriter) {
	return map[string]func(http.ResponseWriter){
		"refused with a code that is not known": func(rw http.ResponseWriter) {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = rw.Write([]byte(`{"error_code":"1010777","error_desc":"not for you"}`))
		},
		"refused without a code": func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusBadRequest) },
		"failed":                 func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusInternalServerError) },
		"not to be understood":   func(rw http.ResponseWriter) { _, _ = rw.Write([]byte(`<html>`)) },
	}
}

// failing has the platform answer the calls in question in a way until it heals, and counts them. Two types are kept
// subscribed, and a task that runs is followed.
func (w *world) failing(
	which func(*http.Request) bool, answer func(http.ResponseWriter), heals *atomic.Bool,
) (count *atomic.Int64, task result.Task) {
	count = &atomic.Int64{}
	w.through(func(rw http.ResponseWriter, r *http.Request) bool {
		if heals.Load() || !which(r) {
			return false
		}
		count.Add(1)
		answer(rw)
		return true
	}, nil, func(o *Options) {
		o.Notifications = []string{string(v1alpha1.NotificationResult), string(v1alpha1.NotificationStateChange)}
	})
	task = w.follow(w.createTask(northbound.TaskSpec{Count: 1, StartsIn: northbound.Duration(96 * time.Hour)}))
	return count, task
}

// expectOnlySubscribed expects that nothing but Subscribed speaks of trouble.
func (w *world) expectOnlySubscribed(task result.Task) {
	w.t.Helper()
	s, v := w.State(), w.View(task)
	if !s.Connected.isTrue() || !s.Receiving.isTrue() || v.Trouble != "" || w.clock.Since(v.AskedAt) > RoundPeriod {
		w.t.Errorf("%+v; %+v", s, v)
	}
	if lines := w.loggedWith("Could not call the platform"); len(lines) > 0 {
		w.t.Errorf("logged: %s", lines)
	}
}

// A platform that answers the list of subscriptions in no useful way, and nothing else, is a matter of Subscribed
// alone: the callback is subscribed all the same, once, and it is said that nobody knows more. It is tried ever less
// often.
func TestSubscriptionsThatAreNotListed(t *testing.T) {
	for name, answer := range answers() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{})
			var heals atomic.Bool
			count, task := w.failing(func(r *http.Request) bool {
				return r.URL.Path == subscriptionsPath
			}, answer, &heals)
			w.run()
			said := w.subscribed(metav1.ConditionUnknown, v1alpha1.ReasonCallFailed)
			if !strings.Contains(said.Message, "list-subscriptions: ") ||
				strings.HasSuffix(name, "not known") && !strings.Contains(said.Message, "not for you") {
				t.Errorf("said: %s", said.Message)
			}
			w.pass(3 * time.Hour)
			w.expectOnlySubscribed(task)
			if got := w.calls(northbound.CallSubscribe); got != 2 {
				t.Errorf("%d subscriptions were made, of two types", got)
			}
			if got := count.Load(); got < 2*6 || got > 2*9 {
				t.Errorf("%d calls in three hours for two types", got)
			}
			if lines := w.loggedWith("Could not see to a subscription"); len(lines) != 2 {
				t.Errorf("logged: %s", lines)
			}
			heals.Store(true)
			w.await(time.Hour+RoundPeriod, "it is not noticed that it works again", func() bool {
				return w.State().Subscribed.Reason == v1alpha1.ReasonVerified
			})
		})
	}
}

// So is one that does not take subscriptions, for a reason that has nothing to do with the callback. The other type is
// tried as well.
func TestSubscriptionsThatAreNotTaken(t *testing.T) {
	for name, answer := range answers() {
		if strings.HasSuffix(name, "not known") || strings.HasSuffix(name, "understood") {
			continue // which is taken for a word about the callback; success needs no words
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{})
			var heals atomic.Bool
			count, task := w.failing(func(r *http.Request) bool {
				return strings.HasSuffix(r.URL.Path, "/subscribe")
			}, answer, &heals)
			w.run()
			said := w.subscribed(metav1.ConditionFalse, v1alpha1.ReasonCallFailed)
			if !strings.Contains(said.Message, "subscribe: the platform") {
				t.Errorf("said: %s", said.Message)
			}
			w.pass(3 * time.Hour)
			w.expectOnlySubscribed(task)
			if got := count.Load(); got < 2*6 || got > 2*9 {
				t.Errorf("%d calls in three hours for two types", got)
			}
			heals.Store(true)
			w.await(time.Hour+RoundPeriod, "it is not noticed that it works again", func() bool {
				return w.State().Subscribed.Reason == v1alpha1.ReasonVerified
			})
		})
	}
}

// Also where nothing else is called, these calls that fail are no outage, although they open the breaker. Where there
// is no answer at all, that is one.
func TestFailingSubscriptionsAreNoOutage(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	var heals, hangsUp atomic.Bool
	isOfSubscriptions := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/app/sub/") }
	w.failing(isOfSubscriptions, func(rw http.ResponseWriter) {
		if hangsUp.Load() {
			panic(http.ErrAbortHandler)
		}
		rw.WriteHeader(http.StatusInternalServerError)
	}, &heals)
	w.mu.Lock()
	w.followed = nil
	w.mu.Unlock()
	w.run()
	w.subscribed(metav1.ConditionFalse, v1alpha1.ReasonCallFailed)
	w.passUntil(6*time.Hour, func() bool {
		if c := w.State().Connected; !c.isTrue() {
			t.Fatalf("Connected: %+v", c)
		}
		return false
	})
	hangsUp.Store(true)
	w.await(2*time.Hour, "it is not said", func() bool { return w.State().Connected.Reason == v1alpha1.ReasonUnreachable })
	w.passUntil(6*time.Hour, func() bool {
		if c := w.State().Connected; c.isTrue() {
			t.Fatalf("Connected: %+v", c)
		}
		return false
	})
	heals.Store(true)
	w.await(2*time.Hour, "it is not noticed that it works again", func() bool {
		return w.State().Connected.isTrue() && w.State().Subscribed.isTrue()
	})
}

// While pushes are missing the subscription is looked for every hour.
func TestSubscriptionIsVerifiedWhilePushesAreMissing(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	task := w.follow(w.createEnded(2 * manyLost))
	w.run()
	w.await(time.Hour, "the results are not asked for", func() bool { return w.isEqual(task) })
	if c := w.State().Receiving; !c.isTrue() {
		t.Fatalf("Receiving, before anything could come: %+v", c)
	}
	w.await(missingAfter+RoundPeriod, "it is not said", func() bool {
		return w.State().Receiving.Reason == v1alpha1.ReasonPushesMissing
	})
	before := w.calls(northbound.CallSubscriptions)
	w.pass(4*time.Hour + 10*time.Minute)
	if got := w.calls(northbound.CallSubscriptions) - before; got != 4 {
		t.Errorf("it was looked for %d times in four hours", got)
	}
}

// Without notifications nothing is touched.
func TestNothingToSubscribe(t *testing.T) {
	w := newWorld(t, northbound.Options{}, func(o *Options) { o.Notifications = nil })
	w.run()
	w.subscribed(metav1.ConditionTrue, v1alpha1.ReasonNotManaged)
	if got := w.kinds(); len(got) > 0 {
		t.Errorf("calls: %v", got)
	}
}

// What the callback is must not be told, whether it is subscribed here or not.
func TestCallbackIsRedactedWithoutNotifications(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	w.through(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write([]byte(`{"error_code":"100022","error_desc":"pushes go to ` + testCallback + `"}`))
		return true
	}, nil, onlyRounds)
	w.run()
	w.await(time.Minute, "it is not said", func() bool {
		return strings.Contains(w.State().Connected.Message, "pushes go to ")
	})
	if said := w.State().Connected.Message; strings.Contains(said, "path-is-secret") {
		t.Error(said)
	}
}

// Without a callback there is nothing to subscribe, until there is one.
func TestCallbackIsMissing(t *testing.T) {
	w := newWorld(t, northbound.Options{})
	w.setCallback(Callback{}, errors.New("the Secret has no key callback-url"))
	w.run()
	w.subscribed(metav1.ConditionFalse, v1alpha1.ReasonSecretInvalid)
	if got := w.kinds(); len(got) > 0 {
		t.Errorf("calls: %v", got)
	}
	w.setCallback(Callback{URL: testCallback, Version: "1"}, nil)
	w.Wake()
	w.subscribed(metav1.ConditionTrue, v1alpha1.ReasonVerified)
}

func TestSameURL(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://h/p", "https://h/p", true},
		{"https://h:443/p", "HTTPS://H/p", true},
		{"http://h:80/p", "http://h/p", true},
		{"http://h:80/p", "https://h:80/p", false},
		{"https://h:443/p", "https://h:8443/p", false},
		{"https://h/p", "https://h/P", false},
		{"https://h/p", "https://h/p/", false},
		{"https://h/p?q=1", "https://h/p", false},
		{"https://h/%2f", "https://h//", false},
		{"https://[::1]:443/p", "https://[::1]/p", true},
		{"%", "https://h/p", false},
		{"https://h/p", "%", false},
	} {
		if got := sameURL(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}
