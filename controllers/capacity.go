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
	// capacityWarnPercent is from where on the log warns.
	capacityWarnPercent = 80
	// capacityReopenPercent is below what a full store takes results again.
	capacityReopenPercent = 95

	// StoreConfigMap is the ConfigMap in the operator's namespace by which the leader says whether the store is full. A
	// ValidatingAdmissionPolicy (config/policy) reads it and refuses new slices of the webhook, which answers 503.
	StoreConfigMap = "fwupgrade-store"
	// StoreFullKey is the key of that ConfigMap which is "true" when the store is full.
	StoreFullKey = "full"
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
	clock     clock.WithTicker
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
	c.warn(ctx, stored, full)
	if c.checks++; c.full != nil && *c.full == full && c.checks%publishEvery != 0 {
		return nil
	}
	if err := c.publish(ctx, full); err != nil {
		return err
	}
	c.full = &full
	return nil
}

func (c *capacity) warn(ctx context.Context, stored int, full bool) {
	near := stored*100 >= c.limit*capacityWarnPercent
	log := ctrl.LoggerFrom(ctx).WithValues("stored", stored, "limit", c.limit)
	switch {
	case full && (c.full == nil || !*c.full):
		log.Info("Refused further results: the store is full; shorten retention or raise --max-stored-results")
	case near && !c.warned:
		log.Info("Stored results came near their limit; shorten retention or raise --max-stored-results")
	}
	c.warned = near
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
