// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

const defaultWaitTimeout = time.Hour

func newWaitCommand(s *session) *cobra.Command {
	timeout := defaultWaitTimeout
	cmd := &cobra.Command{
		Use:   "wait NAME...",
		Short: "Wait until upgrades end well, or one goes wrong",
		Long: `Wait until all of the upgrades are Ready, or one of them goes wrong: it ended not Ready, its failure policy is
broken, or it can't be counted. Why is printed to standard error.

Exit codes: 0 all are Ready, 1 one went wrong, 2 not finished when the time was up, 3 it could not be told.`,
		Example: `  kubectl fwupgrade wait meters-1.6 --timeout 48h
  kubectl fwupgrade wait meters-1.6 --timeout 0   # look once`,
		ValidArgsFunction: s.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(cmd, errors.New("name at least one FirmwareUpgrade"))
			}
			if timeout < 0 {
				return usageError(cmd, errors.New("--timeout is below 0: write 0 to look once"))
			}
			return s.wait(cmd.Context(), args, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait (90m, 48h); 0 looks once")
	return cmd
}

func (s *session) wait(ctx context.Context, names []string, timeout time.Duration) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	options := []client.ListOption{client.InNamespace(c.namespace)}
	if len(names) == 1 {
		options = named(c.namespace, names[0])
	}
	waiting := &waiting{session: s, names: names, namespace: c.namespace, said: map[string]bool{}, seen: presence{}}
	err = s.followFor(ctx, c, timeout, s.newFollower(c, 0, s.say, options...), waiting.see)
	if errors.Is(err, errTimedOut) {
		for _, fwu := range waiting.unfinished {
			s.say("%s", sentence(fwu))
		}
		if timeout == 0 {
			return withCode(exitUnfinished) // it was said
		}
		return &exitError{code: exitUnfinished, err: fmt.Errorf("not finished after %s", timeout)}
	}
	return err
}

// followFor follows for a time; with 0 it looks once. It fails with errTimedOut when the time is up, unless nothing at
// all could be read until then: that nobody can tell.
func (s *session) followFor(
	ctx context.Context, c *connection, timeout time.Duration, f *follower, see seeFunc,
) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimedOut)
		defer cancel()
	}
	seen := false
	err := s.follow(ctx, c, f, func(now []*v1alpha1.FirmwareUpgrade) (bool, error) {
		seen = true
		enough, err := see(now)
		if timeout == 0 && !enough && err == nil {
			err = errTimedOut
		}
		return enough, err
	})
	if errors.Is(err, errTimedOut) && !seen {
		return &exitError{code: exitUnknown, err: fmt.Errorf(
			"the API server at %s did not answer within %s", c.host, timeout)}
	}
	return err
}

// follow follows until see has seen enough, and explains what the API server answers.
func (s *session) follow(ctx context.Context, c *connection, f *follower, see seeFunc) error {
	var ended error
	err := f.run(ctx, func(now []*v1alpha1.FirmwareUpgrade) (enough bool, err error) {
		enough, ended = see(now)
		return enough, ended
	})
	if err == nil || ended != nil || ctx.Err() != nil {
		return err
	}
	return c.explainUpgrades(err, "")
}

// waiting is a command wait that is under way.
type waiting struct {
	*session
	names     []string
	namespace string
	said      map[string]bool
	seen      presence
	// unfinished are those that are waited for.
	unfinished []*v1alpha1.FirmwareUpgrade
}

// see looks whether all are good, or one is bad or gone.
func (w *waiting) see(now []*v1alpha1.FirmwareUpgrade) (enough bool, err error) {
	now = slices.DeleteFunc(now, func(fwu *v1alpha1.FirmwareUpgrade) bool { return !slices.Contains(w.names, fwu.Name) })
	if gone, is := w.seen.lost(now); is {
		return true, wasDeleted(gone.Name)
	}
	w.unfinished = nil
	for _, name := range w.names {
		i := slices.IndexFunc(now, func(fwu *v1alpha1.FirmwareUpgrade) bool { return fwu.Name == name })
		if i < 0 {
			return true, notFound(name, w.namespace)
		}
		switch codeOf(now[i]) {
		case exitBad:
			return true, &exitError{code: exitBad, err: errors.New(sentence(now[i]))}
		case exitUnfinished:
			w.unfinished = append(w.unfinished, now[i])
		case exitGood:
			if !w.said[name] {
				w.said[name] = true
				if err := w.print("%s", sentence(now[i])); err != nil {
					return true, err
				}
			}
		}
	}
	return len(w.unfinished) == 0, nil
}

// wasDeleted is the error of a FirmwareUpgrade that is not there any more.
func wasDeleted(name string) error {
	return &exitError{code: exitUnknown, err: fmt.Errorf("firmwareupgrade %q was deleted", name)}
}

// notFound is the error of a FirmwareUpgrade that is not there.
func notFound(name, namespace string) error {
	return &exitError{code: exitUnknown, err: fmt.Errorf(
		"firmwareupgrade %q not found in namespace %q (kubectl get firmwareupgrades -A lists all)", name, namespace)}
}
