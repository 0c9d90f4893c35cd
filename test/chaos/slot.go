// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/hack/local"
)

// slot is where one process of the operator runs. One that ends by itself is started again, as a kubelet does.
type slot struct {
	name, component           string
	config                    *rest.Config
	binary, dir               string
	callback, metrics, health string
	log                       io.Writer
	args                      []string

	ready atomic.Bool // as a Service sees it

	mu      sync.Mutex // guards what follows, and is held while a process is started or ended
	extra   []string
	clock   time.Duration
	process *local.Manager
	down    bool // on purpose
	stopped bool // by SIGSTOP
	ended   int  // by itself
}

// restartDelay is how long after a process ended by itself it is started again.
const restartDelay = time.Second

// probeInterval is how often readiness is asked for, and failedProbes after how many failures a Service notices.
const (
	probeInterval = 500 * time.Millisecond
	failedProbes  = 2
)

// start starts the process, unless it runs or is down on purpose.
func (s *slot) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.process != nil {
		return nil
	}
	process, err := local.StartManager(ctx, local.ManagerOptions{
		Binary: s.binary, Config: s.config, Dir: s.dir, Components: s.component, ReadyTimeout: -1, Output: s.log,
		CallbackAddress: s.callback, MetricsAddress: s.metrics, HealthAddress: s.health,
		Args: append(append([]string{}, s.args...), s.extra...),
		Env:  []string{"FWUPGRADE_CLOCK_OFFSET=" + s.clock.String(), "GOMEMLIMIT=460MiB"},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.process = process
	return nil
}

// setClock sets the clock that the process is started with.
func (s *slot) setClock(ahead time.Duration) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = s.clock != ahead
	s.clock = ahead
	return changed
}

// kill ends the process as a crash does. It is down until up is called.
func (s *slot) kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	if s.process == nil {
		return nil
	}
	err := s.process.Kill()
	s.process = nil
	return err
}

// stopTimeout is how long a process may take to end in order.
const stopTimeout = 40 * time.Second

// restart ends the process in order and starts it again, with other further arguments.
func (s *slot) restart(ctx context.Context, extra ...string) error {
	if err := s.end(ctx, extra); err != nil {
		return err
	}
	return s.up(ctx)
}

// end ends the process in order, and returns when it has ended.
func (s *slot) end(ctx context.Context, extra []string) error {
	s.mu.Lock()
	process := s.process
	s.down, s.extra, s.process = true, extra, nil
	s.mu.Unlock()
	if process == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	// A leader may have lost its lease, and what was only just started does not heed the signal yet.
	hasToEndWell := s.component == "webhook" && s.ready.Load()
	err := process.Stop(ctx)
	if err != nil && (ctx.Err() != nil || hasToEndWell) {
		return fmt.Errorf("%s did not end in order: %w", s.name, err)
	}
	return nil
}

// up starts what is down on purpose.
func (s *slot) up(ctx context.Context) error {
	s.mu.Lock()
	s.down = false
	s.mu.Unlock()
	return s.start(context.WithoutCancel(ctx))
}

// signal sends SIGSTOP or SIGCONT.
func (s *slot) signal(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = signal == syscall.SIGSTOP && s.process != nil
	if s.process == nil {
		return nil
	}
	return s.process.Signal(signal)
}

// freeze lets the process hang, thaw ends that.
func (s *slot) freeze() error { return s.signal(syscall.SIGSTOP) }

func (s *slot) thaw() error { return s.signal(syscall.SIGCONT) }

// broken says whether the process is down, or hangs, on purpose.
func (s *slot) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down || s.stopped
}

// unready takes the process out of the Service until it is probed again.
func (s *slot) unready() { s.ready.Store(false) }

// supervise starts the process again when it has ended by itself, and probes it, until the context ends.
func (s *slot) supervise(ctx context.Context) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		process := s.running()
		if process == nil || !process.Ready(ctx) {
			if failed++; failed >= failedProbes {
				s.ready.Store(false)
			}
		} else {
			failed = 0
			s.ready.Store(true)
		}
		if s.hasEnded() {
			time.Sleep(restartDelay)
			if err := s.start(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "chaos:", err)
			}
		}
	}
}

func (s *slot) running() *local.Manager {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// hasEnded says whether the process has ended by itself, and forgets it then.
func (s *slot) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return false
	}
	if s.process == nil {
		return true
	}
	select {
	case <-s.process.Done():
		s.process = nil
		s.ended++
		return true
	default:
		return false
	}
}

// stop ends the process for good.
func (s *slot) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	if s.process == nil {
		return nil
	}
	process := s.process
	s.process = nil
	return errors.Join(process.Signal(syscall.SIGCONT), process.Kill())
}
