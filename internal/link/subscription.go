// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
)

const (
	// verifyEvery is how often a subscription is looked for although nothing is known to be wrong.
	verifyEvery = 24 * time.Hour
	// verifyMissing is how often while pushes are missing, or the platform does not take the callback; and at least, while
	// it answers these calls alone in no useful way.
	verifyMissing = time.Hour
)

// subscription is what is known of the subscription to a type of notifications.
type subscription struct {
	// version is that of the callback that was tried last, triedAt when.
	version string
	triedAt time.Time
	// verifiedAt is when the platform was seen to have it, or took it; zero where it has not.
	verifiedAt time.Time
	condition  Condition
	// failures is how often in a row the platform refused or failed the calls for it, and answered others.
	failures int
}

// subscribe sees to it that the callback is subscribed to every type: it looks for the subscription, makes it where it
// is missing, and looks again. It never removes one: the platform's call for that may remove others', too (documented).
//
// An error says that the platform can't be called. That it answers these calls in no useful way is the matter of
// Subscribed. But where it did not even refuse them, that may be an outage: this is returned, to be noted when the
// other calls of the visit have succeeded.
func (l *Link) subscribe(
	ctx context.Context, callback Callback, missing error,
) (failed map[string]subscription, err error) {
	if len(l.o.Notifications) == 0 {
		l.update(func(s *State) {
			s.Subscribed = isTrue(v1alpha1.ReasonNotManaged, "spec.notifications is empty: subscriptions are left alone")
		})
		return nil, nil
	}
	if missing != nil { // which is no trouble with the platform
		l.update(func(s *State) { s.Subscribed = isFalse(v1alpha1.ReasonSecretInvalid, missing.Error()) })
		return nil, nil //nolint:nilerr // The State says it.
	}
	seen, failed := map[string]subscription{}, map[string]subscription{}
	for _, notification := range l.o.Notifications {
		was, due := l.isDue(notification, callback.Version)
		if !due {
			continue
		}
		next, refusal, err := l.subscribeTo(ctx, notification, callback, was)
		switch {
		case err != nil:
			l.noteSubscriptions(ctx, seen)
			return failed, l.unlessOwn(err)
		case platform.KindOf(refusal) == platform.Unexpected:
			failed[notification] = next
		default:
			seen[notification] = next
		}
	}
	l.noteSubscriptions(ctx, seen)
	return failed, nil
}

// noteSubscriptions notes what became of some subscriptions, and says it in the State.
func (l *Link) noteSubscriptions(ctx context.Context, next map[string]subscription) {
	verified := false
	l.mu.Lock()
	for notification, of := range next {
		was := l.subscriptions[notification]
		l.subscriptions[notification] = of
		verified = verified || !of.verifiedAt.Equal(was.verifiedAt)
		if of.failures > 0 && of.condition != was.condition {
			logr.FromContextOrDiscard(ctx).Info("Could not see to a subscription, will try again",
				"notification", notification, "error", of.condition.Message)
		}
	}
	l.mu.Unlock()
	l.update(func(s *State) {
		if len(l.subscriptions) > 0 {
			s.Subscribed = l.worst()
		}
	})
	if verified {
		l.o.StateChanged() // when it was, and with which callback, is told, too
	}
}

// unlessOwn returns an error that says that the platform can't be called, unless that follows from these calls: where
// no others are made, the breaker opens by them alone.
func (l *Link) unlessOwn(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch kind := platform.KindOf(err); {
	case kind == platform.BreakerOpen && l.failsAtSubscriptions():
		return nil
	case kind == platform.BreakerOpen, kind == platform.Canceled:
		return err
	}
	for notification, of := range l.subscriptions { // these calls are not the only ones any more
		of.failures = 0
		l.subscriptions[notification] = of
	}
	return err
}

// failsAtSubscriptions says whether calls for subscriptions failed lately, and nothing says that others do, too. The
// caller holds the lock.
func (l *Link) failsAtSubscriptions() bool {
	for _, of := range l.subscriptions {
		if of.failures > 0 {
			return true
		}
	}
	return false
}

// isDue says whether a subscription is to be looked for, and returns what is known of it.
func (l *Link) isDue(notification, version string) (was subscription, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, tried := l.subscriptions[notification]
	every := verifyEvery
	switch {
	case was.failures > 0:
		every = min(l.o.Period<<min(was.failures-1, maxDoublings), verifyMissing)
	case !was.condition.isTrue() || l.receiving.missing():
		every = verifyMissing
	}
	return was, !tried || was.version != version || l.o.Clock.Since(was.triedAt) >= every
}

// worst is the condition of all types together. The caller holds the lock.
func (l *Link) worst() Condition {
	all := isTrue(v1alpha1.ReasonVerified, "")
	for _, notification := range l.o.Notifications {
		switch of, noted := l.subscriptions[notification]; {
		case !noted:
			return unknown(reasonConnecting, "the subscription was not looked for yet")
		case !of.condition.isTrue():
			return of.condition
		case of.condition.Reason == v1alpha1.ReasonAccepted:
			all = of.condition
		}
	}
	return all
}

