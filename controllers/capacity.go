// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// capacityInterval is how often the stored results are compared with the limit.
	capacityInterval = 2 * time.Second
	// publishEvery is after how many of those the ConfigMap is written again, in case somebody changed it.
	publishEvery = 30
	// capacityWarnPercent is from where on an Event and the log warn, capacityCalmPercent below what they may warn again.
	capacityWarnPercent = 80
	capacityCalmPercent = 75
	// capacityReopenPercent is below what a full store takes results again.
	capacityReopenPercent = 95

	// StoreConfigMap is the ConfigMap in the operator's namespace by which the leader says whether the store is full. A
	// ValidatingAdmissionPolicy (config/policy) reads it and refuses new slices of the webhook, which answers 503.
	StoreConfigMap = "fwupgrade-store"
	// StoreFullKey is the key of that ConfigMap which is "true" when the store is full.
	StoreFullKey = "full"
)

// Reasons of Events about that ConfigMap.
const (
	// EventStoreNearlyFull says that the stored results came near their limit.
	EventStoreNearlyFull = "StoreNearlyFull"
	// EventStoreFull says that further results are refused.
	EventStoreFull = "StoreFull"
	// EventStoreReopened says that results are stored again.
	EventStoreReopened = "StoreReopened"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=create,namespace=system
// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=fwupgrade-store,verbs=update,namespace=system

// capacity keeps the number of stored results below a limit: a full etcd would refuse everybody's writes, so the
// operator stops before. It is a manager.Runnable of the leader.
type capacity struct {
	client    client.Client
	reader    *SliceReader
	index     *sliceIndex
	namespace string
	limit     int
	// instance names this process in the Events.
	instance string
	clock    clock.WithTicker
	// full is what was written last; nil before the first write.
	full   *bool
	checks int
	warned bool
}

// Start compares until the context ends.
func (c *capacity) Start(ctx context.Context) error {
	if err := c.reader.WaitForSync(ctx); err != nil {
		return nil // the context ended before there was anything to do
	}
	ticker := c.clock.NewTicker(capacityInterval)
	defer ticker.Stop()
	for {
		if err := c.check(ctx); err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Could not say whether the store is full, will try again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

func (c *capacity) check(ctx context.Context) error {
	stored := c.index.load()
	full := stored >= c.limit || c.full != nil && *c.full && stored*100 >= c.limit*capacityReopenPercent
	kind, reason := c.news(stored, full)
	if c.checks++; c.full == nil || *c.full != full || c.checks%publishEvery == 0 {
		if err := c.publish(ctx, full); err != nil {
			return err
		}
		c.full = &full
	}
	c.warned = full || reason == EventStoreNearlyFull || c.warned && stored*100 >= c.limit*capacityCalmPercent
	if reason == "" {
		return nil
	}
	note := c.note(reason, stored)
	ctrl.LoggerFrom(ctx).Info(note, "reason", reason)
	return c.tell(ctx, kind, reason, note)
}

// news says what changed since the last check, by the type and reason of an Event; empty if nothing did.
func (c *capacity) news(stored int, full bool) (kind, reason string) {
	was := c.full != nil && *c.full
	near := stored*100 >= c.limit*capacityWarnPercent
	switch {
	case full && !was:
		return corev1.EventTypeWarning, EventStoreFull
	case was && !full:
		return corev1.EventTypeNormal, EventStoreReopened
	case near && !full && !c.warned:
		return corev1.EventTypeWarning, EventStoreNearlyFull
	}
	return "", ""
}

func (c *capacity) note(reason string, stored int) string {
	does := map[string]string{
		EventStoreNearlyFull: "Stored results came near their limit",
		EventStoreFull:       "Refused further results, pushes are answered 503",
		EventStoreReopened:   "Stored results again",
	}[reason]
	return fmt.Sprintf("%s: %d of %d; shorten retention, or raise --max-stored-results after looking at etcd's quota",
		does, stored, c.limit)
}

// tell creates an Event about the ConfigMap. The log and the metrics say the same, so that one that can't be created is
// not tried again.
func (c *capacity) tell(ctx context.Context, kind, reason, note string) error {
	now := c.clock.Now()
	event := eventAbout(
		corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: c.namespace, Name: StoreConfigMap},
		fmt.Sprintf("%s.%x", StoreConfigMap, now.UnixNano()), metav1.NewMicroTime(now), c.instance)
	event.Action, event.Type, event.Reason, event.Note = "Store", kind, reason, note
	if err := c.client.Create(ctx, event); err != nil {
		return fmt.Errorf("create event %s: %w", reason, err)
	}
	return nil
}

func (c *capacity) publish(ctx context.Context, full bool) error {
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: StoreConfigMap},
		Data:       map[string]string{StoreFullKey: strconv.FormatBool(full)},
	}
	err := c.client.Update(ctx, cm)
	if apierrors.IsNotFound(err) {
		err = c.client.Create(ctx, cm)
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s: %w", StoreConfigMap, err)
	}
	return nil
}
