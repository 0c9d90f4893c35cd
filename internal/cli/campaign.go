// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/status"
)

// campaignOptions are the flags of the command campaign.
type campaignOptions struct {
	selector         string
	all, wait, watch bool
	timeout          time.Duration
}

func newCampaignCommand(s *session) *cobra.Command {
	o := &campaignOptions{timeout: defaultWaitTimeout}
	cmd := &cobra.Command{
		Use:   "campaign -l SELECTOR",
		Short: "Show many upgrades as one, with one exit code",
		Long: `Show many upgrades, selected by their labels, as one: the totals, and a table of those that are not Ready, the
worst first.

Exit codes: 0 all are Ready, 1 one went wrong, 2 none went wrong and one is not finished, 3 it could not be told, also
if no upgrade has the labels.

--wait waits as the command wait does, until all are Ready or one goes wrong. --watch shows them until none is
unfinished. Both end with 3 when one is deleted or loses the labels meanwhile, unless one went wrong.`,
		Example: `  kubectl fwupgrade campaign -l campaign=meters-1.6 -A
  kubectl fwupgrade campaign -l campaign=meters-1.6 --wait --timeout 48h`,
		Args:              arguments(cobra.NoArgs),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			selector, err := labels.Parse(o.selector)
			switch exclusive := oneOf(cmd, "wait", "watch"); {
			case exclusive != nil:
				return usageError(cmd, exclusive)
			case o.selector == "":
				return usageError(cmd, errors.New("-l is missing: name the labels of the upgrades"))
			case err != nil:
				return usageError(cmd, fmt.Errorf("-l is %q: %w", o.selector, err))
			case o.timeout < 0:
				return usageError(cmd, errors.New("--timeout is below 0: write 0 to look once"))
			}
			return s.campaign(cmd.Context(), selector, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.selector, "selector", "l", "", "labels of the upgrades, as kubectl get has them")
	flags.BoolVarP(&o.all, "all-namespaces", "A", false, "upgrades of all namespaces")
	flags.BoolVarP(&o.watch, "watch", "w", false, "follow them until none is unfinished")
	flags.BoolVar(&o.wait, "wait", false, "wait until all are Ready, or one goes wrong")
	flags.DurationVar(&o.timeout, "timeout", o.timeout, "how long to wait, with --wait or --watch (90m, 48h)")
	return cmd
}

func (s *session) campaign(ctx context.Context, selector labels.Selector, o *campaignOptions) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	options := []client.ListOption{client.MatchingLabelsSelector{Selector: selector}}
	where := "in any namespace"
	if !o.all {
		options = append(options, client.InNamespace(c.namespace))
		where = fmt.Sprintf("in namespace %q", c.namespace)
	}
	timeout := o.timeout
	if !o.wait && !o.watch {
		timeout = 0
	}
	screen := s.newScreen()
	var last *campaign
	seen := presence{}
	see := func(now []*v1alpha1.FirmwareUpgrade) (bool, error) {
		last = newCampaign(now)
		last.ofAll = o.all
		gone, lost := seen.lost(now)
		switch {
		case lost && last.code() != exitBad: // nobody knows how it went
			return true, &exitError{code: exitUnknown, err: fmt.Errorf(
				"firmwareupgrade %q was deleted, or does not have the labels %s any more", gone, selector)}
		case len(now) == 0:
			return true, &exitError{code: exitUnknown, err: fmt.Errorf(
				"no FirmwareUpgrade %s has the labels %s", where, selector)}
		case o.watch:
			return last.codes[exitUnfinished] == 0, s.drawCampaign(screen, last)
		}
		return last.code() != exitUnfinished, nil
	}
	err = s.followFor(ctx, c, timeout, s.newFollower(c, 0, screen.note, options...), see)
	if err != nil && !errors.Is(err, errTimedOut) {
		return err
	}
	if !screen.isDrawn() {
		if err := s.printCampaign(last); err != nil {
			return err
		}
	}
	return withCode(last.code())
}

// campaign is many FirmwareUpgrades as one.
type campaign struct {
	upgrades   []*v1alpha1.FirmwareUpgrade
	namespaces map[string]bool
	phases     map[v1alpha1.Phase]int
	codes      map[int]int
	devices    v1alpha1.DeviceCounts
	done, of   int64
	// ofAll says that they may be of any namespace.
	ofAll bool
	// open is how many don't say how many devices they have.
	open int
}

func newCampaign(upgrades []*v1alpha1.FirmwareUpgrade) *campaign {
	c := &campaign{
		upgrades: upgrades, namespaces: map[string]bool{}, phases: map[v1alpha1.Phase]int{}, codes: map[int]int{},
	}
	for _, fwu := range upgrades {
		c.namespaces[fwu.Namespace] = true
		c.phases[phaseOf(fwu)]++
		c.codes[codeOf(fwu)]++
		d, of := fwu.Status.Devices, &c.devices
		of.Expected += d.Expected
		of.Unexpected += d.Unexpected
		of.Succeeded += d.Succeeded
		of.Failed += d.Failed
		of.InProgress += d.InProgress
		of.Pending += d.Pending
		of.Suspect += d.Suspect
		of.Recovered += d.Recovered
		done, expected, known := status.Done(fwu)
		c.done += done
		c.of += expected
		if !known {
			c.open++
		}
	}
	return c
}

