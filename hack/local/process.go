// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	readyPollInterval  = 50 * time.Millisecond
	defaultStopTimeout = 45 * time.Second
	// tailBytes is how much of a process's newest output is kept to explain why it ended.
	tailBytes = 4 << 10
)

// Process is a child process. It does not outlive its parent on Linux, and it is in a process group of its own, so
// that an interrupt at the terminal reaches the parent only, which then stops its children in order.
type Process struct {
	name string
	cmd  *exec.Cmd
	tail tail
	done chan struct{}
	err  error // why the process ended; read after done was closed
}

// StartProcess starts the binary at path as a child. Output, if not nil, gets what it writes to both streams; it is
// called from one goroutine at a time. OnExit, if not nil, is called when the process has ended, before Done is closed.
func StartProcess(name, path string, args, env []string, output io.Writer, onExit func()) (*Process, error) {
	p := &Process{name: name, done: make(chan struct{})}
	p.cmd = exec.Command(path, args...) //nolint:noctx // It is ended by Stop, in order, not by a context.
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = childAttributes()
	var out io.Writer = &p.tail
	if output != nil {
		out = io.MultiWriter(&p.tail, output)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out

	started := make(chan error)
	go func() {
		// The kernel ties the child to the thread that started it, so that thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			if onExit != nil {
				onExit()
			}
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// PID returns the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns nil while the process runs and when it ended with 0; else how it ended, with its last output.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%s ended: %w; its last output:\n%s", p.name, p.err, p.tail.String())
}

// Tail returns the last output of the process, at most 4 KiB.
func (p *Process) Tail() string { return p.tail.String() }

// Signal sends a signal to the process. It is no error if the process has ended.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop asks the process to end (SIGTERM) and waits until it has. When ctx ends before, or after 45 s, it is killed,
// which is an error. Returns the error of a process that ended otherwise than with 0. Stopping twice is allowed.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timeout := time.NewTimer(defaultStopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
		return p.Err()
	case <-ctx.Done():
	case <-timeout.C:
	}
	err := fmt.Errorf("%s did not end in time and was killed; its last output:\n%s", p.name, p.tail.String())
	return errors.Join(err, p.Kill())
}

// Kill ends the process at once (SIGKILL) and waits until it has ended.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// waitReady polls the URL until it answers 200. It fails when the process ends or ctx does.
func (p *Process) waitReady(ctx context.Context, client *http.Client, url string) error {
	ticker := time.NewTicker(readyPollInterval)
	defer ticker.Stop()
	for {
		if answers(ctx, client, url) {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %w; its last output:\n%s", p.name, p.err, p.tail.String())
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready: %w; its last output:\n%s", p.name, context.Cause(ctx), p.tail.String())
		case <-ticker.C:
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode == http.StatusOK
}

// tail keeps the newest bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailBytes; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
