// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
)

// maxDescBytes is how much of the platform's text is stored, as of a notification.
const maxDescBytes = 1024

// stoppedDesc is what is said of a device whose sub-task somebody stopped.
const stoppedDesc = "Stopped on the platform"

// resultOf is the result that a sub-task says; ended is false where it has not ended.
//
// It counts as received when the platform says that it ended, so that the same sub-task is the same result whoever asks
// for it, and a push of the same state, which arrives later and says more, goes before it. Where the platform gives no
// time, or one that can't be, that is now.
func resultOf(of *platform.Task, task result.Task, s *platform.SubTask, now time.Time) (r result.Result, ended bool) {
	r = result.Result{Task: task, DeviceID: s.DeviceID, SubOperationID: s.SubOperationID}
	switch s.Status {
	case platform.SubTaskSucceeded:
		r.State, r.TargetVersion = storage.StateSucceeded, of.FileVersion
	case platform.SubTaskFailed, platform.SubTaskTimeout:
		r.State, r.StatusDesc = storage.StateFailed, result.CutString(s.DetailInfo, maxDescBytes)
	case platform.SubTaskStopped:
		r.State, r.StatusDesc = storage.StateFailed, stoppedDesc
	default:
		return r, false
	}
	at := s.StopTime
	if at.IsZero() || at.After(now) || at.Before(of.CreateTime) {
		at = now
	}
	r.ReceivedAt = at.UnixMicro()
	r.Normalize()
	return r, s.DeviceID != ""
}
