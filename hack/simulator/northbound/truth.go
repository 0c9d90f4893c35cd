// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import "time"

// Truth is what really is with a task.
type Truth struct {
	OperationID string `json:"operationId"`
	// Hash is the SHA-256 of package and targets.
	Hash        string `json:"hash"`
	FileID      string `json:"fileId"`
	FileVersion string `json:"fileVersion"`
	Status      string `json:"status"`
	// Console is true where it was created without a client; Deleted, where it was deleted since.
	Console bool `json:"console,omitempty"`
	Deleted bool `json:"deleted,omitempty"`

	CreateTime time.Time `json:"createTime"`
	StartTime  time.Time `json:"startTime,omitzero"`
	StopTime   time.Time `json:"stopTime,omitzero"`

	Counts Counts `json:"counts"`
	// Recovered are the devices that succeeded after a failure; Failures, the texts of those that failed.
	Recovered int            `json:"recovered"`
	Failures  map[string]int `json:"failures"`
	Devices   []DeviceTruth  `json:"devices,omitempty"`
}

// DeviceTruth is what really is with a device of a task.
type DeviceTruth struct {
	DeviceID       string `json:"deviceId"`
	SubOperationID string `json:"subOperationId"`
	Status         string `json:"status"`
	Detail         string `json:"detail,omitempty"`
	// Attempt is 0 until it was tried again.
	Attempt   int       `json:"attempt,omitempty"`
	StartTime time.Time `json:"startTime,omitzero"`
	StopTime  time.Time `json:"stopTime,omitzero"`
	// Results are the notifications of its results.
	Results DevicePushes `json:"results"`
}

// DevicePushes are the notifications of a device's results: how many there were to push, to each subscriber one, and
// what became of their pushes.
type DevicePushes struct {
	Due       int `json:"due"`
	Lost      int `json:"lost"`
	Delivered int `json:"delivered"`
	Discarded int `json:"discarded"`
}

// Truth returns what really is with a task, deleted or not.
func (s *Server) Truth(operationID string) (*Truth, bool) {
	s.lock()
	defer s.unlock()
	t, ok := s.tasks.byID[operationID]
	if !ok {
		return nil, false
	}
	truth := &Truth{
		OperationID: t.id, Hash: t.hash, FileID: t.request.FileID, FileVersion: t.version, Status: t.status,
		Console: t.console, Deleted: t.deleted, CreateTime: t.created, StartTime: t.started, StopTime: t.stopped,
		Counts: t.counts, Failures: map[string]int{}, Devices: make([]DeviceTruth, 0, len(t.devices)),
	}
	for i := range t.devices {
		d := &t.devices[i]
		switch {
		case d.status == statusFail:
			truth.Failures[d.detail]++
		case d.status == statusSuccess && d.failed:
			truth.Recovered++
		}
		truth.Devices = append(truth.Devices, DeviceTruth{
			DeviceID: d.id, SubOperationID: s.options.subOperationID(t.id, d.id, d.attempt), Status: d.status,
			Detail: d.detail, Attempt: int(d.attempt), StartTime: d.started, StopTime: d.stopped, Results: d.pushes,
		})
	}
	return truth, true
}

// TaskIDs returns the ids of all tasks, deleted ones, too, in the order in which they were created.
func (s *Server) TaskIDs() []string {
	s.lock()
	defer s.unlock()
	ids := make([]string, 0, len(s.tasks.order))
	for _, t := range s.tasks.order {
		ids = append(ids, t.id)
	}
	return ids
}
