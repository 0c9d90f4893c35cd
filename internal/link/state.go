// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
)

const reasonConnecting = v1alpha1.ReasonConnecting

// Condition is what a condition of an IoTApplication is to say.
type Condition struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

func (c Condition) isTrue() bool { return c.Status == metav1.ConditionTrue }

func isTrue(reason, message string) Condition {
	return Condition{metav1.ConditionTrue, reason, message}
}

func isFalse(reason, message string) Condition {
	return Condition{metav1.ConditionFalse, reason, message}
}

func unknown(reason, message string) Condition {
	return Condition{metav1.ConditionUnknown, reason, message}
}

// State is what became of a connection.
type State struct {
	Connected, Subscribed, Receiving Condition
	// Subscriptions are those that the platform has, sorted by type.
	Subscriptions []Subscription
}

// Subscription is one that the platform has.
type Subscription struct {
	Notification string
	VerifiedAt   time.Time
	// Version is that of the Callback.
	Version string
}

// State returns what became of the connection.
func (l *Link) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	for notification, of := range l.subscriptions {
		if !of.verifiedAt.IsZero() {
			s.Subscriptions = append(s.Subscriptions, Subscription{notification, of.verifiedAt, of.version})
		}
	}
	slices.SortFunc(s.Subscriptions, func(a, b Subscription) int {
		if a.Notification < b.Notification {
			return -1
		}
		return 1
	})
	return s
}

// update changes the State, and tells if it has changed.
func (l *Link) update(change func(*State)) {
	l.mu.Lock()
	before := l.state
	change(&l.state)
	reconnected := before.Connected != l.state.Connected
	same := !reconnected && before.Subscribed == l.state.Subscribed && before.Receiving == l.state.Receiving
	l.mu.Unlock()
	if !same {
		l.o.StateChanged()
	}
	if reconnected { // which is a part of every view
		l.o.Changed(l.viewed())
	}
}

// viewed are the tasks of which there may be a view.
func (l *Link) viewed() []result.Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.followed))
}

// noteError says in the State whether the platform can be called: at the end of a visit, as one that fails in its
// middle would else say both by turns. An error that says something about one request, and nothing about the
// connection, is none.
func (l *Link) noteError(err error) {
	client := l.o.Client.Status()
	if connected, known := connectedOf(err, client.Contended); known {
		l.update(func(s *State) {
			if connected.isTrue() {
				connected.Message = l.offsetMessage(client.ClockOffset)
			}
			if platform.KindOf(err) == platform.BreakerOpen &&
				(s.Connected.Status == metav1.ConditionFalse || l.failsAtSubscriptions()) {
				return // why it is open was said
			}
			s.Connected = connected
		})
	}
}

// offsetMessage says that the platform's clock is wrong by more than a minute, or this one: times of results are the
// platform's. It stays the same while the offset hardly changes. The caller holds the lock.
func (l *Link) offsetMessage(offset time.Duration) string {
	if (offset - l.shownOffset).Abs() > time.Minute {
		l.shownOffset = offset.Round(time.Minute)
	}
	switch {
	case l.shownOffset > 0:
		return "the platform's clock is ahead of the operator's by about " + l.shownOffset.String()
	case l.shownOffset < 0:
		return "the platform's clock is behind the operator's by about " + l.shownOffset.Abs().String()
	}
	return ""
}

// noteLogin says in the State that there is a token, where nothing else was known to be wrong.
func (l *Link) noteLogin() {
	l.mu.Lock()
	was := l.state.Connected
	l.mu.Unlock()
	switch was.Reason {
	case reasonConnecting, v1alpha1.ReasonWrongCredentials, v1alpha1.ReasonSecretNotFound:
		l.noteError(nil)
	}
}

// noteSweep says in the State what a sweep that broke off says about the connection: that somebody has to act. Whether
// the platform works is said by visits, which call for more than one task.
func (l *Link) noteSweep(err error) {
	switch platform.KindOf(err) {
	case platform.Throttled, platform.TokenContended, platform.WrongCredentials, platform.SecretUnreadable:
		l.noteError(err)
	}
}

func connectedOf(err error, contended bool) (Condition, bool) {
	if err == nil {
		if contended {
			return isFalse(v1alpha1.ReasonTokenContended, contendedMessage), true
		}
		return isTrue(v1alpha1.ReasonTokenValid, ""), true
	}
	switch platform.KindOf(err) {
	case platform.Refused:
		if platform.IsAboutRequest(err) {
			return Condition{}, false
		}
		return isFalse(v1alpha1.ReasonUnreachable, "the platform refuses logins: "+messageOf(err)), true
	case platform.WrongCredentials:
		return isFalse(v1alpha1.ReasonWrongCredentials, messageOf(err)), true
	case platform.TokenContended:
		return isFalse(v1alpha1.ReasonTokenContended, contendedMessage), true
	case platform.Throttled:
		return isFalse(v1alpha1.ReasonThrottled, "the platform refuses calls because there are too many: "+
			"lower spec.callsPerMinute, or look who else calls it with this application"), true
	case platform.SecretUnreadable:
		return isFalse(v1alpha1.ReasonSecretNotFound, messageOf(err)), true
	case platform.CertificateInvalid:
		return isFalse(v1alpha1.ReasonCertificateInvalid, messageOf(err)), true
	case platform.Unreachable, platform.Unexpected, platform.TokenInvalid, platform.BreakerOpen:
		return isFalse(v1alpha1.ReasonUnreachable, "the platform can't be used: "+messageOf(err)), true
	}
	return Condition{}, false
}

// messageOf is what an error of the client says to people. It stays the same as long as nothing changes.
func messageOf(err error) string {
	if e, ok := errors.AsType[*platform.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

const contendedMessage = "somebody else logs in with this application, and each login ends the operator's token: " +
	"find the script or the other cluster that does, or give it an application of its own"
