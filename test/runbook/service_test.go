// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// forward stands for the Service of the callback: it passes connections on to a webhook that is ready.
func (w *world) forward(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.pass(ctx, conn) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		running.Wait()
	})
	return listener.Addr().String()
}

func (w *world) pass(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	address, err := w.node.callback()
	if err != nil {
		return
	}
	pod, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = pod.Close() }()
	stop := context.AfterFunc(ctx, func() { _, _ = conn.Close(), pod.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(pod, conn)
		_ = pod.Close()
	}()
	_, _ = io.Copy(conn, pod)
}
