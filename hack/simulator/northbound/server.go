// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// headerTimeout bounds how long a client may take to send a request's head, in real time.
const headerTimeout = 30 * time.Second

// Server is the platform.
type Server struct {
	options   Options
	authority *authority

	apiAddress, controlAddress net.Addr
	stop                       context.CancelFunc
	group                      errgroup.Group
	wake                       chan struct{} // something changed that the dispatcher may have to wait for differently
	client                     *http.Client  // pushes

	mu            sync.Mutex // guards what follows
	tokens        tokens
	limit         window
	subscriptions subscriptions
	tasks         tasks
	agenda        agenda
	pushes        pushes
	ledger        ledger
	faults        faultState
	posted        chan struct{} // is closed with the next creation
}

// Start starts the platform. It ends with the context, or when Close is called.
func Start(ctx context.Context, o Options) (*Server, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	s := &Server{options: o, wake: make(chan struct{}, 1), posted: make(chan struct{})}
	s.client = pushClient(o.Push)
	s.limit.limit = o.CallsPerMinute
	s.tokens = newTokens()
	s.tasks = newTasks()
	s.pushes = newPushes()
	s.ledger = newLedger(o.Clock.Now())
	s.faults.set(o.Faults, o.Seed)
	for _, spec := range o.Tasks {
		if _, err := s.CreateTask(spec); err != nil {
			return nil, fmt.Errorf("platform: %w", err)
		}
	}
	api, control, err := s.listen()
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.serveUntil(ctx, api, s.northbound())
	s.serveUntil(ctx, control, s.control())
	s.group.Go(func() error { s.dispatch(ctx); return nil })
	return s, nil
}

// listen opens both listeners, with TLS.
func (s *Server) listen() (api, control net.Listener, err error) {
	if s.authority, err = newAuthority(); err != nil {
		return nil, nil, err
	}
	host, _, err := net.SplitHostPort(s.options.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("address: %w", err)
	}
	own, err := s.authority.issue(append(s.options.Names, host))
	if err != nil {
		return nil, nil, err
	}
	// Inferred: HTTP/1.1 alone, which every SDK speaks.
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{*own},
	}
	controlConfig := config.Clone()
	if s.options.Certificate != nil {
		config.Certificates = []tls.Certificate{*s.options.Certificate}
	}
	if s.options.ClientCAs != nil {
		// Documented: port 8743 uses mutual TLS where the application has a client certificate.
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, s.options.ClientCAs
	}
	if api, err = tls.Listen("tcp", s.options.Address, config); err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	if control, err = tls.Listen("tcp", s.options.ControlAddress, controlConfig); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen: %w", err), api.Close())
	}
	s.apiAddress, s.controlAddress = api.Addr(), control.Addr()
	return api, control, nil
}

// serveUntil serves until the context ends. Then connections are cut, as with a platform that goes down.
func (s *Server) serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes that fail are what tests are about
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	s.group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	s.group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
}

// Close ends the platform, and returns when nothing of it runs any more. It may be called again.
func (s *Server) Close() error {
	s.stop()
	err := s.group.Wait()
	s.client.CloseIdleConnections()
	return err
}

// URL is the base of the northbound API: https://host:port.
func (s *Server) URL() string { return "https://" + s.apiAddress.String() }

// ControlURL is the base of the control: https://host:port.
func (s *Server) ControlURL() string { return "https://" + s.controlAddress.String() }

// ControlKey is the bearer token of the control.
func (s *Server) ControlKey() string { return s.options.ControlKey }

// CA is the certificate (PEM) of the authority that signed the certificates made at the start.
func (s *Server) CA() []byte { return s.authority.pem() }

// AppID is the application's id.
func (s *Server) AppID() string { return s.options.AppID }

// Secret is the application's secret.
func (s *Server) Secret() string { return s.options.Secret }

// poke makes the dispatcher look again.
func (s *Server) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// lock locks the state and brings it to the present: whatever was due has happened.
func (s *Server) lock() (now time.Time) {
	s.mu.Lock()
	now = s.options.Clock.Now()
	s.advance(now)
	return now
}

// unlock unlocks the state and lets the dispatcher see what changed.
func (s *Server) unlock() {
	s.mu.Unlock()
	s.poke()
}
