// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package event begins the Kubernetes Events that the operator creates by itself, as the usual recorders drop or merge
// what must not be lost. Pure.
package event

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReportingController is the name under which the operator creates Events.
const ReportingController = "fwupgrade.io/operator"

// MaxNoteBytes is what the API allows for the text of an Event.
const MaxNoteBytes = 1024

// New begins an Event in the namespace of what it regards. The name makes a repetition meet AlreadyExists, so it has to
// follow from what is told. now is when it is created, and instance the process that does it.
func New(regarding corev1.ObjectReference, name string, now time.Time, instance string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: regarding.Namespace, Name: name},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: ReportingController,
		ReportingInstance:   instance,
		Regarding:           regarding,
	}
}
