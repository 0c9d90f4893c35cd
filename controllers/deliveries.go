// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// deliveries are the outboxes whose Events this process has created, until the status says so too. What is forgotten,
// as in a crash, is created again, and meets AlreadyExists. Safe for concurrent use.
type deliveries struct {
	mu       sync.Mutex
	byObject map[types.NamespacedName]delivery
}

// delivery is up to which number of the outbox of an object Events were created: those that somebody waits for, and
// others.
type delivery struct {
	uid             types.UID
	awaited, others int64
}

// all returns up to which number every Event was created.
func (d delivery) all() int64 { return min(d.awaited, d.others) }

func newDeliveries() *deliveries {
	return &deliveries{byObject: map[types.NamespacedName]delivery{}}
}

// of returns what was created of the outbox of an object. A number that the outbox has not come to was that of a status
// which somebody else wrote: it says nothing.
func (d *deliveries) of(fwu *v1alpha1.FirmwareUpgrade) delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.byObject[client.ObjectKeyFromObject(fwu)]
	if known.uid == fwu.UID && max(known.awaited, known.others) <= fwu.Status.OperatorState.Sequence {
		return known
	}
	return delivery{uid: fwu.UID}
}

// note takes what was created of the outbox of an object.
func (d *deliveries) note(fwu *v1alpha1.FirmwareUpgrade, created delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byObject[client.ObjectKeyFromObject(fwu)] = created
}

// forget drops what is known of an object that is gone.
func (d *deliveries) forget(object types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byObject, object)
}
