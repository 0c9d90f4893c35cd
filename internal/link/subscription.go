// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
)

const (
	// verifyEvery is how often a subscription is looked for although nothing is known to be wrong.
	verifyEvery = 24 * time.Hour
	// verifyMissing is how often while pushes are missing, or the platform does not take the callback.
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
}

// subscribe sees to it that the callback is subscribed to every type: it looks for the subscription, makes it where it
// is missing, and looks again. It never removes one: the platform's call for that may remove others', too (documented).
func (l *Link) subscribe(ctx context.Context) error {
	if len(l.o.Notifications) == 0 {
		l.update(func(s *State) {
			s.Subscribed = isTrue(v1alpha1.ReasonNotManaged, "spec.notifications is empty: subscriptions are left alone")
		})
		return nil
	}
	callback, err := l.o.Callback()
	if err != nil {
		l.update(func(s *State) { s.Subscribed = isFalse(v1alpha1.ReasonSecretInvalid, err.Error()) })
		return nil //nolint:nilerr // The State says it: a callback that is missing is no trouble with the platform.
	}
	l.o.Client.Redact([]byte(callback.URL), []byte(pathOf(callback.URL)))
	tried := false
	for _, notification := range l.o.Notifications {
		if !l.isDue(notification, callback.Version) {
			continue
		}
		tried = true
		condition, err := l.subscribeTo(ctx, notification, callback.URL)
		if err != nil {
			return err
		}
		now := l.o.Clock.Now()
		l.mu.Lock()
		of := subscription{version: callback.Version, triedAt: now, condition: condition}
		if condition.isTrue() {
			of.verifiedAt = now
		}
		l.subscriptions[notification] = of
		l.mu.Unlock()
	}
	l.update(func(s *State) { s.Subscribed = l.worst() })
	if tried {
		l.o.StateChanged() // when it was verified, and with which callback, is told, too
	}
	return nil
}

// isDue says whether a subscription is to be looked for.
func (l *Link) isDue(notification, version string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, tried := l.subscriptions[notification]
	every := verifyEvery
	if !of.condition.isTrue() || l.receiving.missing() {
		every = verifyMissing
	}
	return !tried || of.version != version || l.o.Clock.Since(of.triedAt) >= every
}

// worst is the condition of all types together. The caller holds the lock.
func (l *Link) worst() Condition {
	all := isTrue(v1alpha1.ReasonVerified, "")
	for _, notification := range l.o.Notifications {
		switch of := l.subscriptions[notification]; {
		case !of.condition.isTrue():
			return of.condition
		case of.condition.Reason == v1alpha1.ReasonAccepted:
			all = of.condition
		}
	}
	return all
}

// subscribeTo sees to one type. An error says that the platform can't be called.
func (l *Link) subscribeTo(ctx context.Context, notification, callbackURL string) (Condition, error) {
	has, _, listed, err := l.look(ctx, notification, callbackURL)
	if err != nil {
		return Condition{}, err
	}
	if has {
		return isTrue(v1alpha1.ReasonVerified, ""), nil
	}
	err = l.o.Client.Subscribe(ctx, notification, callbackURL)
	switch kind := platform.KindOf(err); {
	case err == nil, kind == platform.Exists:
	case kind == platform.CallbackRefused, kind == platform.Refused:
		return isFalse(v1alpha1.ReasonCallbackRefused, "the platform does not take the callback: it needs a URL with a "+
			"port and a path that it can reach, and the CA of its certificate ("+messageOf(err)+")"), nil
	default:
		return Condition{}, err
	}
	if !listed {
		return isTrue(v1alpha1.ReasonAccepted, "the platform took the subscription, and can't list it"), nil
	}
	has, others, _, err := l.look(ctx, notification, callbackURL)
	if err != nil {
		return Condition{}, err
	}
	switch {
	case has:
		return isTrue(v1alpha1.ReasonVerified, ""), nil
	case others:
		return isFalse(v1alpha1.ReasonOtherURL, "the platform pushes "+notification+" to another URL and does not list "+
			"this one: remove the other subscription, or set its URL as callback-url"), nil
	}
	return isTrue(v1alpha1.ReasonAccepted, "the platform took the subscription, and does not list it yet"), nil
}

// look looks for the subscription to a URL, and for ones to others. Listed is false where the platform can't list them.
func (l *Link) look(ctx context.Context, notification, callbackURL string) (has, others, listed bool, err error) {
	subscriptions, err := l.o.Client.Subscriptions(ctx, notification)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false, false, false, err
	case platform.KindOf(err) == platform.Unsupported:
		return false, false, false, nil
	case err != nil:
		return false, false, false, err
	}
	for _, s := range subscriptions {
		switch {
		case s.NotifyType != notification:
		case sameURL(s.CallbackURL, callbackURL):
			has = true
		default:
			others = true
		}
	}
	return has, others, true, nil
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

// pathOf is what of a callback's URL is secret.
func pathOf(callbackURL string) string {
	u, err := url.Parse(callbackURL)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}
