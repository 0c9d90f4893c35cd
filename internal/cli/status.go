// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/status"
)

const (
	// shownCauses is how many causes are shown.
	shownCauses = 5
	// labelColumns is how wide the names of the lines are.
	labelColumns = 14
	// watchRefresh is how often ages are drawn anew.
	watchRefresh = 2 * time.Second
)

func newStatusCommand(s *session) *cobra.Command {
	follow := false
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Show how far an upgrade is, why devices failed, and what it waits for",
		Long: `Show how far an upgrade is, why devices failed, and what it waits for and until when.

With --watch it is shown until it ends or somebody has to act: on a terminal as a picture that is drawn anew, else as
a line for each change. Then the exit code is that of wait: 0 it is Ready, 1 it went wrong.`,
		Args:              oneName,
		ValidArgsFunction: s.completeOneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow {
				return s.watchStatus(cmd.Context(), args[0])
			}
			return s.showStatus(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "follow it until it ends, or somebody has to act")
	return cmd
}

func (s *session) showStatus(ctx context.Context, name string) error {
	_, fwu, err := s.open(ctx, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Streams.Out, strings.Join(s.statusLines(fwu, s.Clock.Now()), "\n"))
	return err
}

// watchStatus shows a FirmwareUpgrade as it changes, until it is good or bad.
func (s *session) watchStatus(ctx context.Context, name string) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	code, seen := exitUnfinished, presence{}
	screen := s.newScreen()
	see := func(now []*v1alpha1.FirmwareUpgrade) (bool, error) {
		if gone, is := seen.lost(now); is {
			return true, wasDeleted(gone.Name)
		}
		if len(now) == 0 {
			return true, notFound(name, c.namespace)
		}
		code = codeOf(now[0])
		return code != exitUnfinished, s.drawStatus(screen, now[0])
	}
	follower := s.newFollower(c, screen.refresh(), screen.note, named(c.namespace, name)...)
	if err := s.follow(ctx, c, follower, see); err != nil {
		return err
	}
	return withCode(code)
}

// drawStatus draws on a terminal, and writes a line for each change elsewhere.
func (s *session) drawStatus(screen *screen, fwu *v1alpha1.FirmwareUpgrade) error {
	screen.measure()
	if lines := s.statusLines(fwu, s.Clock.Now()); screen.fits(lines) {
		return screen.draw(lines)
	}
	return screen.line(progressLine(fwu), s.Clock.Now())
}

// progressLine is what is told of a change where nothing can be drawn.
func progressLine(fwu *v1alpha1.FirmwareUpgrade) string {
	return fmt.Sprintf("%s %s: %s", phaseOf(fwu), fwu.Status.Progress, messageOf(fwu))
}

// statusLines is a FirmwareUpgrade for people.
func (s *session) statusLines(fwu *v1alpha1.FirmwareUpgrade, now time.Time) []string {
	st := fwu.Status
	var lines []string
	add := func(label, text string) { lines = append(lines, s.labelled(label, text)...) }
	add("Name:", fwu.Name)
	add("Namespace:", fwu.Namespace)
	add("Task:", taskLine(fwu))
	if fwu.Spec.TargetVersion != "" {
		add("Target:", fwu.Spec.TargetVersion)
	} else {
		add("Target:", "the version that most results name")
	}
	add("Phase:", phaseLine(fwu))
	lines = append(lines, s.progressLines(fwu)...)
	lines = append(lines, s.countLines(st.Devices)...)
	lines = append(lines, s.causeLines(st.Details.Causes)...)
	lines = append(lines, s.platformLines(fwu)...)
	if st.LastResultTime != nil {
		add("Last result:", age(now, st.LastResultTime.Time)+" ago")
	} else {
		add("Last result:", "none yet")
	}
	switch {
	case st.CompletionTime != nil:
		add("Finished:", rfc3339(st.CompletionTime.Time))
	default:
		add("Deadline:", deadlineLine(status.Deadline(fwu, st), now))
	}
	add("Message:", messageOf(fwu))
	return lines
}

// phaseLine is the phase with why somebody has to act, if that is not the phase itself, and whether the upgrade is
// good.
func phaseLine(fwu *v1alpha1.FirmwareUpgrade) string {
	text := string(phaseOf(fwu))
	stalled := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionStalled)
	if stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason != text {
		text = strings.TrimPrefix(text+", Stalled: "+stalled.Reason, "Stalled, ")
	}
	text += fmt.Sprintf(" (Ready is %s)", condition(fwu, v1alpha1.ConditionReady))
	if fwu.Status.ObservedGeneration > 0 && fwu.Status.ObservedGeneration < fwu.Generation {
		text += ", all of an older spec"
	}
	return text
}

