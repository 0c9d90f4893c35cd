// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// What the platform's console can do, and the API can't. Documented, in the platform's FAQ.

// windowOfConsole is how long the window of a task is that starts later.
const windowOfConsole = 30 * 24 * time.Hour

// ErrNoTask is returned for a task that is not there.
var ErrNoTask = errors.New("there is no such task")

// TaskSpec is a task that is created without a client.
type TaskSpec struct {
	// OperationID is its id; by default one is made.
	OperationID string `json:"operationId,omitempty"`
	// Devices are the ids of its devices; or Groups, its groups; or Count, how many devices to make up. What is more
	// than 256 devices is shown as a group that is named after the task.
	Devices []string `json:"devices,omitempty"`
	Groups  []string `json:"groups,omitempty"`
	Count   int      `json:"count,omitempty"`
	// FileID is the package; default "simulated", or the first package there is.
	FileID string `json:"fileId,omitempty"`
	// Retries is how often failed devices are tried again: 0 to 5.
	Retries int `json:"retries,omitempty"`
	// StartsIn is how long after its creation it starts, in whole seconds.
	StartsIn Duration `json:"startsIn,omitempty"`
	// StartTime and EndTime are its window by the platform's clock, both or none, and not beside StartsIn.
	StartTime time.Time `json:"startTime,omitzero"`
	EndTime   time.Time `json:"endTime,omitzero"`
}

// CreateTask creates a task as the console does, and returns its id.
func (s *Server) CreateTask(spec TaskSpec) (string, error) {
	now := s.lock()
	defer s.unlock()
	if _, exists := s.tasks.byID[spec.OperationID]; exists || len(spec.OperationID) > maxIDBytes {
		return "", fmt.Errorf("the id of a task is too long, or there is one: %q", spec.OperationID)
	}
	if spec.Retries < 0 || spec.Retries > 5 || spec.Count < 0 || spec.Count > maxDevices {
		return "", fmt.Errorf("a task has 0 to 5 retries and up to %d devices", maxDevices)
	}
	if err := spec.checkTimes(); err != nil {
		return "", err
	}
	r, err := s.requestOf(&spec)
	if err != nil {
		return "", err
	}
	if spec.OperationID == "" {
		spec.OperationID = s.newID()
	}
	ids := s.targetsOf(&r.Targets)
	for n := range spec.Count {
		ids = append(ids, platform.UUID(s.options.random(saltGroup, spec.OperationID+" "+strconv.Itoa(n))))
	}
	show(&r.Targets, spec.OperationID, ids)
	switch {
	case spec.StartsIn > 0:
		start := now.Add(time.Duration(spec.StartsIn))
		r.Policy.ExecuteType = "custom"
		r.Policy.StartTime, r.Policy.EndTime = s.stamp(start), s.stamp(start.Add(windowOfConsole))
	case !spec.StartTime.IsZero():
		r.Policy.ExecuteType = "custom"
		r.Policy.StartTime = new(spec.StartTime.UTC().Format(timeFormat))
		r.Policy.EndTime = new(spec.EndTime.UTC().Format(timeFormat))
	}
	if code, why := r.Policy.check(s.platformTime(now)); code != "" {
		return "", fmt.Errorf("the policy is refused: %s %s %s", code, errorCodes[code].text, why)
	}
	return s.add(spec.OperationID, r, ids, true, now).id, nil
}

// checkTimes says what is wrong with when a task is to run.
func (spec *TaskSpec) checkTimes() error {
	switch {
	case spec.StartsIn < 0:
		return errors.New("a task can't start before it is created")
	case spec.StartTime.IsZero() != spec.EndTime.IsZero():
		return errors.New("a window has a start and an end: give both")
	case spec.StartsIn > 0 && !spec.StartTime.IsZero():
		return errors.New("a task starts in a while or in a window: give one of them")
	}
	return nil
}

// requestOf returns the request that a client would have made.
func (s *Server) requestOf(spec *TaskSpec) (request, error) {
	given := 0
	for _, is := range []bool{len(spec.Devices) > 0, len(spec.Groups) > 0, spec.Count > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return request{}, errors.New("a task has devices, or groups, or a count of devices: give one of them")
	}
	r := request{FileID: spec.FileID, Targets: targets{Devices: spec.Devices, DeviceGroups: spec.Groups}}
	if r.FileID == "" && len(s.options.Packages) > 0 {
		r.FileID = s.options.Packages[0].FileID
	}
	setDefault(&r.FileID, "simulated")
	p, ok := s.packageOf(&r)
	if !ok {
		return request{}, fmt.Errorf("there is no package %q", r.FileID)
	}
	for _, group := range spec.Groups {
		if s.options.Groups[group] == 0 {
			return request{}, fmt.Errorf("there is no group %q", group)
		}
	}
	for to, value := range map[**string]string{
		&r.Targets.DeviceType: p.DeviceType, &r.Targets.Model: p.Model, &r.Targets.ManufacturerName: p.ManufacturerName,
	} {
		if value != "" {
			*to = new(value)
		}
	}
	r.Policy = &policy{ExecuteType: "now", RetryType: new(spec.Retries > 0)}
	if spec.Retries > 0 {
		r.Policy.RetryTimes = new(spec.Retries)
	}
	return r, nil
}

// show makes targets name devices that were made up, or a group in place of too many.
func show(t *targets, operationID string, ids []string) {
	switch {
	case len(t.DeviceGroups) > 0:
	case len(ids) > maxTargets:
		t.Devices, t.DeviceGroups = nil, []string{"group-" + operationID}
	default:
		t.Devices = ids
	}
}

// StopTask stops a task that has not ended: those of its sub-tasks that have not.
func (s *Server) StopTask(operationID string) error {
	now := s.lock()
	defer s.unlock()
	t, ok := s.tasks.get(operationID)
	if !ok {
		return ErrNoTask
	}
	if t.counts.open() == 0 {
		return fmt.Errorf("the task has ended: it is %s", t.status)
	}
	t.status, t.retries = statusProcessing, 0
	s.stopDevices(t, now, false)
	return nil
}

// RetryTask tries the failed devices of a task again that has ended. Documented: by hand, too.
func (s *Server) RetryTask(operationID string) error {
	now := s.lock()
	defer s.unlock()
	t, ok := s.tasks.get(operationID)
	if !ok {
		return ErrNoTask
	}
	if t.status != statusFailed {
		return fmt.Errorf("the task has not failed: it is %s", t.status)
	}
	s.retry(t, now)
	return nil
}

// DeleteTask deletes a task that has ended: the API does not know it any more.
func (s *Server) DeleteTask(operationID string) error {
	s.lock()
	defer s.unlock()
	t, ok := s.tasks.get(operationID)
	if !ok {
		return ErrNoTask
	}
	if t.counts.open() > 0 {
		return errors.New("the task has not ended: stop it first")
	}
	t.deleted = true
	return nil
}
