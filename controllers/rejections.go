// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// EventNotificationRejected says, on the slice that keeps it, that an authentic notification could not be used.
const EventNotificationRejected = "NotificationRejected"

const (
	// rejectionDistance is how far apart Events about rejected notifications are at least.
	rejectionDistance = time.Minute
	// rejectionAge is how old a rejected notification may be to be announced by a new leader.
	rejectionAge = 10 * time.Minute
)

// rejections announces rejected notifications as they are stored, at most one Event a minute. A new leader announces
// those of the last minutes, too, perhaps again. It is a manager.Runnable of the leader.
type rejections struct {
	client client.Client
	clock  clock.Clock
	// instance names this process in the Events.
	instance string
	wake     chan struct{}

	mu    sync.Mutex
	count int
	last  *storedSlice
}

// note takes a slice that was added; only what it rejects matters, not what is old nor what compaction wrote anew.
func (r *rejections) note(s *storedSlice) {
	old := r.clock.Since(s.CreationTimestamp.Time) > rejectionAge
	if s.rejected == 0 || old || strings.HasPrefix(s.Name, mergedPrefix) {
		return
	}
	r.mu.Lock()
	r.count, r.last = r.count+s.rejected, s
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Start announces until the context ends.
func (r *rejections) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		if err := r.announce(ctx); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not announce rejected notifications")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.clock.After(rejectionDistance):
		}
	}
}

func (r *rejections) announce(ctx context.Context) error {
	r.mu.Lock()
	count, s := r.count, r.last
	r.count, r.last = 0, nil
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	err := r.client.Create(ctx, newRejectionEvent(s, count, r.instance, r.clock.Now()))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		r.mu.Lock()
		r.count += count
		r.mu.Unlock()
		return fmt.Errorf("create event about slice %s: %w", s.Name, err)
	}
	return nil
}

func newRejectionEvent(s *storedSlice, count int, instance string, now time.Time) *eventsv1.Event {
	note := fmt.Sprintf("%d authentic notification(s) could not be used, the last one: %s. "+
		"Bodies: kubectl -n %s get fwslice %s -o jsonpath='{.spec.rejected}'", count, s.lastRejection, s.Namespace, s.Name)
	e := eventAbout(corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "FirmwareUpgradeResultSlice",
		Namespace: s.Namespace, Name: s.Name, UID: s.UID,
	}, string(s.UID)+".rejected", metav1.NewMicroTime(now), instance)
	e.Action, e.Type, e.Reason, e.Note = "Receive", corev1.EventTypeWarning, EventNotificationRejected, upgrade.CutString(note, 1024)
	return e
}