// taskLine names the task, once there is one.
func taskLine(fwu *v1alpha1.FirmwareUpgrade) string {
	task := cmp.Or(fwu.OperationID(), "not created yet")
	application := fwu.Spec.AppID
	if application == "" {
		application = fwu.Status.AppID
	}
	if application == "" {
		return task
	}
	return task + ", application " + application
}

func deadlineLine(deadline, now time.Time) string {
	if left := deadline.Sub(now); left > 0 {
		return rfc3339(deadline) + ", in " + age(deadline, now)
	}
	return rfc3339(deadline) + ", " + age(now, deadline) + " ago"
}

// progressLines are the bar and how many are done, where the number of devices is known.
func (s *session) progressLines(fwu *v1alpha1.FirmwareUpgrade) []string {
	done, of, known := status.Done(fwu)
	if !known {
		return s.labelled("Progress:", fmt.Sprintf("%d done; how many are expected is not known", done))
	}
	text := fmt.Sprintf("%3d %%, %d of %d done", percent(done, of), done, of)
	return []string{pad("Progress:", labelColumns) + s.look.bar(fwu.Status.Devices) + " " + text}
}

func (s *session) countLines(c v1alpha1.DeviceCounts) []string {
	var of []string
	if c.Recovered > 0 {
		of = append(of, fmt.Sprintf("%d recovered from a failure", c.Recovered))
	}
	if c.Suspect > 0 {
		of = append(of, fmt.Sprintf("%d suspect: not the target version", c.Suspect))
	}
	succeeded := fmt.Sprint(c.Succeeded)
	if len(of) > 0 {
		succeeded += " (" + strings.Join(of, ", ") + ")"
	}
	var lines []string
	for _, line := range [][2]string{
		{"Succeeded:", succeeded}, {"Failed:", fmt.Sprint(c.Failed)},
		{"In progress:", fmt.Sprint(c.InProgress)}, {"Pending:", fmt.Sprint(c.Pending)},
	} {
		lines = append(lines, s.labelled(line[0], line[1])...)
	}
	if c.Unexpected > 0 {
		lines = append(lines, s.labelled("Unexpected:", fmt.Sprintf("%d, which are counted above", c.Unexpected))...)
	}
	return lines
}

// causeLines are the most frequent causes; the others are added up.
func (s *session) causeLines(causes []v1alpha1.CauseCount) []string {
	var lines []string
	label := "Causes:"
	add := func(count int64, text string) {
		text = s.look.cut(s.look.clean(text), s.look.width-labelColumns-9)
		lines = append(lines, fmt.Sprintf("%s%7d  %s", pad(label, labelColumns), count, text))
		label = ""
	}
	var others int64
	for i, cause := range causes {
		if i < shownCauses {
			add(cause.Count, cause.Cause)
		} else {
			others += cause.Count
		}
	}
	if others > 0 {
		add(others, "for other causes")
	}
	return lines
}

// platformLines are the platform's own figures, how many results had to be asked for, and whether the counts agree;
// none where no IoTApplication is.
func (s *session) platformLines(fwu *v1alpha1.FirmwareUpgrade) []string {
	var lines []string
	if p := fwu.Status.Platform; p != nil {
		text := fmt.Sprintf("%d succeeded, %d failed", p.Succeeded, p.Failed+p.Stopped)
		if left := p.Waiting + p.Processing; left > 0 {
			text += fmt.Sprintf(", %d to come", left)
		}
		text += fmt.Sprintf(", of %d", p.Total)
		if p.Repaired > 0 {
			text += fmt.Sprintf("; results asked for: %d", p.Repaired)
		}
		lines = append(lines, s.labelled("Platform:", text)...)
	}
	if c := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionSynced); c != nil {
		text := fmt.Sprintf("%s (%s)", c.Status, c.Reason)
		if c.Message != "" && !strings.Contains(messageOf(fwu), c.Message) { // a known difference is said there, too
			text += ": " + c.Message
		}
		lines = append(lines, s.labelled("Synced:", text)...)
	}
	return lines
}

// labelled is a line with a name, and as many more as the text needs.
func (s *session) labelled(label, text string) []string {
	lines := wrap(s.look.clean(text), s.look.width-labelColumns)
	for i := range lines {
		lines[i] = pad(label, labelColumns) + lines[i]
		label = ""
	}
	return lines
}
