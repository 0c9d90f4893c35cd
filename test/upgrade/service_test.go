// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// service stands for the Service in front of the webhooks, as kube-proxy makes it: a new connection goes to one of the
// endpoints in turn, and stays there, also when that endpoint is removed.
type service struct {
	listener net.Listener
	work     sync.WaitGroup

	mu        sync.Mutex
	endpoints []string
	next      int
	open      map[net.Conn]bool
}

// newService serves until the test ends.
func newService(t *testing.T) *service {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	s := &service{listener: listener, open: map[net.Conn]bool{}}
	s.work.Go(s.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for conn := range s.open {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return s
}

func (s *service) address() string { return s.listener.Addr().String() }

func (s *service) add(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = append(s.endpoints, endpoint)
}

func (s *service) remove(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []string
	for _, e := range s.endpoints {
		if e != endpoint {
			left = append(left, e)
		}
	}
	s.endpoints = left
}

func (s *service) accept() {
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		s.work.Go(func() { s.forward(conn) })
	}
}

// forward copies in both directions until both have ended. What can't be connected is closed, as a sender sees it whose
// Service has no endpoint.
func (s *service) forward(client net.Conn) {
	defer s.closed(client)
	endpoint, err := net.Dial("tcp", s.choose(client))
	if err != nil {
		return
	}
	s.opened(endpoint)
	defer s.closed(endpoint)
	var both sync.WaitGroup
	both.Go(func() { copyHalf(endpoint, client) })
	both.Go(func() { copyHalf(client, endpoint) })
	both.Wait()
}

func (s *service) choose(client net.Conn) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[client] = true
	s.next++
	if len(s.endpoints) == 0 {
		return ""
	}
	return s.endpoints[s.next%len(s.endpoints)]
}

func (s *service) opened(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[conn] = true
}

func (s *service) closed(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
}

// copyHalf copies one direction, and passes on that it has ended.
func copyHalf(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
