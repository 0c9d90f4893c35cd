// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package result is one result: what a device reported for a task, the order and the join of such results, and how they
// are packed into slices. It does no I/O and reads no clock.
package result

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// Task identifies a firmware upgrade task of the platform.
type Task struct {
	// AppID is the application; empty where the notifications name none.
	AppID string
	// OperationID is the platform's id of the task, opaque.
	OperationID string
}

// Hash returns 32 hexadecimal digits that stand for the task where a platform id may not be used: in names and labels.
func (t Task) Hash() string {
	sum := sha256.Sum256([]byte(t.AppID + "\x00" + t.OperationID))
	return hex.EncodeToString(sum[:16])
}

// Result is what one device reported for one task.
type Result struct {
	Task
	DeviceID       string
	SubOperationID string
	storage.ResultFields
	// ReceivedAt is when the notification arrived, in microseconds since 1970-01-01 UTC.
	ReceivedAt int64
	// FailedAt is when the device's earliest failure arrived, in microseconds since 1970-01-01 UTC; 0 if there was
	// none. A failed result always has it.
	FailedAt int64
	// FirstReceivedAt and LastReceivedAt are when the device's first and last notification for the task arrived; 0 where
	// that is this one.
	FirstReceivedAt, LastReceivedAt int64
}

// Detach gives the result strings of its own, where they share the memory of a slice.
func (r *Result) Detach() {
	r.AppID, r.OperationID = strings.Clone(r.AppID), strings.Clone(r.OperationID)
	r.DeviceID, r.SubOperationID = strings.Clone(r.DeviceID), strings.Clone(r.SubOperationID)
	for _, field := range []*string{&r.TargetVersion, &r.SourceVersion, &r.CurVersion, &r.StatusDesc, &r.UpgradeTime} {
		*field = strings.Clone(*field)
	}
}
