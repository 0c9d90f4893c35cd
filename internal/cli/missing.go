// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"unicode/utf8"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// maxLineBytes is how long a line of a list of devices may be: far longer than any id.
const maxLineBytes = 64 << 10

// expectedDevices returns the ids that are expected, sorted; nil where nobody asks who is missing.
func (s *session) expectedDevices(
	ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, o *resultsOptions,
) (*sorter[string], error) {
	expected := &sorter[string]{
		compare: strings.Compare,
		join:    func(a, _ string) string { return a },
		limit:   s.Limits.MemoryResults, parent: s.TempDir,
	}
	switch {
	case o.missing:
		for _, device := range fwu.Spec.ListedDevices() {
			if err := expected.add(device); err != nil {
				return nil, errors.Join(err, expected.close())
			}
		}
		return expected, nil
	case o.missingFrom == "":
		return nil, nil
	}
	list := s.Streams.In
	if o.missingFrom != "-" {
		file, err := os.Open(o.missingFrom)
		if err != nil {
			return nil, fmt.Errorf("read the list of devices: %w", err)
		}
		defer func() { _ = file.Close() }()
		list = file
	}
	if err := readDevices(interruptible(ctx, list), expected); err != nil {
		return nil, errors.Join(fmt.Errorf("read the list of devices: %w", err), expected.close())
	}
	return expected, nil
}

// readDevices reads ids, one a line. Blanks around them, empty lines and a byte order mark are no part of them. A list
// without ids, or in another encoding, would make all devices or none missing, which nobody would see.
func readDevices(list io.Reader, into *sorter[string]) error {
	lines := bufio.NewScanner(list)
	lines.Buffer(nil, maxLineBytes)
	some := false
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			return fmt.Errorf("line %d is no text in UTF-8: save the list in UTF-8, one id a line", n)
		}
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if device := strings.TrimSpace(line); device != "" {
			some = true
			if err := into.add(device); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !some {
		return errors.New("it has no ids")
	}
	return nil
}

// printMissing prints the expected devices that have not reported, sorted, and then says how many there are.
func (s *session) printMissing(
	ctx context.Context, expected *sorter[string], gathered *sorter[result.Result], format string,
) error {
	out := bufio.NewWriter(s.Streams.Out)
	write := s.devicePrinter(out, format)
	if s.look.terminal {
		data := write
		write = func(device string) error { return data(result.Clean(device, maxTextBytes)) }
	}
	total, missing := 0, 0
	reported := newCursor(gathered.sorted(ctx))
	defer reported.stop()
	for device, err := range expected.sorted(ctx) {
		if err != nil {
			return err
		}
		total++
		has, err := reported.has(device)
		if err != nil {
			return err
		}
		if has {
			continue
		}
		missing++
		if err := write(device); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	s.say("%d of %d devices have reported nothing.", missing, total)
	return nil
}

// devicePrinter returns what prints an id.
func (s *session) devicePrinter(out io.Writer, format string) func(device string) error {
	switch format {
	case formatJSON:
		encoder := newLineEncoder(out)
		return func(device string) error {
			return encoder.Encode(struct {
				DeviceID string `json:"deviceId"`
			}{device})
		}
	case formatCSV:
		writer := csv.NewWriter(out)
		_ = writer.Write([]string{"deviceId"}) // an error comes again with the next one
		writer.Flush()
		return func(device string) error {
			err := writer.Write(withoutFormulas([]string{device}))
			writer.Flush()
			return errors.Join(err, writer.Error())
		}
	default:
		return func(device string) error {
			_, err := fmt.Fprintln(out, s.look.clean(device))
			return err
		}
	}
}

// cursor goes through sorted results once.
type cursor struct {
	next    func() (result.Result, error, bool)
	stop    func()
	current result.Result
	some    bool
	begun   bool
}

func newCursor(results iter.Seq2[result.Result, error]) *cursor {
	next, stop := iter.Pull2(results)
	return &cursor{next: next, stop: stop}
}

// has says whether there is a result of a device. It is asked in the order of the devices.
func (c *cursor) has(device string) (bool, error) {
	for !c.begun || c.some && c.current.DeviceID < device {
		c.begun = true
		var err error
		if c.current, err, c.some = c.next(); err != nil {
			return false, err
		}
	}
	return c.some && c.current.DeviceID == device, nil
}
