// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// Bounds of a summary, those of the status.
const (
	maxReasons        = 10 // before Other
	maxReasonDevices  = 3
	maxFailedDevices  = 20
	maxMissingDevices = 20
)

// Query is what a FirmwareUpgrade wants to know of its task.
type Query struct {
	// TargetVersion is the version wanted, for Summary.Suspect; empty takes the one that each result names.
	TargetVersion string
	// Devices are the ids of the devices expected, for Summary.Known and Missing. Repetitions count once.
	Devices []string
}

// Summary is what the results of a task add up to.
type Summary struct {
	// Succeeded, Failed and InProgress are how many devices have this as their best result.
	Succeeded, Failed, InProgress int64
	// Recovered is how many of Succeeded have failed before, or since.
	Recovered int64
	// Suspect is how many of Succeeded have, or were to get, another version than the one wanted.
	Suspect int64
	// Failures is how many devices ever failed: Failed + Recovered, and the length of the failure log.
	Failures int64
	// FirstReceivedAt and LastReceivedAt are when the first and the last notification arrived, in microseconds since
	// 1970-01-01 UTC, those that count no more included. 0 means none.
	FirstReceivedAt, LastReceivedAt int64
	// Reasons group Failed: the 10 most frequent, of equal ones the lesser text first, then ReasonOther with all the
	// others. The devices of a group are its 3 newest, as in FailedDevices.
	Reasons []v1alpha1.ReasonCount
	// FailedDevices are the 20 of Failed whose result arrived last, the newest first, of equal ones the lesser id first.
	FailedDevices []v1alpha1.FailedDevice
	// Known is how many of Query.Devices have reported.
	Known int64
	// Missing are those of Query.Devices that have not reported, the first 20, in their order.
	Missing []string
}

// Reported is how many devices have reported anything: Succeeded + Failed + InProgress.
func (s Summary) Reported() int64 {
	return s.Succeeded + s.Failed + s.InProgress
}

// Summary returns what the results of a task add up to; for a task that is not known, the Summary of no results. It
// takes time in proportion to the number of distinct reasons and versions and of Query.Devices, not of results.
func (t *Tally) Summary(task Task, q Query) Summary {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tally, known := t.tasks[task]
	if !known {
		return Summary{}
	}
	summary := tally.summary(q.TargetVersion)
	summary.Known, summary.Missing = tally.lookUp(t.keys, q.Devices)
	return summary
}

func (t *taskTally) summary(targetVersion string) Summary {
	failed := t.counts[rankFailed]
	succeeded := t.counts[rankSucceeded]
	failures := int64(len(t.failures.log))
	return Summary{
		Succeeded:       succeeded,
		Failed:          failed,
		InProgress:      int64(len(t.devices)) - failed - succeeded,
		Recovered:       failures - failed,
		Suspect:         t.successes.suspect(targetVersion),
		Failures:        failures,
		FirstReceivedAt: t.received.first,
		LastReceivedAt:  t.received.last,
		Reasons:         t.failures.reasons(),
		FailedDevices:   t.failures.newest(),
	}
}

// lookUp counts the devices that have reported and names the first that have not.
func (t *taskTally) lookUp(keys keyring, devices []string) (reported int64, missing []string) {
	seen := make(map[deviceKey]struct{}, len(devices))
	for _, device := range devices {
		key := keys.key(device)
		if _, repeated := seen[key]; repeated {
			continue
		}
		seen[key] = struct{}{}
		if _, known := t.devices[key]; known {
			reported++
		} else if len(missing) < maxMissingDevices {
			missing = append(missing, device)
		}
	}
	return reported, missing
}

// reasons returns the most frequent groups, then one with all others.
func (f *failures) reasons() []v1alpha1.ReasonCount {
	top := best[*reasonGroup]{limit: maxReasons, compare: compareFrequency}
	for _, group := range f.groups {
		top.offer(group)
	}

	var reasons []v1alpha1.ReasonCount
	for _, group := range top.list {
		devices := best[*failure]{limit: maxReasonDevices, compare: compareNewest}
		group.scan(devices.offer)
		reasons = append(reasons, reasonCount(group.reason, group.len(), devices.list))
	}

	if len(f.groups) > len(top.list) {
		others := 0
		devices := best[*failure]{limit: maxReasonDevices, compare: compareNewest}
		for _, group := range f.groups {
			if !slices.Contains(top.list, group) {
				others += group.len()
				group.scan(devices.offer)
			}
		}
		reasons = append(reasons, reasonCount(ReasonOther, others, devices.list))
	}
	return reasons
}

// newest returns the devices that failed most recently.
func (f *failures) newest() []v1alpha1.FailedDevice {
	newest := best[*failure]{limit: maxFailedDevices, compare: compareNewest}
	for _, group := range f.groups {
		group.scan(newest.offer)
	}
	var devices []v1alpha1.FailedDevice
	for _, failure := range newest.list {
		devices = append(devices, v1alpha1.FailedDevice{
			DeviceID:       failure.deviceID,
			SubOperationID: failure.subOperationID,
			Reason:         failure.reason,
			CurVersion:     failure.curVersion,
			ReceivedAt:     toTime(failure.receivedAt),
		})
	}
	return devices
}

// compareFrequency orders groups by their size, the largest first, then by reason.
func compareFrequency(a, b *reasonGroup) int {
	return cmp.Or(cmp.Compare(b.len(), a.len()), strings.Compare(a.reason, b.reason))
}

func reasonCount(reason string, count int, newest []*failure) v1alpha1.ReasonCount {
	devices := make([]string, len(newest))
	for i, failure := range newest {
		devices[i] = failure.deviceID
	}
	return v1alpha1.ReasonCount{Reason: reason, Count: int64(count), Devices: devices}
}

// toTime cuts microseconds to seconds, because that is what a metav1.Time keeps: a finer one would differ from itself
// once stored, and every status would be written again.
func toTime(micros int64) metav1.Time {
	return metav1.NewTime(time.UnixMicro(micros).UTC().Truncate(time.Second))
}
