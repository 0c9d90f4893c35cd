// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTerminalEndsWhatWasStarted leaves a command running in the background, which has to end with the terminal.
func TestTerminalEndsWhatWasStarted(t *testing.T) {
	dir := t.TempDir()
	var output *os.File
	t.Run("terminal", func(t *testing.T) {
		Open(t, dir).Run(t, Block{Commands: "mkfifo output\nsleep 600 >output 2>&1 &\n"})
		var err error
		if output, err = os.Open(filepath.Join(dir, "output")); err != nil {
			t.Fatal(err)
		}
	})
	defer func() { _ = output.Close() }()
	if err := output.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(output); err != nil { // it ends with the command
		t.Errorf("what was started in the background still runs: %v", err)
	}
}

// TestTerminalTakesLongLines prints a line that is longer than what a scanner takes by default.
func TestTerminalTakesLongLines(t *testing.T) {
	const length = 100000
	printed := Open(t, t.TempDir()).Run(t, Block{Commands: "printf '%0" + strconv.Itoa(length) + "d\\n' 0\n"})
	if got := len(strings.TrimSpace(printed)); got != length {
		t.Errorf("got a line of %d bytes, want %d", got, length)
	}
}
