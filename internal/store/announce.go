// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/event"
	"fwupgrade.io/operator/internal/result"
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create,namespace=system

// Reasons of Events about the ResultStore. They lie in the operator's namespace.
const (
	// EventStoreNearlyFull says that the stored results came near their limit.
	EventStoreNearlyFull = "StoreNearlyFull"
	// EventStoreFull says that further results are refused.
	EventStoreFull = "StoreFull"
	// EventStoreReopened says that results are stored again.
	EventStoreReopened = "StoreReopened"
	// EventNotificationRejected says that authentic notifications could not be used.
	EventNotificationRejected = "NotificationRejected"
)

// announcing is what keepPublished remembers from one check to the next.
type announcing struct {
	// started is when this process began to announce.
	started time.Time
	// published is when it wrote the figures last.
	published time.Time
	// rejected is when it announced rejected notifications last.
	rejected time.Time
}

// announceState creates the Event about a state that was not announced yet, and records that. The state and since when
// it is so name the Event: a leader that crashes in between, and the next one, meet AlreadyExists.
func (s *Store) announceState(ctx context.Context, store *storage.ResultStore, now time.Time) error {
	st := store.Status
	if st.State == st.AnnouncedState {
		return nil
	}
	kind, reason := stateEvent(st.AnnouncedState, st.State)
	if reason != "" {
		note := fmt.Sprintf("%s: %d of %d; shorten retention, or raise --max-stored-results after looking at "+
			"etcd's quota", stateNote(reason), st.Load, st.Limit)
		if err := s.announce(ctx, store, reason, microsOf(st.StateTime), kind, note, now); err != nil {
			return err
		}
		ctrl.LoggerFrom(ctx).Info(note, "reason", reason)
	}
	st.AnnouncedState = st.State
	return s.writeStatus(ctx, store, st)
}

// stateEvent returns the type and the reason of the Event that tells of a state, after another one was announced; empty
// if none does.
func stateEvent(announced, state storage.StoreState) (kind, reason string) {
	switch {
	case state == storage.StoreFull:
		return corev1.EventTypeWarning, EventStoreFull
	case announced == storage.StoreFull:
		return corev1.EventTypeNormal, EventStoreReopened
	case state == storage.StoreNearlyFull:
		return corev1.EventTypeWarning, EventStoreNearlyFull
	}
	return "", ""
}

func stateNote(reason string) string {
	switch reason {
	case EventStoreFull:
		return "Refused further results, pushes are answered 503"
	case EventStoreReopened:
		return "Stored results again"
	default:
		return "Stored results came near their limit"
	}
}

// announce creates an Event about the ResultStore. Reason and number name it, so that the same one is created once.
func (s *Store) announce(
	ctx context.Context, store *storage.ResultStore, reason string, number int64, kind, note string, now time.Time,
) error {
	e := event.New(corev1.ObjectReference{
		APIVersion: storage.GroupVersion.String(), Kind: "ResultStore",
		Namespace: s.options.Namespace, Name: store.Name, UID: store.UID,
	}, fmt.Sprintf("%s.%s.%x", store.Name, strings.ToLower(reason), number), now, s.options.Instance)
	e.Action, e.Type, e.Reason, e.Note = "Store", kind, reason, result.CutString(note, event.MaxNoteBytes)
	if err := s.client.Create(ctx, e); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create event %s: %w", reason, err)
	}
	return nil
}
