// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/status"
)

const (
	// maxNamed is how many FirmwareUpgrades a metric names: people make them, and every one is a time series.
	maxNamed = 1000
	// namedAfterEnd is how long a metric names one that ended badly: long enough for an alert to be seen, and then the
	// alert resolves by itself.
	namedAfterEnd = 24 * time.Hour
)

// phaseGroup is what FirmwareUpgrades are counted by; stalled is empty where nothing is.
type phaseGroup struct{ phase, stalled string }

// phases counts FirmwareUpgrades by phase and by what stalls them. Both are words of the API.
func phases(upgrades []v1alpha1.FirmwareUpgrade) map[phaseGroup]int {
	groups := map[phaseGroup]int{}
	for i := range upgrades {
		f := &upgrades[i]
		g := phaseGroup{phase: string(cmp.Or(f.Status.Phase, v1alpha1.PhasePending))}
		if c := stalledCondition(f); c != nil {
			g.stalled = c.Reason
		}
		groups[g]++
	}
	return groups
}

// stalledCondition returns the condition Stalled where it is True, else nil.
func stalledCondition(f *v1alpha1.FirmwareUpgrade) *metav1.Condition {
	c := meta.FindStatusCondition(f.Status.Conditions, v1alpha1.ConditionStalled)
	if c == nil || c.Status != metav1.ConditionTrue {
		return nil
	}
	return c
}

// deviceStates counts the devices of FirmwareUpgrades that have what they claim: those of one that has lost its task
// are counted by another one.
func deviceStates(byOperation map[string][]v1alpha1.FirmwareUpgrade, rules claim.Rules) map[string]int64 {
	var sum v1alpha1.DeviceCounts
	for _, same := range byOperation {
		for _, holder := range claim.Holders(same, rules) {
			devices := holder.Status.Devices
			sum.Succeeded += devices.Succeeded
			sum.Failed += devices.Failed
			sum.InProgress += devices.InProgress
			sum.Pending += devices.Pending
			sum.Suspect += devices.Suspect
		}
	}
	return map[string]int64{
		"succeeded": sum.Succeeded, "failed": sum.Failed, "in_progress": sum.InProgress, "pending": sum.Pending,
		"suspect": sum.Suspect,
	}
}

// oldestEvent returns when the oldest Event in any outbox was planned; zero where all are empty.
func oldestEvent(upgrades []v1alpha1.FirmwareUpgrade) (oldest time.Time) {
	for i := range upgrades {
		for _, e := range upgrades[i].Status.OperatorState.Outbox {
			if oldest.IsZero() || e.PlanTime.Time.Before(oldest) {
				oldest = e.PlanTime.Time
			}
		}
	}
	return oldest
}

// namedUpgrade is a FirmwareUpgrade of which a metric tells a time.
type namedUpgrade struct {
	*v1alpha1.FirmwareUpgrade
	at     time.Time
	start  time.Time
	reason string
}

// running returns the declared FirmwareUpgrades that have not finished with their deadlines, the nearest 1,000.
// Placeholders are not among them: these a sender can make.
func running(upgrades []v1alpha1.FirmwareUpgrade) []namedUpgrade {
	var named []namedUpgrade
	for i := range upgrades {
		f := &upgrades[i]
		if f.Spec.Placeholder || !f.DeletionTimestamp.IsZero() || f.Status.CompletionTime != nil {
			continue
		}
		u := namedUpgrade{FirmwareUpgrade: f, at: status.Deadline(f, f.Status), start: f.CreationTimestamp.Time}
		if f.Status.StartTime != nil {
			u.start = f.Status.StartTime.Time
		}
		named = append(named, u)
	}
	return first(named, func(a, b namedUpgrade) int { return a.at.Compare(b.at) })
}

// stalled returns the declared FirmwareUpgrades that are stalled and have not finished, and for a day those that
// finished so, with the time since when, the newest 1,000.
func stalled(upgrades []v1alpha1.FirmwareUpgrade, now time.Time) []namedUpgrade {
	var named []namedUpgrade
	for i := range upgrades {
		f := &upgrades[i]
		c := stalledCondition(f)
		if c == nil || f.Spec.Placeholder || !f.DeletionTimestamp.IsZero() {
			continue
		}
		ended := f.Status.CompletionTime
		if ended != nil && now.Sub(ended.Time) >= namedAfterEnd && now.Sub(c.LastTransitionTime.Time) >= namedAfterEnd {
			continue
		}
		named = append(named, namedUpgrade{FirmwareUpgrade: f, at: c.LastTransitionTime.Time, reason: c.Reason})
	}
	return first(named, func(a, b namedUpgrade) int { return b.at.Compare(a.at) })
}

// first returns the first 1,000, of equal ones the lesser name first.
func first(named []namedUpgrade, compare func(a, b namedUpgrade) int) []namedUpgrade {
	slices.SortFunc(named, func(a, b namedUpgrade) int {
		return cmp.Or(compare(a, b), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return named[:min(len(named), maxNamed)]
}
