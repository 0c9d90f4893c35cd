// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the kubectl plugin `kubectl fwupgrade`: it shows FirmwareUpgrades and what is stored of them, waits
// for them and checks them. It only reads from the cluster.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
)

// Options is what the process gives to the commands.
type Options struct {
	// Streams are standard input, output and error.
	Streams genericiooptions.IOStreams
	// Clock tells the age of things.
	Clock clock.WithTicker
	// Getenv reads the environment: the locale, NO_COLOR, COLUMNS and CALLBACK_URL.
	Getenv func(string) string
	// TempDir is where results go that are too many for the memory; empty for the system's folder.
	TempDir string
	// Version is what the binary was built from.
	Version string
	// Limits bound the memory.
	Limits Limits
}

// Limits bound the memory of the commands; the zero value takes the defaults.
type Limits struct {
	// PageSlices is how many slices are read at a time; default 50, some 13 MB as they are sent.
	PageSlices int64
	// MemoryResults is how many results are held in memory; more go to files. Default 200,000, some 100 MB.
	MemoryResults int
}

const (
	defaultPageSlices    = 50
	defaultMemoryResults = 200_000
)

// session is what the commands share.
type session struct {
	Options
	flags *genericclioptions.ConfigFlags
	// look is how the output may look, and terminal what it goes to, without the output around it.
	look     look
	terminal io.Writer
	// operatorNamespace is where the slices are; empty to ask the ResultStore.
	operatorNamespace string
}

// Run runs the command of the arguments and returns the code with which the process is to end.
func Run(ctx context.Context, args []string, o Options) int {
	s := newSession(o)
	root := newRootCommand(s)
	root.SetArgs(args)
	return s.exitCode(ctx, root.ExecuteContext(ctx))
}

func newSession(o Options) *session {
	if o.Limits.PageSlices <= 0 {
		o.Limits.PageSlices = defaultPageSlices
	}
	if o.Limits.MemoryResults <= 0 {
		o.Limits.MemoryResults = defaultMemoryResults
	}
	s := &session{Options: o, flags: genericclioptions.NewConfigFlags(true), terminal: o.Streams.Out}
	s.look = lookOf(s.terminal, o.Getenv)
	s.Streams.Out = output{s.terminal}
	return s
}

func newRootCommand(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-fwupgrade",
		Short: "Follow firmware upgrades, and read what their devices reported",
		Long: `Follow firmware upgrades, and read what their devices reported.

Exit codes of all commands:
  0  good: what was asked for is so, or was printed
  1  bad: an upgrade went wrong, the counts differ, a push was not recorded, or
     not everything could be read
  2  not finished yet
  3  could not be told: wrong usage, not found, not allowed, no answer`,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl fwupgrade"},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := noneEmpty(cmd); err != nil {
				return usageError(cmd, err)
			}
			return nil
		},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(s.Streams.In)
	root.SetOut(s.Streams.Out)
	root.SetErr(s.Streams.ErrOut)
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	s.flags.AddFlags(root.PersistentFlags())
	root.AddCommand(
		newStatusCommand(s), newResultsCommand(s), newRejectedCommand(s), newVerifyCommand(s), newCampaignCommand(s),
		newWaitCommand(s), newVersionCommand(s),
	)
	return root
}

// usageTemplate leaves kubectl's own flags out, as kubectl does: they fill a page.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Available Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if and .HasParent .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}

The flags by which kubectl connects (--context, --namespace, --as and so on) work, too: see "kubectl options".
`

// usageError says what is wrong with the arguments, and where to read on.
func usageError(cmd *cobra.Command, err error) error {
	return &exitError{code: exitUnknown, err: fmt.Errorf("%w\nSee '%s --help'", err, cmd.CommandPath())}
}

// arguments makes what cobra says about the number of arguments a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
}

// oneOf says which flags exclude each other and were given together; nil if at most one was.
func oneOf(cmd *cobra.Command, names ...string) error {
	given := ""
	for _, name := range names {
		switch {
		case !cmd.Flags().Changed(name):
		case given != "":
			return fmt.Errorf("--%s and --%s exclude each other: give one of them", given, name)
		default:
			given = name
		}
	}
	return nil
}

// noneEmpty says which flag was given without a value, as by a variable of a script that is not set: it would be taken
// for none, and all would be printed instead of a part. Those of kubectl may be empty, as in kubectl.
func noneEmpty(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		ofKubectl := cmd.Root().PersistentFlags().Lookup(flag.Name) != nil
		if value := flag.Value.String(); !ofKubectl && (value == "" || value == "[]") {
			err = errors.Join(err, fmt.Errorf("--%s is empty: give it a value, or leave it out", flag.Name))
		}
	})
	return err
}

// oneName is the arguments of a command about one FirmwareUpgrade.
func oneName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError(cmd, fmt.Errorf("name one FirmwareUpgrade, not %d", len(args)))
	}
	return nil
}

func newVersionCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version of this plugin",
		Args:              arguments(cobra.NoArgs),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(s.Streams.Out, "kubectl-fwupgrade %s (%s, %s/%s)\n",
				s.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
