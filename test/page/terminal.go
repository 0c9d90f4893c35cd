// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// blockTimeout is how long a block of commands may take.
const blockTimeout = 3 * time.Minute

// Terminal is where the commands of a page are typed: one bash for all of them.
type Terminal struct {
	dir   string
	input io.Writer
	lines chan string
}

// longestLine is the longest line that commands may print, in bytes.
const longestLine = 1 << 20

// Need skips the test, with a sentence that says why, where this machine lacks a tool that the page takes for granted.
func Need(t *testing.T, tools ...string) {
	t.Helper()
	var missing []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if len(missing) > 0 {
		t.Skipf("SKIPPED: the commands of this page need what is not installed here: %s", strings.Join(missing, ", "))
	}
}

// endOfBlock is printed when a block has ended, before its exit code.
const endOfBlock = "=== end of the block:"

// Open starts bash in a folder, which is its home as well, with further variables (KEY=value), until the test ends.
func Open(t *testing.T, dir string, variables ...string) *Terminal {
	t.Helper()
	s := &Terminal{dir: dir, lines: make(chan string)}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	// Whatever the commands have started ends with bash: they are of its group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Dir = dir
	cmd.Env = append(append(Environment(), "HOME="+dir), variables...) // kubectl caches there
	output, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.input = input
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		defer close(s.lines)
		scanner := bufio.NewScanner(output)
		scanner.Buffer(nil, longestLine)
		for scanner.Scan() {
			select {
			case s.lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = output.Close() // so that neither side waits for the other
		_ = cmd.Wait()     // it was killed
		<-reading
	})
	return s
}

// Run runs a block as it is written, and returns what it prints. Every block has to succeed: where the page shows a
// failure, its commands say so.
func (s *Terminal) Run(t *testing.T, b Block) string {
	t.Helper()
	script := filepath.Join(s.dir, fmt.Sprintf("line-%d.sh", b.Line))
	if err := os.WriteFile(script, []byte(b.Commands), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(s.input, "source %s </dev/null; printf '\\n%s %%d\\n' $?\n", script, endOfBlock); err != nil {
		t.Fatal(err)
	}
	var printed strings.Builder
	timeout := time.After(blockTimeout)
	for {
		select {
		case line, more := <-s.lines:
			if !more {
				t.Fatalf("line %d: bash ended:\n%s", b.Line, printed.String())
			}
			code, ended := strings.CutPrefix(line, endOfBlock+" ")
			if !ended {
				printed.WriteString(line + "\n")
				continue
			}
			if code != "0" {
				t.Fatalf("line %d: exit code %s of\n%s\nwhich printed\n%s", b.Line, code, b.Commands, printed.String())
			}
			return printed.String()
		case <-timeout:
			t.Fatalf("line %d: not done within %s:\n%s\nwhich printed\n%s", b.Line, blockTimeout, b.Commands,
				printed.String())
		}
	}
}

// Set sets a variable of the terminal.
func (s *Terminal) Set(t *testing.T, name, value string) {
	t.Helper()
	s.Run(t, Block{Commands: fmt.Sprintf("export %s='%s'\n", name, value)})
}

// Compare compares what a block printed with what the page says; where it says nothing, nothing may be printed.
func Compare(t *testing.T, page string, b Block, printed string) {
	t.Helper()
	if !Matches(b.Output, printed) {
		t.Errorf("line %d of %s:\n%s\nshould print\n%s\nand printed\n%s", b.Line, page, b.Commands, b.Output, printed)
	}
}

// Environment is this process's without what belongs to the make that may have started it.
func Environment() []string {
	env := []string{"LC_ALL=C.UTF-8", "TERM=dumb", "NO_COLOR=1"}
	for _, variable := range os.Environ() {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "LC_ALL", "TERM", "RUN_ARGS":
		default:
			env = append(env, variable)
		}
	}
	return env
}
