// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/link"
	"fwupgrade.io/operator/internal/result"
)

// maxConditionBytes is how long a condition's message is at most.
const maxConditionBytes = 512

// applicationStatus is the status that follows from the state of the connection, or from what forbids one.
func applicationStatus(
	app *v1alpha1.IoTApplication, state *link.State, p *problem, now time.Time,
) v1alpha1.IoTApplicationStatus {
	next := *app.Status.DeepCopy()
	if p == nil && connectsAgain(app, state) {
		return next
	}
	next.ObservedGeneration = app.Generation
	set := func(kind string, c link.Condition) {
		meta.SetStatusCondition(&next.Conditions, metav1.Condition{
			Type: kind, Status: c.Status, Reason: c.Reason, Message: result.Clean(c.Message, maxConditionBytes),
			ObservedGeneration: app.Generation, LastTransitionTime: metav1.Time{Time: now},
		})
	}
	if p != nil {
		state = notConnected(p)
	} else {
		next.Subscriptions = nil
		for _, s := range state.Subscriptions {
			next.Subscriptions = append(next.Subscriptions, v1alpha1.SubscriptionStatus{
				Notification: v1alpha1.Notification(s.Notification), SecretVersion: s.Version,
				VerifiedTime: metav1.Time{Time: s.VerifiedAt.UTC().Truncate(time.Second)},
			})
		}
	}
	set(v1alpha1.ConditionConnected, state.Connected)
	set(v1alpha1.ConditionSubscribed, state.Subscribed)
	set(v1alpha1.ConditionReceiving, state.Receiving)
	ready, reconciling, stalled := summed(state, app.Spec.Suspend)
	set(v1alpha1.ConditionReady, ready)
	set(v1alpha1.ConditionReconciling, reconciling)
	set(v1alpha1.ConditionStalled, stalled)
	next.Reason = ""
	if ready.Status != metav1.ConditionTrue {
		next.Reason = ready.Reason
	}
	return next
}

// connectsAgain says that a new connection has not called yet, and that the one before it worked, with the same spec:
// that stands until the first answer. A leader is silent in its first minute, and who waits for Ready needs not know.
func connectsAgain(app *v1alpha1.IoTApplication, state *link.State) bool {
	return state.Connected.Reason == v1alpha1.ReasonConnecting && app.Status.ObservedGeneration == app.Generation &&
		meta.IsStatusConditionTrue(app.Status.Conditions, v1alpha1.ConditionConnected)
}

// notConnected is the state of an application that must not be connected.
func notConnected(p *problem) *link.State {
	unknown := link.Condition{Status: metav1.ConditionUnknown, Reason: p.reason}
	return &link.State{
		Connected:  link.Condition{Status: metav1.ConditionFalse, Reason: p.reason, Message: p.message},
		Subscribed: unknown, Receiving: unknown,
	}
}

// summed are Ready, Reconciling and Stalled, of which exactly one is True, but for an application that is suspended,
// which is none of them. It is Ready when it is connected, subscribed, and receives. What may pass by itself is waited
// for; what somebody has to mend stalls.
func summed(s *link.State, suspended bool) (ready, reconciling, stalled link.Condition) {
	worst := link.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonTokenValid}
	for _, c := range []link.Condition{s.Connected, s.Subscribed, s.Receiving} {
		if c.Status != metav1.ConditionTrue {
			worst = c
			break
		}
	}
	says := func(status bool) link.Condition {
		c := link.Condition{Status: metav1.ConditionFalse, Reason: worst.Reason}
		if status {
			c.Status, c.Message = metav1.ConditionTrue, worst.Message
		}
		return c
	}
	isReady := worst.Status == metav1.ConditionTrue
	waits := !isReady && (worst.Status == metav1.ConditionUnknown || passes(worst.Reason))
	ready = says(isReady)
	ready.Message = worst.Message
	return ready, says(waits && !suspended), says(!isReady && !waits && !suspended)
}

// passes says whether a problem may pass without anybody's help.
func passes(reason string) bool {
	switch reason {
	case v1alpha1.ReasonConnecting, v1alpha1.ReasonThrottled, v1alpha1.ReasonUnreachable:
		return true
	}
	return false
}

func conditionReason(conditions []metav1.Condition, kind string) string {
	if c := meta.FindStatusCondition(conditions, kind); c != nil {
		return c.Reason
	}
	return ""
}
