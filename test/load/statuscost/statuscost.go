// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package statuscost measures what a write of the status of one FirmwareUpgrade costs the API server: the CRD of the
// first version, the one of today and, if wanted, variants of it, all in one run, taking turns. It needs no operator.
package statuscost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"fwupgrade.io/operator/hack/local"
)

// Command is the first argument of the bench that runs this part.
const Command = "status-cost"

// Target is how much a full status may cost, as a fraction of what it cost in the first version.
const Target = 0.5

// options are the flags.
type options struct {
	objects, writers, rounds, devices int
	turn                              time.Duration
	variants                          []string
	jsonFile                          string
}

func parse(args []string) (*options, error) {
	o := &options{}
	fs := pflag.NewFlagSet("bench "+Command, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.IntVar(&o.objects, "objects", 60, "FirmwareUpgrades of each side")
	fs.IntVar(&o.writers, "writers", 3, "how many write at a time, each its own objects")
	fs.IntVar(&o.rounds, "rounds", 15, "how often each side has its turn with each status")
	fs.DurationVar(&o.turn, "turn", time.Second,
		"how long a turn takes: short ones, so that what disturbs one side disturbs the others")
	fs.IntVar(&o.devices, "spec-devices", 0, "devices that the spec names; 0 for a spec with expectedDevices")
	fs.StringArrayVar(&o.variants, "variant", nil,
		"title=file: a changed copy of today's CRD as a side of its own, to see what the change would cost; may be repeated")
	fs.StringVar(&o.jsonFile, "json", "", "file that gets everything that was measured, as JSON")
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	var problems []error
	if fs.NArg() > 0 {
		problems = append(problems, fmt.Errorf("unexpected argument %q: every option begins with --", fs.Arg(0)))
	}
	if o.writers < 1 || o.objects < o.writers || o.rounds < 1 || o.turn <= 0 || o.devices < 0 || o.devices > 1000 {
		problems = append(problems, errors.New("--writers, --rounds and --turn must be greater than 0, --objects at least "+
			"--writers, --spec-devices from 0 to 1000"))
	}
	for _, variant := range o.variants {
		if title, file, ok := strings.Cut(variant, "="); !ok || title == "" || file == "" {
			problems = append(problems, fmt.Errorf("--variant=%s must be title=file", variant))
		}
	}
	return o, errors.Join(problems...)
}

// Report is what was measured.
type Report struct {
	Sides []SideReport `json:"sides"`
}

// SideReport is what was measured of one CRD.
type SideReport struct {
	Title string `json:"title"`
	// Full and Small are the milliseconds of CPU of the API server for a write, round by round, FullKiB and SmallKiB what
	// it allocated.
	Full     []float64 `json:"fullMs"`
	Small    []float64 `json:"smallMs"`
	FullKiB  []float64 `json:"fullAllocatedKiB"`
	SmallKiB []float64 `json:"smallAllocatedKiB"`
	// FullBytes and SmallBytes are how large the status is.
	FullBytes  int `json:"fullBytes"`
	SmallBytes int `json:"smallBytes"`
}

// add takes what was measured in a round.
func (s *SideReport) add(full, small cost) {
	s.Full, s.FullKiB = append(s.Full, full.milliseconds), append(s.FullKiB, full.kib)
	s.Small, s.SmallKiB = append(s.Small, small.milliseconds), append(s.SmallKiB, small.kib)
}

// Ratio returns what a write of the full status costs a side compared with the first version: the median over the
// rounds of the ratios of one round, and the least and the greatest of them.
func (r *Report) Ratio(i int) (ratio, low, high float64) {
	return ratioOf(r.Sides[i].Full, r.Sides[0].Full)
}

func ratioOf(values, base []float64) (ratio, low, high float64) {
	var ratios []float64
	for n := range min(len(values), len(base)) {
		if base[n] > 0 {
			ratios = append(ratios, values[n]/base[n])
		}
	}
	if len(ratios) == 0 {
		return 0, 0, 0
	}
	return median(ratios), slices.Min(ratios), slices.Max(ratios)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Run measures and writes a table; with --json everything. Progress goes to log.
func Run(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	sides, err := sidesOf(o)
	if err != nil {
		return err
	}
	r, err := measure(ctx, o, sides, log)
	if err != nil {
		return err
	}
	return errors.Join(r.write(out), r.writeFile(o.jsonFile))
}

// measure starts a control plane with the CRD of every side and gives the sides their turns.
func measure(ctx context.Context, o *options, sides []*side, log io.Writer) (_ *Report, err error) {
	dir, err := os.MkdirTemp("", "fwupgrade-status-cost-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the CRDs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, s := range sides {
		if err := os.WriteFile(filepath.Join(dir, s.group+".yaml"), s.crd, 0o600); err != nil {
			return nil, fmt.Errorf("write a CRD: %w", err)
		}
	}
	fmt.Fprintln(log, "Starting the control plane")
	cluster, err := local.Start(ctx, local.Options{
		CRDPaths: []string{dir}, EtcdArgs: map[string][]string{"unsafe-no-fsync": {"false"}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	r := &Report{Sides: make([]SideReport, len(sides))}
	for i, s := range sides {
		if err := s.create(ctx, cluster, o); err != nil {
			return nil, fmt.Errorf("%s: %w", s.title, err)
		}
		r.Sides[i] = SideReport{Title: s.title, FullBytes: len(s.encoded(full, 0)), SmallBytes: len(s.encoded(small, 0))}
	}
	m, err := newMeter(ctx, cluster)
	if err != nil {
		return nil, err
	}
	for _, s := range sides { // not measured: what is compiled and cached at the first write
		if err := s.check(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.title, err)
		}
		for _, size := range []size{full, small} {
			if _, err := s.takeTurn(ctx, o, size); err != nil {
				return nil, fmt.Errorf("%s: %w", s.title, err)
			}
		}
	}
	for round := range o.rounds {
		for i, s := range sides {
			full, err := m.measure(ctx, func() (int, error) { return s.takeTurn(ctx, o, full) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.title, err)
			}
			small, err := m.measure(ctx, func() (int, error) { return s.takeTurn(ctx, o, small) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.title, err)
			}
			r.Sides[i].add(full, small)
			fmt.Fprintf(log, "Round %d of %d, %s: full %.1f ms, %.0f KiB, small %.1f ms, %.0f KiB\n",
				round+1, o.rounds, s.title, full.milliseconds, full.kib, small.milliseconds, small.kib)
		}
	}
	return r, nil
}

// write writes the medians for people.
func (r *Report) write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "\nWhat a write of a status costs the API server: medians and ranges of the rounds. Ratios to\n"+
		"the first version are medians of those of each round. What is allocated does not depend on how fast the\n"+
		"machine is today.\n\n")
	fmt.Fprintln(table, "\t\tCPU, ms\t\tof the first\tallocated, KiB\tof the first\tstatus, bytes\t")
	for i, s := range r.Sides {
		for _, of := range []struct {
			title           string
			cpu, first      []float64
			kib, kibOfFirst []float64
			bytes           int
		}{
			{"full", s.Full, r.Sides[0].Full, s.FullKiB, r.Sides[0].FullKiB, s.FullBytes},
			{"small", s.Small, r.Sides[0].Small, s.SmallKiB, r.Sides[0].SmallKiB, s.SmallBytes},
		} {
			ratio, _, _ := ratioOf(of.cpu, of.first)
			kibRatio, _, _ := ratioOf(of.kib, of.kibOfFirst)
			fmt.Fprintf(table, "%s\t%s\t%.1f\t(%.1f–%.1f)\t%.2f\t%.0f\t%.2f\t%d\t\n", r.Sides[i].Title, of.title,
				median(of.cpu), slices.Min(of.cpu), slices.Max(of.cpu), ratio, median(of.kib), kibRatio, of.bytes)
		}
	}
	ratio, low, high := r.Ratio(sideToday)
	fmt.Fprintf(table, "\n%s: a full status costs %.2f × (%.2f–%.2f) the first version's CPU; target ≤ %g ×\n",
		map[bool]string{true: "met", false: "missed"}[ratio <= Target], ratio, low, high, Target)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func (r *Report) writeFile(path string) error {
	if path == "" {
		return nil
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
