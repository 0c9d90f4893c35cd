// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

func newRejectedCommand(s *session) *cobra.Command {
	cmd := newRejectedListCommand(s)
	cmd.Use = "rejected"
	cmd.Short = "List notifications that could not be used, or push them again"
	list := newRejectedListCommand(s)
	cmd.AddCommand(list, newReplayCommand(s))
	return cmd
}

func newRejectedListCommand(s *session) *cobra.Command {
	var since, output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List notifications that could not be used, the oldest first",
		Long: `List authentic notifications that could not be used, and why, the oldest first. Each is listed once.

It needs to read the stored results: the ClusterRole fwupgrade-results-viewer, bound in the operator's namespace.`,
		Example: `  kubectl fwupgrade rejected --since 24h
  kubectl fwupgrade rejected -o json | jq -r .body`,
		Args:              arguments(cobra.NoArgs),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			formats := []string{formatTable, formatWide, formatJSON}
			if !slices.Contains(formats, output) {
				return usageError(cmd, fmt.Errorf("-o is %q: set it to one of %s", output, strings.Join(formats, ", ")))
			}
			from, err := parseSince(since, s.Clock.Now())
			if err != nil {
				return usageError(cmd, err)
			}
			return s.listRejected(cmd.Context(), from, output)
		},
	}
	cmd.Flags().StringVar(&since, "since", "", sinceUsage)
	cmd.Flags().StringVarP(&output, "output", "o", formatTable,
		"table, wide (with what came, nothing is cut), or json (one object a line)")
	s.addOperatorNamespace(cmd.Flags())
	return cmd
}

const sinceUsage = "only what arrived since then: a duration (90m, 24h, 7d) or a time (2026-10-26T07:00:00Z)"

// parseSince reads the flag --since; zero for no bound.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, err := strconv.ParseUint(strings.TrimSuffix(text, "d"), 10, 16); err == nil && strings.HasSuffix(text, "d") {
		return now.AddDate(0, 0, -int(days)), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil // without a zone: UTC, as everything that is printed
		}
	}
	return time.Time{}, fmt.Errorf("--since is %q: write a duration such as 24h or 7d, or a time such as "+
		"2026-10-26T07:00:00Z", text)
}

// readRejected returns the rejected notifications that arrived since a time, each once, the oldest first. The operator
// keeps a thousand of them.
func (s *session) readRejected(ctx context.Context, since time.Time) ([]storage.RejectedNotification, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	reader, err := s.newSliceReader(ctx, c)
	if err != nil {
		return nil, err
	}
	var rejected []storage.RejectedNotification
	err = reader.read(ctx, sharedSlices(), func(slice *storage.ResultSlice) error {
		for _, r := range slice.Rejected {
			if !r.ReceiveTime.Time.Before(since) {
				rejected = append(rejected, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, c.explainSlices(err, reader.namespace)
	}
	slices.SortFunc(rejected, compareRejected)
	return slices.CompactFunc(rejected, func(a, b storage.RejectedNotification) bool {
		return compareRejected(a, b) == 0
	}), nil
}

// compareRejected orders rejected notifications by arrival, and is 0 for the same one.
func compareRejected(a, b storage.RejectedNotification) int {
	return cmp.Or(
		a.ReceiveTime.Compare(b.ReceiveTime.Time),
		strings.Compare(a.Reason, b.Reason),
		strings.Compare(a.Body, b.Body),
		slices.Compare(a.RawBody, b.RawBody),
		strings.Compare(a.ContentEncoding, b.ContentEncoding),
		cmp.Compare(a.BodyBytes, b.BodyBytes),
	)
}

// bytesOf is what came of a rejected notification, as far as it is kept.
func bytesOf(r *storage.RejectedNotification) []byte {
	if len(r.RawBody) > 0 {
		return r.RawBody
	}
	return []byte(r.Body)
}

// isCut says whether only the beginning of a notification is kept.
func isCut(r *storage.RejectedNotification) bool { return r.BodyBytes > 0 }

func (s *session) listRejected(ctx context.Context, since time.Time, format string) error {
	rejected, err := s.readRejected(ctx, since)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(s.Streams.Out)
	if format == formatJSON {
		encoder := newLineEncoder(out)
		for i := range rejected {
			r := rejected[i]
			if s.look.terminal {
				for _, text := range []*string{&r.Reason, &r.Body, &r.ContentEncoding} {
					*text = result.Clean(*text, maxTextBytes)
				}
			}
			if err := encoder.Encode(&r); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	header := []string{"RECEIVED", "BYTES", "REASON"}
	if format == formatWide {
		header = append(header, "ENCODING", "BODY")
	}
	table := newTable(out, s.look, format == formatWide, header...)
	for i := range rejected {
		r := &rejected[i]
		size := strconv.Itoa(len(bytesOf(r)))
		if isCut(r) {
			size = fmt.Sprintf("%s of %d", size, r.BodyBytes)
		}
		cells := []string{r.ReceiveTime.UTC().Format("2006-01-02T15:04:05.000000Z"), size, r.Reason}
		if format == formatWide {
			cells = append(cells, r.ContentEncoding, string(bytesOf(r)))
		}
		if err := table.add(cells...); err != nil {
			return err
		}
	}
	if err := errors.Join(table.flush(), out.Flush()); err != nil {
		return err
	}
	if len(rejected) == 0 {
		s.say("No rejected notification is stored.")
	}
	return nil
}
