// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local/console"
)

// rowFormat is a row of the table that follows the status: phase, Ready, progress, failed, reason. The widest phase and
// a progress of thousands fit.
const rowFormat = "%-20s %-6s %-11s %-7s %s"

func header() string { return fmt.Sprintf(rowFormat, "PHASE", "READY", "PROGRESS", "FAILED", "REASON") }

// row returns the status as one line of the table.
func row(fwu *v1alpha1.FirmwareUpgrade) string {
	st := fwu.Status
	return strings.TrimRight(fmt.Sprintf(rowFormat, st.Phase, ready(fwu), st.Progress, fmt.Sprint(st.Devices.Failed),
		st.Reason), " ")
}

func ready(fwu *v1alpha1.FirmwareUpgrade) string { return condition(fwu, v1alpha1.ConditionReady) }

// condition returns the status of a condition: True, False or, where it is not set yet, nothing.
func condition(fwu *v1alpha1.FirmwareUpgrade, conditionType string) string {
	c := meta.FindStatusCondition(fwu.Status.Conditions, conditionType)
	if c == nil {
		return ""
	}
	return string(c.Status)
}

// styleOf returns how a phase stands out.
func styleOf(phase v1alpha1.Phase) console.Style {
	switch phase {
	case v1alpha1.PhaseSucceeded:
		return console.Green
	case v1alpha1.PhasePartiallySucceeded:
		return console.Yellow
	case v1alpha1.PhaseFailed, v1alpha1.PhaseStalled:
		return console.Red
	default:
		return console.Plain
	}
}

// tellEnd shows what people and programs read when the upgrade has finished.
func (s *stage) tellEnd(ctx context.Context) error {
	s.out.Title("The upgrade has finished, and whoever waits for it goes on")
	err := s.show(ctx, "wait", "--for=condition=Finished", "firmwareupgrade/"+s.name, "--timeout=30s")
	if err != nil {
		return err
	}
	if err := s.show(ctx, "fwupgrade", "status", s.name); err != nil {
		return err
	}
	fwu, err := s.status(ctx)
	if err != nil {
		return err
	}
	s.out.Title("Its conditions")
	const conditionFormat = "%-12s %-6s %-20s "
	indent := len(fmt.Sprintf(conditionFormat, "", "", ""))
	for _, c := range fwu.Status.Conditions {
		s.out.Paragraph(fmt.Sprintf(conditionFormat, c.Type, c.Status, c.Reason)+c.Message, indent)
	}
	s.out.Title(fmt.Sprintf("What was announced (kubectl events --for firmwareupgrade/%s), cut to fit", s.name))
	events, err := s.events(ctx)
	if err != nil {
		return err
	}
	s.tellEvents(events)
	return nil
}

// tellEvents prints the Events in the order in which they were planned: their names, which have the same length but for
// the number of the Event, tell.
func (s *stage) tellEvents(events []eventsv1.Event) {
	slices.SortFunc(events, func(a, b eventsv1.Event) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	for i := range events {
		e := &events[i]
		style := console.Plain
		if e.Type == "Warning" {
			style = console.Yellow
		}
		s.out.Styled(style, fmt.Sprintf("%-8s %-16s %s", e.Type, e.Reason, e.Note))
	}
}