// code is the exit code of all: bad if one is bad, else unfinished if one is.
func (c *campaign) code() int {
	switch {
	case c.codes[exitBad] > 0:
		return exitBad
	case c.codes[exitUnfinished] > 0:
		return exitUnfinished
	default:
		return exitGood
	}
}

// worst are those that are not Ready: the bad ones first, then those with the most failed devices.
func (c *campaign) worst() []*v1alpha1.FirmwareUpgrade {
	var worst []*v1alpha1.FirmwareUpgrade
	for _, fwu := range c.upgrades {
		if codeOf(fwu) != exitGood {
			worst = append(worst, fwu)
		}
	}
	slices.SortStableFunc(worst, func(a, b *v1alpha1.FirmwareUpgrade) int {
		return cmp.Or(
			cmp.Compare(codeOf(a), codeOf(b)), // bad is below unfinished
			cmp.Compare(b.Status.Devices.Failed+b.Status.Devices.Suspect, a.Status.Devices.Failed+a.Status.Devices.Suspect),
		)
	})
	return worst
}

// totals are the lines above the table.
func (s *session) totals(c *campaign) []string {
	var phases []string
	for _, phase := range []v1alpha1.Phase{
		v1alpha1.PhaseFailed, v1alpha1.PhaseStalled, v1alpha1.PhasePartiallySucceeded, v1alpha1.PhaseRunning,
		v1alpha1.PhasePending, v1alpha1.PhaseSucceeded,
	} {
		if n := c.phases[phase]; n > 0 {
			phases = append(phases, fmt.Sprintf("%d %s", n, phase))
		}
	}
	upgrades := fmt.Sprintf("%d (%d Ready, %d wrong, %d not finished)",
		len(c.upgrades), c.codes[exitGood], c.codes[exitBad], c.codes[exitUnfinished])
	if len(c.namespaces) > 1 {
		upgrades += fmt.Sprintf(" in %d namespaces", len(c.namespaces))
	}
	lines := s.labelled("Upgrades:", upgrades)
	lines = append(lines, s.labelled("Phases:", strings.Join(phases, ", "))...)
	if c.open == 0 {
		lines = append(lines, pad("Progress:", labelColumns)+s.look.bar(c.devices)+" "+
			fmt.Sprintf("%3d %%, %d of %d done", percent(c.done, c.of), c.done, c.of))
	} else {
		lines = append(lines, s.labelled("Progress:", fmt.Sprintf(
			"%d done; %d upgrades don't know how many devices they have", c.done, c.open))...)
	}
	return append(lines, s.countLines(c.devices)...)
}

// campaignTable is the table of those that are not Ready, at most so many; 0 for all.
func (s *session) campaignTable(c *campaign, limit int) ([]string, error) {
	worst := c.worst()
	shown := worst
	if limit > 0 {
		shown = worst[:min(limit, len(worst))]
	}
	var text strings.Builder
	header := []string{"NAMESPACE", "NAME", "PHASE", "STALLED", "PROGRESS", "FAILED", "REASON"}
	from := 1 // the namespace is left out where it is that of the command
	if c.ofAll {
		from = 0
	}
	table := newTable(&text, s.look, false, header[from:]...)
	for _, fwu := range shown {
		cells := []string{
			fwu.Namespace, fwu.Name, string(phaseOf(fwu)), string(condition(fwu, v1alpha1.ConditionStalled)),
			fwu.Status.Progress, fmt.Sprint(fwu.Status.Devices.Failed), fwu.Status.Reason,
		}
		if err := table.add(cells[from:]...); err != nil {
			return nil, err
		}
	}
	if err := table.flush(); err != nil || text.Len() == 0 {
		return nil, err
	}
	lines := append([]string{""}, strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")...)
	if more := len(worst) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines, nil
}

func (s *session) printCampaign(c *campaign) error {
	rows, err := s.campaignTable(c, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Streams.Out, strings.Join(append(s.totals(c), rows...), "\n"))
	return err
}

// drawCampaign draws on a terminal, and writes a line for each change elsewhere.
func (s *session) drawCampaign(screen *screen, c *campaign) error {
	screen.measure()
	lines := s.totals(c)
	const around = 4 // a blank line, the header, "and 3 more", the cursor's line
	if rows, err := s.campaignTable(c, max(1, s.look.height-len(lines)-around)); err == nil {
		lines = append(lines, rows...)
	}
	if screen.fits(lines) {
		return screen.draw(lines)
	}
	return screen.line(fmt.Sprintf("%d Ready, %d wrong, %d not finished; devices: %d succeeded, %d failed, %d to come",
		c.codes[exitGood], c.codes[exitBad], c.codes[exitUnfinished],
		c.devices.Succeeded, c.devices.Failed, c.devices.InProgress+c.devices.Pending), s.Clock.Now())
}
