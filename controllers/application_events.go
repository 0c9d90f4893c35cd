// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	ownevent "fwupgrade.io/operator/internal/event"
	"fwupgrade.io/operator/internal/result"
)

// passingPatience is how long what may pass by itself has to last before it is told.
const passingPatience = time.Minute

// announce creates the Events about conditions that are not told yet, by the record in the status, and notes them
// there. A good state is told where a bad one was told before, and for the first time. It returns when to look again.
func (r *applicationReconciler) announce(
	ctx context.Context, app *v1alpha1.IoTApplication, next *v1alpha1.IoTApplicationStatus,
) (again time.Duration, err error) {
	again = applicationPeriod
	told := maps.Clone(next.Announced)
	if told == nil {
		told = map[string]string{}
	}
	for _, kind := range []string{
		v1alpha1.ConditionConnected, v1alpha1.ConditionSubscribed, v1alpha1.ConditionReceiving,
	} {
		c := meta.FindStatusCondition(next.Conditions, kind)
		if c == nil || !isTold(c) || told[kind] == wordFor(c) {
			continue
		}
		if wait := passingPatience - r.clock.Since(r.holdsSince(app, c)); passes(c.Reason) && wait > 0 {
			again = min(again, wait)
			continue
		}
		if err := r.tell(ctx, app, c, next.EventsTold+1); err != nil {
			return 0, err
		}
		next.EventsTold++
		told[kind] = wordFor(c)
	}
	if len(told) > 0 {
		next.Announced = told
	}
	return again, nil
}

// wordFor is what is recorded of a condition that was told: the reason of a bad one, that a good one is True. One good
// state that follows another is no news.
func wordFor(c *metav1.Condition) string {
	if c.Status == metav1.ConditionTrue {
		return string(c.Status)
	}
	return c.Reason
}

// isTold says whether a condition is worth an Event. That nothing runs is none, and what is not known neither.
func isTold(c *metav1.Condition) bool {
	switch c.Reason {
	case v1alpha1.ReasonNothingRuns, v1alpha1.ReasonNotManaged, v1alpha1.ReasonSuspended:
		return false
	}
	return c.Status != metav1.ConditionUnknown
}

// holdsSince is since when a condition has its reason, as this process has seen it: the API keeps since when it has its
// status.
func (r *applicationReconciler) holdsSince(app *v1alpha1.IoTApplication, c *metav1.Condition) time.Time {
	of := r.reasons[app.Name]
	if of == nil {
		of = map[string]heldReason{}
		r.reasons[app.Name] = of
	}
	if held := of[c.Type]; held.reason != c.Reason {
		of[c.Type] = heldReason{c.Reason, r.clock.Now()}
	}
	return of[c.Type].since
}

// heldReason is a reason of a condition, and since when it has it.
type heldReason struct {
	reason string
	since  time.Time
}

// tell creates the Event about a condition: a Warning with its reason, or a Normal one with its type. Its name follows
// from what it tells and the number of the Event, so that a repetition meets AlreadyExists. As other Events about what
// has no namespace, it is in the namespace default.
func (r *applicationReconciler) tell(
	ctx context.Context, app *v1alpha1.IoTApplication, c *metav1.Condition, number int64,
) error {
	e := ownevent.New(corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "IoTApplication", Name: app.Name, UID: app.UID,
		ResourceVersion: app.ResourceVersion,
	}, fmt.Sprintf("%s.%s-%s-%d", app.UID, strings.ToLower(c.Type), strings.ToLower(c.Reason), number),
		r.clock.Now(), r.instance)
	e.Namespace = metav1.NamespaceDefault
	e.Action, e.Type, e.Reason, e.Note = "Connect", corev1.EventTypeNormal, c.Type, c.Message
	if c.Status != metav1.ConditionTrue {
		e.Type, e.Reason = corev1.EventTypeWarning, c.Reason
	}
	if e.Note == "" {
		e.Note = c.Type + ": " + c.Reason
	}
	e.Note = result.CutString(e.Note, ownevent.MaxNoteBytes)
	if err := r.client.Create(ctx, e); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create event %s: %w", e.Name, err)
	}
	return nil
}
