// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// verifyAttempts is how often stored results and status are compared before a difference counts.
	verifyAttempts = 4
	// verifyPause is how long to wait in between: the operator writes a status once a second.
	verifyPause = 3 * time.Second
)

func newVerifyCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify NAME",
		Short: "Count what is stored of an upgrade anew, and compare it with its status",
		Long: `Count what is stored of an upgrade anew, from nothing, and compare it with the counts and causes in its status.

Exit codes: 0 they are the same, 1 they differ, 2 results came all the while, 3 it could not be told.

It needs to read the stored results: the ClusterRole fwupgrade-results-viewer, bound in the operator's namespace. It
holds a record of each device in memory, some 100 bytes.`,
		Args:              oneName,
		ValidArgsFunction: s.completeOneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.verify(cmd.Context(), args[0])
		},
	}
	s.addOperatorNamespace(cmd.Flags())
	return cmd
}

// verify compares until stored results and status are the same, or differ although the status did not move meanwhile.
func (s *session) verify(ctx context.Context, name string) error {
	c, before, err := s.open(ctx, name)
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		if err := verifiable(before); err != nil {
			return err
		}
		counted, err := s.recount(ctx, c, before)
		if err != nil {
			return err
		}
		after, err := c.upgrade(ctx, name)
		if err != nil {
			return err
		}
		// What is stored was read in between: it is right if it is the one or the other.
		withBefore, withAfter := compareCounts(counted, before.Status), compareCounts(counted, after.Status)
		switch {
		case withAfter.same:
			return s.printComparison(withAfter, exitGood)
		case withBefore.same:
			return s.printComparison(withBefore, exitGood)
		case attempt < verifyAttempts:
		case !compareCounts(before.Status, after.Status).same || before.Generation != after.Generation:
			s.say("Results came all the while, so that status and store could not be compared: try again later.")
			return s.printComparison(withAfter, exitUnfinished)
		default:
			return s.printComparison(withAfter, exitBad)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Clock.After(verifyPause):
		}
		if before, err = c.upgrade(ctx, name); err != nil {
			return err
		}
	}
}

// verifiable says why the status of a FirmwareUpgrade can't be what is stored; nil if it can.
func verifiable(fwu *v1alpha1.FirmwareUpgrade) error {
	switch why, is := isNotCounted(fwu); {
	case is:
		return fmt.Errorf("the status does not count the task, so there is nothing to compare: %s", why)
	case fwu.Status.ArchiveTime != nil:
		return fmt.Errorf("retention removed the results at %s, so there is nothing to compare",
			rfc3339(fwu.Status.ArchiveTime.Time))
	case fwu.Status.ObservedGeneration != fwu.Generation:
		return errors.New("the operator has not seen the present spec yet: does it run?")
	}
	return nil
}

// recount is the status that follows from what is stored and from nothing else.
func (s *session) recount(
	ctx context.Context, c *connection, fwu *v1alpha1.FirmwareUpgrade,
) (v1alpha1.FirmwareUpgradeStatus, error) {
	task := taskOf(fwu)
	reader, err := s.newSliceReader(ctx, c)
	if err != nil {
		return v1alpha1.FirmwareUpgradeStatus{}, err
	}
	counted := tally.New()
	err = reader.read(ctx, everySlice(), func(slice *storage.ResultSlice) error {
		counted.Add(slices.DeleteFunc(reader.unpack(slice), func(r result.Result) bool { return !task.has(&r) }))
		return nil
	})
	if err != nil {
		return v1alpha1.FirmwareUpgradeStatus{}, c.explainSlices(err, reader.namespace)
	}
	if err := errors.Join(reader.incomplete(exitUnknown), task.settle()); err != nil {
		return v1alpha1.FirmwareUpgradeStatus{}, err
	}
	next, _ := status.Compute(fwu, v1alpha1.FirmwareUpgradeStatus{}, status.Observation{
		Task: task.Task, Failures: counted, Now: s.Clock.Now(),
		Summary: counted.Summary(task.Task, tally.Query{
			TargetVersion: fwu.Spec.TargetVersion, Devices: fwu.Spec.ListedDevices(),
		}),
	})
	return next, nil
}

// comparison is counts beside each other: what is counted, stored, in the status.
type comparison struct {
	rows [][3]string
	same bool
}

func (c *comparison) add(name string, stored, inStatus int64) {
	c.rows = append(c.rows, [3]string{name, strconv.FormatInt(stored, 10), strconv.FormatInt(inStatus, 10)})
	c.same = c.same && stored == inStatus
}

// compareCounts compares every count of two statuses.
func compareCounts(stored, inStatus v1alpha1.FirmwareUpgradeStatus) *comparison {
	c := &comparison{same: true}
	a, b := stored.Devices, inStatus.Devices
	c.add("expected", a.Expected, b.Expected)
	c.add("unexpected", a.Unexpected, b.Unexpected)
	c.add("succeeded", a.Succeeded, b.Succeeded)
	c.add("failed", a.Failed, b.Failed)
	c.add("in progress", a.InProgress, b.InProgress)
	c.add("pending", a.Pending, b.Pending)
	c.add("suspect", a.Suspect, b.Suspect)
	c.add("recovered", a.Recovered, b.Recovered)
	c.addCauses(stored, inStatus)
	return c
}

// addCauses adds the causes of both, in the order of what is stored.
func (c *comparison) addCauses(stored, inStatus v1alpha1.FirmwareUpgradeStatus) {
	a, b := causeCounts(stored), causeCounts(inStatus)
	for _, causes := range [][]v1alpha1.CauseCount{stored.Details.Causes, inStatus.Details.Causes} {
		for _, cause := range causes {
			name := "cause: " + cause.Cause
			if !slices.ContainsFunc(c.rows, func(row [3]string) bool { return row[0] == name }) {
				c.add(name, a[cause.Cause], b[cause.Cause])
			}
		}
	}
}

func causeCounts(st v1alpha1.FirmwareUpgradeStatus) map[string]int64 {
	counts := map[string]int64{}
	for _, cause := range st.Details.Causes {
		counts[cause.Cause] += cause.Count
	}
	return counts
}

// printComparison prints the counts and ends with a code. The names are last: they may be long.
func (s *session) printComparison(c *comparison, code int) error {
	table := newTable(s.Streams.Out, s.look, false, "STORED", "STATUS", "OK", "COUNT")
	for _, row := range c.rows {
		ok := "yes"
		if row[1] != row[2] {
			ok = "NO"
		}
		if err := table.add(row[1], row[2], ok, row[0]); err != nil {
			return err
		}
	}
	err := table.flush()
	if err != nil {
		return err
	}
	switch code {
	case exitGood:
		err = s.print("The status is what is stored.")
	case exitBad:
		err = s.print("The status is not what is stored.")
	}
	if err != nil {
		return err
	}
	return withCode(code)
}
