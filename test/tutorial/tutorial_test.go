// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tutorial runs the commands of docs/tutorial.md as they are written there, and compares what they print.
package tutorial

import (
	"errors"
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
	"fwupgrade.io/operator/test/page"
)

const (
	// fewestBlocks is how many blocks of commands the page has at least: fewer would mean that they are not found.
	fewestBlocks = 12
	// fewestExamples is the same for the commands that make run suggests.
	fewestExamples = 6
	// upTimeout is how long `make run` may take, with what it has to build; stopTimeout, the end
	// after an interrupt.
	upTimeout   = 5 * time.Minute
	stopTimeout = time.Minute
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
	blocks, notRun, err := page.Parse(read(t, filepath.Join(root, "docs", "tutorial.md")))
	if err != nil {
		t.Fatal(err)
	}
	if notRun > 0 {
		t.Errorf("%d blocks of the kind console would not be run: newcomers run all of them", notRun)
	}
	if len(blocks) < fewestBlocks || blocks[0].Commands != "make run\n" {
		t.Fatalf("the page has %d blocks of commands, want %d and more, the first of them make run",
			len(blocks), fewestBlocks)
	}
	for _, b := range blocks {
		if b.Output != "" && !b.SaysSomething() {
			t.Errorf("line %d: the output of these commands says nothing", b.Line)
		}
	}
	first := startFirst(t, root, blocks[0])
	second := startSecond(t, first.folder)
	for _, b := range blocks[1:] {
		page.Compare(t, "docs/tutorial.md", b, second.Run(t, b))
	}
	tryExamples(t, first, second)
	first.interrupt(t)
}

// tryExamples runs the commands that `make run` suggests, in their order. Each has to print something, beside notes.
func tryExamples(t *testing.T, first *first, second *page.Terminal) {
	t.Helper()
	_, told, _ := strings.Cut(first.text(), "── The operator is up.")
	examples := regexp.MustCompile(`(?m)^  (\w.*)$`).FindAllStringSubmatch(told, -1)
	if len(examples) < fewestExamples {
		t.Fatalf("make run suggests %d commands, want %d and more:\n%s", len(examples), fewestExamples, told)
	}
	for _, example := range examples {
		if strings.TrimSpace(second.Run(t, page.Block{Commands: example[1] + " 2>/dev/null\n"})) == "" {
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

func startFirst(t *testing.T, root string, b page.Block) *first {
	t.Helper()
	port := freePort(t)
	f := &first{folder: filepath.Join(root, "bin", "run-"+port), up: make(chan struct{}), done: make(chan struct{})}
	f.cmd = exec.Command("bash", "-c", b.Commands)
	f.cmd.Dir = root
	f.cmd.Env = append(page.Environment(), "CALLBACK_PORT="+port)
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
	page.Compare(t, "docs/tutorial.md", b, f.text())
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

// startSecond opens the terminal in which everything else is typed.
func startSecond(t *testing.T, folder string) *page.Terminal {
	t.Helper()
	dir := t.TempDir()
	// The page says bin/run, so that is what it finds here.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o700),
		os.Symlink(folder, filepath.Join(dir, "bin", "run"))); err != nil {
		t.Fatal(err)
	}
	return page.Open(t, dir)
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
