// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// replayOptions are the flags of the command rejected replay.
type replayOptions struct {
	since    string
	dryRun   bool
	callback callbackOptions
}

func newReplayCommand(s *session) *cobra.Command {
	o := &replayOptions{}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Push notifications again that could not be used",
		Long: `Push notifications again that could not be used, when the reason has gone: the oldest first, each once, one
after the other, byte for byte as they came. Those of which only the beginning is kept are left out.

The callback's URL is a secret. It is read from a file or from the variable CALLBACK_URL, and never printed.

What is pushed again counts as received now. What it was rejected as stays stored: give --since to leave out what was
pushed again before. It ends at the first answer that says that the URL is wrong.`,
		Example: `  kubectl fwupgrade rejected replay --since 2h --callback-url-file url.txt --dry-run
  kubectl fwupgrade rejected replay --since 2h --callback-url-file url.txt`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 { // not what they are: one may be the URL
				return usageError(cmd, errors.New("replay takes flags only"))
			}
			from, err := parseSince(o.since, s.Clock.Now())
			if err != nil {
				return usageError(cmd, err)
			}
			return s.replay(cmd.Context(), from, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.since, "since", "", sinceUsage)
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what would be pushed, and push nothing")
	flags.StringVar(&o.callback.urlFile, "callback-url-file", "",
		"`file` with the callback's URL (- is standard input); without it the variable CALLBACK_URL is taken")
	flags.StringVar(&o.callback.caFile, "callback-ca-file", "", "`file` with the CA of the callback's certificate, as PEM")
	flags.BoolVar(&o.callback.insecure, "callback-insecure-skip-tls-verify", false,
		"do not check the callback's certificate: whoever is in between can read the secret")
	s.addOperatorNamespace(flags)
	return cmd
}

// replayed counts what became of the notifications.
type replayed struct{ recorded, rejected, ignored, failed, cut, left int }

func (s *session) replay(ctx context.Context, since time.Time, o *replayOptions) error {
	var to *callback
	if !o.dryRun {
		var err error
		if to, err = s.newCallback(ctx, &o.callback); err != nil {
			return err
		}
		defer to.close()
	}
	rejected, err := s.readRejected(ctx, since)
	if err != nil {
		return err
	}
	var counts replayed
	for i := range rejected {
		goesOn, err := s.replayOne(ctx, to, &rejected[i], &counts)
		if err != nil {
			return err
		}
		if !goesOn {
			counts.left = len(rejected) - i - 1
			break
		}
	}
	if err := s.print("%s", counts.summary(o.dryRun)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if counts.failed+counts.rejected+counts.ignored > 0 {
		return withCode(exitBad)
	}
	return nil
}

// replayOne pushes one, unless the callback is nil, and says whether the others are to follow.
func (s *session) replayOne(
	ctx context.Context, to *callback, r *storage.RejectedNotification, counts *replayed,
) (goesOn bool, err error) {
	at := rfc3339(r.ReceiveTime.Time)
	switch {
	case isCut(r):
		counts.cut++
		return true, s.print("%s  left out: only %d of its %d bytes are kept", at, len(bytesOf(r)), r.BodyBytes)
	case to == nil:
		counts.left++
		return true, s.print("%s  would be pushed, %d bytes: %s", at, len(bytesOf(r)), r.Reason)
	}
	got := to.push(ctx, r)
	counts.count(got)
	if err := s.print("%s  %s", at, got); err != nil {
		return false, err
	}
	interrupted := ctx.Err() != nil
	if got.final() && !interrupted {
		s.say("The rest would be answered alike, so it was not pushed.")
	}
	return !got.final() && !interrupted, nil
}

func (c *replayed) count(got pushAnswer) {
	switch {
	case got.status != http.StatusOK:
		c.failed++
	case got.result == "recorded":
		c.recorded++
	case got.result == "rejected":
		c.rejected++
	case got.result == "ignored":
		c.ignored++
	default:
		c.failed++
	}
}

func (c *replayed) summary(dryRun bool) string {
	if dryRun {
		return fmt.Sprintf("%d would be pushed again, %d left out.", c.left, c.cut)
	}
	text := fmt.Sprintf("%d pushed again: %d recorded", c.recorded+c.rejected+c.ignored+c.failed, c.recorded)
	for _, part := range []struct {
		n    int
		what string
	}{
		{c.rejected, "rejected again"}, {c.ignored, "ignored"}, {c.failed, "failed"}, {c.cut, "left out"},
		{c.left, "not pushed"},
	} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text + "."
}

// push pushes one notification.
func (c *callback) push(ctx context.Context, r *storage.RejectedNotification) pushAnswer {
	return c.post(ctx, bytesOf(r), r.ContentEncoding)
}
