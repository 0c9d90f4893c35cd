// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package statuscost

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// size says how much a status tells.
type size int

const (
	// small is counts and conditions.
	small size = iota
	// full has as many causes, samples and failed devices as a status has at most.
	full
)

// How much a full status has, and how many devices the upgrade has.
const (
	causes         = 10
	samples        = 3
	failedDevices  = 20
	expectedTotal  = 250
	failedTotal    = 40
	causeLength    = 40
	sequenceNumber = 17
)

// content is what a status says, whatever its shape.
type content struct {
	now           time.Time
	counts        v1alpha1.DeviceCounts
	causes        []v1alpha1.CauseCount
	failedDevices []v1alpha1.FailedDevice
	conditions    []metav1.Condition
}

// contentOf returns what the n-th status of an object says: others than the one before.
func contentOf(size size, n int) content {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(n) * time.Second)
	succeeded := int64(n%(expectedTotal-failedTotal) + 1)
	c := content{now: now, conditions: conditions(now)}
	c.counts = v1alpha1.DeviceCounts{
		Expected: expectedTotal, Succeeded: succeeded, Failed: failedTotal, Pending: expectedTotal - failedTotal - succeeded,
	}
	if size == small {
		return c
	}
	for i := range causes {
		group := v1alpha1.CauseCount{Cause: causeOf(i), Count: failedTotal / causes}
		for sample := range samples {
			group.Devices = append(group.Devices, deviceID(n+i*samples+sample))
		}
		c.causes = append(c.causes, group)
	}
	for i := range failedDevices {
		c.failedDevices = append(c.failedDevices, v1alpha1.FailedDevice{
			DeviceID: deviceID(n + i), SubOperationID: deviceID(1_000_000 + n + i), Cause: causeOf((n + i) % causes),
			CurVersion:  "1.3",
			ReceiveTime: metav1.NewTime(now.Add(-time.Duration(i) * time.Second)),
		})
	}
	return c
}

// deviceID returns an id as long as the platform's.
func deviceID(n int) string { return fmt.Sprintf("3fa85f64-5717-4562-b3fc-%012d", n) }

func causeOf(n int) string {
	return strings.Repeat("Waiting for report timeout ", 2)[:causeLength] + fmt.Sprint(" ", n)
}

func conditions(now time.Time) []metav1.Condition {
	var all []metav1.Condition
	for _, c := range []struct{ kind, status, reason, message string }{
		{v1alpha1.ConditionReady, "False", v1alpha1.ReasonRunning, "120 of 250 devices have reported, 40 failed"},
		{v1alpha1.ConditionReconciling, "True", v1alpha1.ReasonRunning, "130 devices are awaited"},
		{v1alpha1.ConditionStalled, "False", v1alpha1.ReasonRunning, "nobody has to act"},
		{v1alpha1.ConditionFinished, "False", v1alpha1.ReasonRunning, "130 devices are awaited"},
		{v1alpha1.ConditionDegraded, "True", v1alpha1.ReasonFailurePolicyBroken,
			"40 of 120 devices failed, more than 5% of them"},
	} {
		all = append(all, metav1.Condition{
			Type: c.kind, Status: metav1.ConditionStatus(c.status), ObservedGeneration: 1, Reason: c.reason, Message: c.message,
			LastTransitionTime: metav1.NewTime(now.Truncate(time.Hour)),
		})
	}
	return all
}

// specOf returns the spec of the object with the number i; with devices it names so many, else it says how many there
// are.
func specOf(i, devices int) map[string]any {
	spec := map[string]any{
		"appId": deviceID(7), "operationId": fmt.Sprintf("operation-%06d", i), "targetVersion": "1.6",
	}
	if devices == 0 {
		spec["expectedDevices"] = int64(expectedTotal)
		spec["failurePolicy"] = map[string]any{"maxFailed": "5%", "minReported": int64(20)}
		return spec
	}
	spec["failurePolicy"] = map[string]any{"maxFailed": "5%", "minReported": int64(min(20, devices))}
	var ids []any
	for n := range devices {
		ids = append(ids, deviceID(n))
	}
	spec["devices"] = ids
	return spec
}

// todayStatus returns the status in the shape of the present API.
func todayStatus(c content) any {
	s := v1alpha1.FirmwareUpgradeStatus{
		ObservedGeneration: 1, Phase: v1alpha1.PhaseRunning, Progress: progressOf(c.counts),
		Reason: reasonOf(c), AppID: deviceID(7), Devices: c.counts,
		StartTime:      new(metav1.NewTime(c.now.Truncate(time.Hour))),
		LastResultTime: new(metav1.NewTime(c.now)),
		Details:        v1alpha1.Details{Causes: c.causes, FailedDevices: c.failedDevices},
		Conditions:     c.conditions,
		OperatorState: v1alpha1.OperatorState{
			Announced: v1alpha1.Announced{
				Started: true, DegradedGeneration: 1, Failures: failedTotal, FailuresTime: new(metav1.NewTime(c.now)),
			},
			Sequence: sequenceNumber,
		},
	}
	if len(c.causes) > 0 {
		s.TopCause = c.causes[0].Cause
	}
	return s
}

// firstStatus returns the status in the shape of the first version's API.
func firstStatus(c content) any {
	s := map[string]any{
		"observedGeneration": 1, "phase": v1alpha1.PhaseRunning, "progress": progressOf(c.counts), "reason": reasonOf(c),
		"startTime": metav1.NewTime(c.now.Truncate(time.Hour)), "lastResultTime": metav1.NewTime(c.now), "devices": c.counts,
		"conditions": c.conditions,
		"events": map[string]any{"announced": failedTotal, "sequence": sequenceNumber,
			"lastFailuresTime": metav1.NewTime(c.now)},
	}
	var reasons, failed []map[string]any
	for _, group := range c.causes {
		reasons = append(reasons, map[string]any{"reason": group.Cause, "count": group.Count, "devices": group.Devices})
	}
	for _, d := range c.failedDevices {
		failed = append(failed, map[string]any{
			"deviceId": d.DeviceID, "subOperationId": d.SubOperationID, "reason": d.Cause, "curVersion": d.CurVersion,
			"receivedAt": d.ReceiveTime,
		})
	}
	if len(reasons) > 0 {
		s["reasons"], s["failedDevices"] = reasons, failed
	}
	return s
}

func progressOf(d v1alpha1.DeviceCounts) string {
	return fmt.Sprintf("%d/%d", d.Succeeded+d.Failed, d.Expected)
}

// reasonOf returns what a person has to know first.
func reasonOf(c content) string {
	if len(c.causes) == 0 {
		return "FailurePolicyBroken"
	}
	return fmt.Sprintf("%s (%d)", c.causes[0].Cause, c.causes[0].Count)
}
