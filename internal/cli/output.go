// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
)

// output is where a command prints. Its errors tell that the output failed, and no connection or file.
type output struct{ to io.Writer }

// Write implements io.Writer.
func (o output) Write(p []byte) (int, error) {
	n, err := o.to.Write(p)
	if err != nil {
		err = &outputError{err}
	}
	return n, err
}

// outputError is why nothing more could be printed.
type outputError struct{ err error }

func (e *outputError) Error() string { return fmt.Sprintf("print the output: %s", e.err) }

func (e *outputError) Unwrap() error { return e.err }

// print prints a line, cleaned.
func (s *session) print(format string, args ...any) error {
	_, err := fmt.Fprintln(s.Streams.Out, s.look.clean(fmt.Sprintf(format, args...)))
	return err
}
