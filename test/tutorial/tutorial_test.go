// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tutorial

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fwupgrade.io/operator/hack/local"
)

const (
	// fewestBlocks is how many blocks of commands the page has at least: fewer would mean that they are not found.
	fewestBlocks = 12
	// fewestExamples is the same for the commands that make run suggests.
	fewestExamples = 6
	// upTimeout is how long `make run` may take, with what it has to build; blockTimeout, a block of commands;
	// stopTimeout, the end after an interrupt.
	upTimeout    = 5 * time.Minute
	blockTimeout = 2 * time.Minute
	stopTimeout  = time.Minute
	// upText is what is printed when the operator can be used.
	upText = "nothing is kept.\n"
)

// TestTutorial runs the page from its beginning to its end: `make run` in one terminal, everything else in one bash in
// another.
func TestTutorial(t *testing.T) {
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parse(read(t, filepath.Join(root, "docs", "tutorial.md")))
	if err != nil {
		t.Fatal(err)
	}
	if len(blocks) < fewestBlocks || blocks[0].commands != "make run\n" {
		t.Fatalf("the page has %d blocks of commands, want %d and more, the first of them make run",
			len(blocks), fewestBlocks)
	}
	for _, b := range blocks {
		if b.output != "" && !saysSomething(b.output) {
			t.Errorf("line %d: the output of these commands says nothing", b.line)
		}
	}
	first := startFirst(t, root, blocks[0])
	second := startSecond(t, first.folder)
	for _, b := range blocks[1:] {
		compare(t, b, second.run(t, b))
	}
	tryExamples(t, first, second)
	first.interrupt(t)
}

// tryExamples runs the commands that `make run` suggests, in their order. Each has to print something, beside notes.
func tryExamples(t *testing.T, first *first, second *second) {
	t.Helper()
	_, told, _ := strings.Cut(first.text(), "── The operator is up.")
	examples := regexp.MustCompile(`(?m)^  (\w.*)$`).FindAllStringSubmatch(told, -1)
	if len(examples) < fewestExamples {
		t.Fatalf("make run suggests %d commands, want %d and more:\n%s", len(examples), fewestExamples, told)
	}
	for _, example := range examples {
		if strings.TrimSpace(second.run(t, block{commands: example[1] + " 2>/dev/null\n"})) == "" {
			t.Errorf("make run suggests %q, which prints nothing", example[1])
		}
	}
}

// first is the terminal in which `make run` runs.
type first struct {
	cmd *exec.Cmd
	// folder is where the operator keeps its files; with a port of its own it is not the one of the page.
	folder string
	// up is closed when the operator can be used, done when the command has ended.
	up, done chan struct{}

	mu      sync.Mutex // guards what follows
	printed strings.Builder
	isUp    bool
}

func (f *first) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.printed.Write(p)
	if !f.isUp && strings.Contains(f.printed.String(), upText) {
		f.isUp = true
		close(f.up)
	}
	return n, err
}

// text returns what was printed so far, as it is with the port of the page.
func (f *first) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.ReplaceAll(f.printed.String(), "bin/"+filepath.Base(f.folder), "bin/run")
}

func startFirst(t *testing.T, root string, b block) *first {
	t.Helper()
	port := freePort(t)
	f := &first{folder: filepath.Join(root, "bin", "run-"+port), up: make(chan struct{}), done: make(chan struct{})}
	f.cmd = exec.Command("bash", "-c", b.commands)
	f.cmd.Dir = root
	f.cmd.Env = append(environment(), "CALLBACK_PORT="+port)
	f.cmd.Stdout, f.cmd.Stderr = f, f
	// A group of its own gets the interrupt, as that of a terminal does.
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = f.cmd.Wait() // what it ended with is make's business; what it printed counts
		close(f.done)
	}()
	t.Cleanup(func() {
		f.signal(t, syscall.SIGINT)
		if err := os.RemoveAll(f.folder); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-f.up:
	case <-f.done:
		t.Fatalf("make run ended:\n%s", f.text())
	case <-time.After(upTimeout):
		t.Fatalf("make run was not ready within %s:\n%s", upTimeout, f.text())
	}
	compare(t, b, f.text())
	return f
}

// interrupt stops the operator as Ctrl-C does.
func (f *first) interrupt(t *testing.T) {
	t.Helper()
	f.signal(t, syscall.SIGINT)
	if want := "Everything was stopped. The logs are in bin/run."; !strings.Contains(f.text(), want) {
		t.Errorf("no %q in what make run printed:\n%s", want, f.text())
	}
	if _, err := os.Stat(filepath.Join(f.folder, "env")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file to source is left: %v", err)
	}
}

// signal sends a signal to the whole group and waits until it has ended; it is killed if it does not.
func (f *first) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	select {
	case <-f.done:
		return
	default:
	}
	_ = syscall.Kill(-f.cmd.Process.Pid, sig) // it may have ended meanwhile
	select {
	case <-f.done:
	case <-time.After(stopTimeout):
		_ = syscall.Kill(-f.cmd.Process.Pid, syscall.SIGKILL)
		<-f.done
		t.Errorf("make run did not end within %s and was killed:\n%s", stopTimeout, f.text())
	}
}

// second is the terminal in which everything else is typed: one bash.
type second struct {
	dir   string
	input io.Writer
	lines chan string
}

// endOfBlock is printed when a block has ended, before its exit code.
const endOfBlock = "=== end of the block:"

func startSecond(t *testing.T, folder string) *second {
	t.Helper()
	s := &second{dir: t.TempDir(), lines: make(chan string)}
	// The page says bin/run, so that is what it finds here.
	if err := errors.Join(os.Mkdir(filepath.Join(s.dir, "bin"), 0o700),
		os.Symlink(folder, filepath.Join(s.dir, "bin", "run"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	cmd.Dir = s.dir
	cmd.Env = append(environment(), "HOME="+s.dir) // kubectl caches there
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
		for scanner := bufio.NewScanner(output); scanner.Scan(); {
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

// run runs a block as it is written, and returns what it prints. Every block has to succeed: where the page shows a
// failure, its commands say so.
func (s *second) run(t *testing.T, b block) string {
	t.Helper()
	script := filepath.Join(s.dir, fmt.Sprintf("line-%d.sh", b.line))
	if err := os.WriteFile(script, []byte(b.commands), 0o600); err != nil {
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
				t.Fatalf("line %d: bash ended:\n%s", b.line, printed.String())
			}
			code, ended := strings.CutPrefix(line, endOfBlock+" ")
			if !ended {
				printed.WriteString(line + "\n")
				continue
			}
			if code != "0" {
				t.Fatalf("line %d: exit code %s of\n%s\nwhich printed\n%s", b.line, code, b.commands, printed.String())
			}
			return printed.String()
		case <-timeout:
			t.Fatalf("line %d: not done within %s:\n%s\nwhich printed\n%s", b.line, blockTimeout, b.commands,
				printed.String())
		}
	}
}

// compare compares what a block printed with what the page says; where it says nothing, nothing may be printed.
func compare(t *testing.T, b block, printed string) {
	t.Helper()
	if !matches(b.output, printed) {
		t.Errorf("line %d of docs/tutorial.md:\n%s\nshould print\n%s\nand printed\n%s", b.line, b.commands, b.output,
			printed)
	}
}

// environment is this process's without what belongs to the make that may have started it.
func environment() []string {
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

func freePort(t *testing.T) string {
	t.Helper()
	addresses, err := local.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	return port
}
