// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/sets"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// resultsOptions are the flags of the command results.
type resultsOptions struct {
	failed, suspect, missing bool
	missingFrom              string
	device                   string
	states                   []string
	output                   string
}

func newResultsCommand(s *session) *cobra.Command {
	o := &resultsOptions{}
	cmd := &cobra.Command{
		Use:   "results NAME",
		Short: "Print what every device of an upgrade reported, or which ones reported nothing",
		Long: `Print what every device of an upgrade reported, one line a device, sorted by its id.

Of everything that a device reported its greatest result is printed, as the operator counts it: a success before a
failure before a step. --device prints everything that is stored of one device.

It needs to read the stored results: the ClusterRole fwupgrade-results-viewer, bound in the operator's namespace.`,
		Example: `  kubectl fwupgrade results meters-1.6 --failed -o csv > failed.csv
  kubectl fwupgrade results meters-1.6 --missing-from devices.txt`,
		Args:              oneName,
		ValidArgsFunction: s.completeOneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(oneOf(cmd, "failed", "suspect", "missing", "missing-from", "device", "state"),
				o.validate()); err != nil {
				return usageError(cmd, err)
			}
			return s.results(cmd.Context(), args[0], o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.failed, "failed", false, "only devices that failed and have not succeeded")
	flags.BoolVar(&o.suspect, "suspect", false, "only devices that succeeded with another version than the target")
	flags.BoolVar(&o.missing, "missing", false, "the ids of spec.devices that have reported nothing")
	flags.StringVar(&o.missingFrom, "missing-from", "",
		"the ids in this `file`, one a line (- is standard input), that have reported nothing")
	flags.StringVar(&o.device, "device", "", "everything that is stored of the device with this `id`")
	flags.StringSliceVar(&o.states, "state", nil,
		"only devices in these `states`: "+strings.Join(stateNames(), ", ")+" or InProgress")
	flags.StringVarP(&o.output, "output", "o", formatTable,
		"table, wide (nothing is cut), csv, or json (one object a line)")
	s.addOperatorNamespace(flags)
	_ = cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions(resultFormats(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("state",
		cobra.FixedCompletions(append(stateNames(), stateInProgress), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// stateInProgress stands for all states below a failure.
const stateInProgress = "InProgress"

// stateNames are the states, from the least.
func stateNames() []string {
	return []string{
		string(storage.StateIdle), string(storage.StateDownloading), string(storage.StateDownloaded),
		string(storage.StateUpdating), string(storage.StateFailed), string(storage.StateSucceeded),
	}
}

func (o *resultsOptions) validate() error {
	if !slices.Contains(resultFormats(), o.output) {
		return fmt.Errorf("-o is %q: set it to one of %s", o.output, strings.Join(resultFormats(), ", "))
	}
	for i, name := range o.states {
		known := slices.IndexFunc(append(stateNames(), stateInProgress), func(state string) bool {
			return strings.EqualFold(state, name)
		})
		if known < 0 {
			return fmt.Errorf("--state is %q: it is one of %s, %s", name, strings.Join(stateNames(), ", "), stateInProgress)
		}
		o.states[i] = append(stateNames(), stateInProgress)[known]
	}
	return nil
}

// results reads what is stored of a task, and prints it.
func (s *session) results(ctx context.Context, name string, o *resultsOptions) (err error) {
	c, fwu, err := s.open(ctx, name)
	if err != nil {
		return err
	}
	if o.missing && len(fwu.Spec.ListedDevices()) == 0 {
		return fmt.Errorf("spec.devices of %s is not set, so that nobody can say which devices are missing: "+
			"give a list of them with --missing-from FILE", name)
	}
	expected, err := s.expectedDevices(ctx, fwu, o)
	if err != nil {
		return err
	}
	if expected != nil {
		defer func() { err = errors.Join(err, expected.close()) }()
	}
	task := taskOf(fwu)
	reader, err := s.newSliceReader(ctx, c)
	if err != nil {
		return err
	}
	gathered := s.newResultSorter(o.device != "")
	defer func() { err = errors.Join(err, gathered.close()) }()
	if err := gather(ctx, reader, task, o.device, gathered); err != nil {
		return c.explainSlices(err, reader.namespace)
	}
	if err := task.settle(); err != nil {
		return err
	}
	s.noteUncounted(fwu)
	if expected != nil {
		err = s.printMissing(ctx, expected, gathered, o.output)
	} else {
		err = s.printResults(ctx, fwu, gathered, o)
	}
	if err != nil {
		return err
	}
	return reader.incomplete(exitBad)
}

// noteUncounted says why what is printed may not be what the status counts.
func (s *session) noteUncounted(fwu *v1alpha1.FirmwareUpgrade) {
	if why, is := isNotCounted(fwu); is {
		s.say("note: this FirmwareUpgrade does not count the task, %s", why)
	}
	if fwu.Status.ArchiveTime != nil {
		s.say("note: retention removed the results at %s", rfc3339(fwu.Status.ArchiveTime.Time))
	}
}

// newResultSorter sorts results by device and joins them or, for one device, by arrival, each once.
func (s *session) newResultSorter(ofOneDevice bool) *sorter[result.Result] {
	sorting := &sorter[result.Result]{
		compare: func(a, b result.Result) int { return strings.Compare(a.DeviceID, b.DeviceID) },
		join:    result.Join,
		limit:   s.Limits.MemoryResults, parent: s.TempDir,
	}
	if ofOneDevice {
		sorting.compare = compareStored
		sorting.join = func(a, _ result.Result) result.Result { return a }
	}
	return sorting
}

// gather reads the results of a task, or those of one of its devices.
func gather(
	ctx context.Context, reader *sliceReader, task *wantedTask, device string, into *sorter[result.Result],
) error {
	texts := &interner{}
	return reader.read(ctx, slicesOf(task), func(slice *storage.ResultSlice) error {
		results := reader.unpack(slice)
		for i := range results {
			r := &results[i]
			if !task.has(r) || device != "" && r.DeviceID != device {
				continue
			}
			texts.detach(r)
			if err := into.add(*r); err != nil {
				return err
			}
		}
		return nil
	})
}

// printResults prints results in order.
func (s *session) printResults(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, gathered *sorter[result.Result], o *resultsOptions,
) error {
	target := fwu.Spec.TargetVersion
	if target == "" && o.device == "" { // one device does not tell the target of all
		var err error
		if target, err = commonTarget(ctx, fwu, gathered); err != nil {
			return err
		}
	}
	out := bufio.NewWriter(s.Streams.Out)
	suspects := newSuspects(target)
	printer := s.newResultPrinter(out, o, suspects)
	printed, reported := 0, 0
	for r, err := range gathered.sorted(ctx) {
		if err != nil {
			return err
		}
		reported++
		if !o.wants(&r, suspects) {
			continue
		}
		printed++
		if err := printer.row(&r); err != nil {
			return err
		}
	}
	if err := errors.Join(printer.end(), out.Flush()); err != nil {
		return err
	}
	if printed == 0 {
		s.say("%s", nothingPrinted(reported, o))
	}
	return nil
}

// commonTarget is the version that most devices that the spec lists were to get, or of all where it lists none, as the
// operator's tally has it where the spec names no target.
func commonTarget(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, gathered *sorter[result.Result],
) (string, error) {
	listed := sets.New(fwu.Spec.ListedDevices()...)
	devices := map[string]int64{}
	for r, err := range gathered.sorted(ctx) {
		if err != nil {
			return "", err
		}
		if r.State == storage.StateSucceeded && (listed.Len() == 0 || listed.Has(r.DeviceID)) {
			devices[r.TargetVersion]++
		}
	}
	return tally.CommonTarget(devices), nil
}

// nothingPrinted says why nothing was printed.
func nothingPrinted(reported int, o *resultsOptions) string {
	switch {
	case o.device != "":
		return fmt.Sprintf("Nothing is stored of device %s for this task.", o.device)
	case reported == 0:
		return "No result is stored of this task."
	default:
		return fmt.Sprintf("None of the %d devices that reported matches %s.", reported, o.filter())
	}
}

// filter is the flag that selects devices.
func (o *resultsOptions) filter() string {
	switch {
	case o.failed:
		return "--failed"
	case o.suspect:
		return "--suspect"
	}
	return "--state " + strings.Join(o.states, ",")
}

// wants says whether a result is to be printed.
func (o *resultsOptions) wants(r *result.Result, suspects *suspects) bool {
	switch {
	case o.failed:
		return r.State == storage.StateFailed
	case o.suspect:
		return suspects.has(r)
	case len(o.states) > 0:
		inProgress := result.RankOf(r.State) < result.RankFailed
		return slices.Contains(o.states, string(r.State)) || inProgress && slices.Contains(o.states, stateInProgress)
	}
	return true
}
