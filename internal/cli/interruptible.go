// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"io"
)

// readerFunc is an io.Reader.
type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// interruptible reads until the context ends. Nothing breaks off a read of a terminal or a pipe, so that the last one
// may stay behind until the process ends.
func interruptible(ctx context.Context, from io.Reader) io.Reader {
	type read struct {
		bytes []byte
		err   error
	}
	return readerFunc(func(p []byte) (int, error) {
		done := make(chan read, 1)
		into := make([]byte, len(p)) // its own: the caller has p back when the context ends
		go func() {
			n, err := from.Read(into)
			done <- read{into[:n], err}
		}()
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case got := <-done:
			return copy(p, got.bytes), got.err
		}
	})
}
