// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// The codes with which the process ends.
const (
	exitGood        = 0
	exitBad         = 1
	exitUnfinished  = 2
	exitUnknown     = 3
	exitInterrupted = 130 // as shells have it for SIGINT
	exitBrokenPipe  = 141 // as shells have it for SIGPIPE
)

// exitError ends the process with a code. Its error is printed, unless it is nil because everything was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// withCode ends the process with a code after everything was said; nil for 0.
func withCode(code int) error {
	if code == exitGood {
		return nil
	}
	return &exitError{code: code}
}

// exitCode prints what is left to be said of the end of a command, and returns its code.
func (s *session) exitCode(ctx context.Context, err error) int {
	var ended *exitError
	var unwritten *outputError
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &unwritten) && errors.Is(unwritten, syscall.EPIPE):
		return exitBrokenPipe // whoever reads has enough
	case ctx.Err() != nil:
		s.printError(errors.New("interrupted"))
		return exitInterrupted
	case errors.As(err, &ended):
		if ended.err != nil {
			s.printError(ended.err)
		}
		return ended.code
	default:
		s.printError(err)
		return exitUnknown
	}
}

// printError prints an error. What a device or a server said is in it, so that each of its lines is cleaned.
func (s *session) printError(err error) {
	s.say("error: %s", err)
}

// say prints a note to standard error. Each line is cleaned.
func (s *session) say(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		line = strings.TrimRight(line, "\r\n")
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		_, _ = fmt.Fprintln(s.Streams.ErrOut, indent+s.look.clean(line))
	}
}
