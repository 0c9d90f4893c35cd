// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
)

// defaultReadyTimeout is how long a manager may take to be ready: its caches and, in tests, a loaded machine.
const defaultReadyTimeout = 60 * time.Second

// ManagerOptions says how StartManager runs the manager binary.
type ManagerOptions struct {
	// Binary is the manager; default bin/manager of this module, which `make build` builds.
	Binary string
	// Config is whom the manager acts as; it is written to a kubeconfig, removed when the manager has ended. Required.
	Config *rest.Config
	// Dir is where that kubeconfig is written; default a folder of the system's for temporary files.
	Dir string
	// CallbackAddress, MetricsAddress and HealthAddress are where it listens; default a free port of 127.0.0.1 each.
	CallbackAddress, MetricsAddress, HealthAddress string
	// Components is what it runs: "webhook", "controllers" or, by default, both.
	Components string
	// Args are further arguments; they come last, so that they override.
	Args []string
	// Env are further variables (KEY=value) beside those of this process.
	Env []string
	// Output, if not nil, gets what the manager logs.
	Output io.Writer
	// ReadyTimeout is how long it may take until /readyz answers 200; default 60 s. Negative: do not wait.
	ReadyTimeout time.Duration
}

// Manager is a running manager binary.
type Manager struct {
	*Process
	// CallbackAddress, MetricsAddress and HealthAddress are where it listens, as host:port.
	CallbackAddress, MetricsAddress, HealthAddress string

	client *http.Client
}

// StartManager starts the manager binary and returns when it is ready. The caller has to Stop or Kill it.
func StartManager(ctx context.Context, o ManagerOptions) (*Manager, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "fwupgrade-manager-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the manager: %w", err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := WriteKubeconfig(o.Config, kubeconfig); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--metrics-bind-address=" + o.MetricsAddress,
		"--health-probe-bind-address=" + o.HealthAddress,
	}
	if o.Components != "" {
		args = append(args, "--components="+o.Components)
	}
	if o.Components != "controllers" {
		args = append(args, "--callback-bind-address="+o.CallbackAddress)
	}
	args = append(args, o.Args...)
	kept, err := keepOutput(args)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	process, err := StartProcess("manager", o.Binary, args, o.Env, kept.with(o.Output), func() {
		_, _ = os.RemoveAll(dir), kept.close()
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir), kept.close())
	}
	m := &Manager{
		Process:         process,
		CallbackAddress: o.CallbackAddress,
		MetricsAddress:  o.MetricsAddress,
		HealthAddress:   o.HealthAddress,
		client:          &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second},
	}
	if o.ReadyTimeout >= 0 {
		if err := m.WaitReady(ctx, o.ReadyTimeout); err != nil {
			return nil, errors.Join(err, notStopped(m.Kill()))
		}
	}
	return m, nil
}

// WaitReady returns when the manager's /readyz answers 200, with an error when it ends before or the timeout passes.
func (m *Manager) WaitReady(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return m.waitReady(ctx, m.client, "http://"+m.HealthAddress+"/readyz")
}

// Ready tells whether the manager's /readyz answers 200 now.
func (m *Manager) Ready(ctx context.Context) bool {
	return answers(ctx, m.client, "http://"+m.HealthAddress+"/readyz")
}

func (o *ManagerOptions) setDefaults() error {
	if o.Config == nil {
		return errors.New("start the manager: a Config is required")
	}
	if o.Binary == "" {
		root, err := ModuleRoot()
		if err != nil {
			return err
		}
		o.Binary = filepath.Join(root, "bin", "manager")
	}
	if _, err := os.Stat(o.Binary); err != nil {
		return fmt.Errorf("start the manager: %w: run `make build`", err)
	}
	free, err := FreeAddresses(3)
	if err != nil {
		return err
	}
	for i, address := range []*string{&o.CallbackAddress, &o.MetricsAddress, &o.HealthAddress} {
		if *address == "" {
			*address = free[i]
		}
	}
	if o.ReadyTimeout == 0 {
		o.ReadyTimeout = defaultReadyTimeout
	}
	return nil
}

// FreeAddresses returns n different loopback addresses, host:port, that nobody listens on at the moment.
func FreeAddresses(n int) (addresses []string, err error) {
	for range n {
		listener, listenErr := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, fmt.Errorf("find a free port: %w", listenErr)
		}
		// Kept open until all are found, so that they differ.
		defer func() { err = errors.Join(err, listener.Close()) }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