// subscribeTo sees to one type. An error says that the platform can't be called, a refusal, that it answers these calls
// in no useful way, which says nothing about others.
func (l *Link) subscribeTo(
	ctx context.Context, notification string, callback Callback, was subscription,
) (next subscription, refusal, err error) {
	next = subscription{version: callback.Version, triedAt: l.o.Clock.Now()}
	if was.version == callback.Version {
		next.verifiedAt = was.verifiedAt
	}
	next.condition, refusal, err = l.seeTo(ctx, notification, callback.URL, &next)
	switch {
	case refusal != nil:
		next.failures = was.failures + 1
	case next.condition.isTrue():
		next.verifiedAt = next.triedAt
	default:
		next.verifiedAt = time.Time{}
	}
	return next, refusal, err
}

// seeTo looks for a subscription, makes it and looks again, as far as that is needed, and returns what to say. Where
// the platform does not list any, it is made all the same, which does no harm; but not at every try, as there may be a
// new one each time.
func (l *Link) seeTo(
	ctx context.Context, notification, callbackURL string, of *subscription,
) (says Condition, refusal, err error) {
	seen, err := l.look(ctx, notification, callbackURL)
	if err != nil || seen.has {
		return isTrue(v1alpha1.ReasonVerified, ""), nil, err
	}
	if seen.refusal == nil || of.triedAt.Sub(of.verifiedAt) >= verifyEvery || l.isMissing() {
		says, refusal, err := l.makeSubscription(ctx, notification, callbackURL)
		if says.Status != "" || err != nil {
			return says, refusal, err
		}
		of.verifiedAt = of.triedAt
		if seen.listed {
			if seen, err = l.look(ctx, notification, callbackURL); err != nil {
				return says, nil, err
			}
		}
	}
	switch {
	case seen.refusal != nil:
		return unknown(v1alpha1.ReasonCallFailed, "the platform took the subscription, and does not say whether it has it: "+
			seen.refusal.Error()), seen.refusal, nil
	case seen.has:
		return isTrue(v1alpha1.ReasonVerified, ""), nil, nil
	case seen.others:
		return isFalse(v1alpha1.ReasonOtherURL, "the platform pushes "+notification+" to another URL and does not list "+
			"this one: remove the other subscription, or set its URL as callback-url"), nil, nil
	case seen.listed:
		return isTrue(v1alpha1.ReasonAccepted, "the platform took the subscription, and does not list it yet"), nil, nil
	}
	return isTrue(v1alpha1.ReasonAccepted, "the platform took the subscription, and can't list it"), nil, nil
}

// makeSubscription subscribes, and returns what to say where the platform does not take it.
func (l *Link) makeSubscription(
	ctx context.Context, notification, callbackURL string,
) (says Condition, refusal, err error) {
	err = l.o.Client.Subscribe(ctx, notification, callbackURL)
	switch kind := platform.KindOf(err); {
	case err == nil, kind == platform.Exists:
		return Condition{}, nil, nil
	case kind == platform.CallbackRefused, kind == platform.Refused:
		return isFalse(v1alpha1.ReasonCallbackRefused, "the platform does not take the callback: it needs a URL with a "+
			"port and a path that it can reach, and the CA of its certificate ("+messageOf(err)+")"), nil, nil
	case platform.IsAboutRequest(err):
		return isFalse(v1alpha1.ReasonCallFailed, "the callback can't be subscribed: "+err.Error()), err, nil
	}
	return Condition{}, nil, err
}

// listing is which subscriptions the platform lists: the one that is looked for, others of the type. Listed is false
// where it has no list, or does not give it: refusal is why.
type listing struct {
	has, others, listed bool
	refusal             error
}

// look looks for the subscription to a URL. An error says that the platform can't be called.
func (l *Link) look(ctx context.Context, notification, callbackURL string) (seen listing, err error) {
	subscriptions, err := l.o.Client.Subscriptions(ctx, notification)
	switch {
	case platform.KindOf(err) == platform.Unsupported:
		return seen, nil
	case platform.IsAboutRequest(err):
		seen.refusal = err
		return seen, nil
	case err != nil:
		return seen, err
	}
	seen.listed = true
	for _, s := range subscriptions {
		switch {
		case s.NotifyType != notification:
		case sameURL(s.CallbackURL, callbackURL):
			seen.has = true
		default:
			seen.others = true
		}
	}
	return seen, nil
}

// sameURL says whether two URLs lead to the same place. The platform may write one in another way.
func sameURL(a, b string) bool {
	if a == b {
		return true
	}
	first, err := url.Parse(a)
	if err != nil {
		return false
	}
	second, err := url.Parse(b)
	return err == nil && slices.Equal(place(first), place(second))
}

func place(u *url.URL) []string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[scheme]
	}
	return []string{scheme, net.JoinHostPort(strings.ToLower(u.Hostname()), port), u.EscapedPath(), u.RawQuery}
}
