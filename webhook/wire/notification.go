// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire decodes what the platform pushes: bytes in, a notification out. It does no I/O and reads no clock.
package wire

import (
	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Kind is what a notification is to the operator.
type Kind int

const (
	// KindOther is a notification that is not the operator's: another notifyType, or a callback without one that is
	// known to share the address. Only Type is set.
	KindOther Kind = iota
	// KindResult is how the upgrade of a device ended (fwUpgradeResultNotify).
	KindResult
	// KindStateChange is how far the upgrade of a device got (fwUpgradeStateChangeNotify).
	KindStateChange
)

// The types of notification that are the operator's.
const (
	typeResult      = "fwUpgradeResultNotify"
	typeStateChange = "fwUpgradeStateChangeNotify"
)

// Notification is a decoded push. All strings are within the bounds of storage/v1alpha1, and every character of them
// can be seen (see result.Clean).
type Notification struct {
	// Kind says which of the fields below are set.
	Kind Kind
	// Type names what a notification of KindOther is, for people: at most 64 printable bytes.
	Type string
	// AppID is the application of the device; empty where the notification names none.
	AppID string
	// OperationID is the upgrade task. Never empty unless Kind is KindOther.
	OperationID string
	// SubOperationID is the device's sub-task; may be empty.
	SubOperationID string
	// DeviceID is the device. Never empty unless Kind is KindOther.
	DeviceID string
	// ResultFields are how far the device got and the rest of what was reported.
	storage.ResultFields
}

// Result returns what the notification says about the device. receivedAt is when it arrived, in microseconds since
// 1970-01-01 UTC. A notification of KindOther says nothing: don't ask it.
func (n Notification) Result(receivedAt int64) result.Result {
	r := result.Result{
		Task:           result.Task{AppID: n.AppID, OperationID: n.OperationID},
		DeviceID:       n.DeviceID,
		SubOperationID: n.SubOperationID,
		ResultFields:   n.ResultFields,
		ReceivedAt:     receivedAt,
	}
	r.Normalize()
	return r
}

// Unusable is the error of a body that can't be used. It is the sender's fault and stays so when it is sent again.
type Unusable struct {
	// Reason says which field is wrong and how. It quotes at most 64 bytes of a value, is printable, and has at most
	// storage.MaxRejectedReasonBytes bytes.
	Reason string
	// NotJSON says that the body is no JSON at all: it may be encoded in another way.
	NotJSON bool
}

// Error returns the reason.
func (u *Unusable) Error() string { return u.Reason }
