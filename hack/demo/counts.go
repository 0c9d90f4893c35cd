// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
)

const (
	// topCauses is how many rows status.details.causes has before Other.
	topCauses = 10
	// annotationFailures says on an Event how many failed devices it announces.
	annotationFailures = "fwupgrade.io/failures"
)

// counts is everything in a status that can be counted.
type counts struct {
	Expected, Unexpected, Succeeded, Failed, InProgress, Pending, Recovered int64

	Progress  string
	Causes    []platform.CauseCount
	CausesSum int64
	// Announced is what the status says was announced, Outbox what is still to be, and InEvents what the Events say.
	Announced int64
	Outbox    int
	InEvents  int64
}

// expectedOf returns what the plan adds up to.
func expectedOf(plan *platform.Plan) counts {
	c := plan.Counts(nil)[0]
	return counts{
		Expected: c.Devices, Succeeded: c.Succeeded, Failed: c.Failed, InProgress: c.InProgress, Pending: c.Pending,
		Recovered: c.Recovered,
		Progress:  fmt.Sprintf("%d/%d", c.Succeeded+c.Failed, c.Devices),
		Causes:    c.TopCauses(topCauses),
		CausesSum: c.Failed,
		Announced: c.Failures(),
		InEvents:  c.Failures(),
	}
}

// countsOf returns what the status and the Events about it say.
func countsOf(fwu *v1alpha1.FirmwareUpgrade, events []eventsv1.Event) (counts, error) {
	d := fwu.Status.Devices
	c := counts{
		Expected: d.Expected, Unexpected: d.Unexpected, Succeeded: d.Succeeded, Failed: d.Failed, InProgress: d.InProgress,
		Pending: d.Pending, Recovered: d.Recovered,
		Progress:  fwu.Status.Progress,
		Announced: fwu.Status.OperatorState.Announced.Failures,
		Outbox:    len(fwu.Status.OperatorState.Outbox),
	}
	for _, r := range fwu.Status.Details.Causes {
		c.Causes = append(c.Causes, platform.CauseCount{Cause: r.Cause, Count: r.Count})
		c.CausesSum += r.Count
	}
	for i := range events {
		value := events[i].Annotations[annotationFailures]
		if events[i].Regarding.UID != fwu.UID || value == "" {
			continue
		}
		failures, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return counts{}, fmt.Errorf("the annotation %s of Event %s: %w", annotationFailures, events[i].Name, err)
		}
		c.InEvents += failures
	}
	return c, nil
}

// diff returns how other differs; empty if it does not.
func (c counts) diff(other counts) string { return cmp.Diff(c, other) }
