// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// pushTimeout is how long the platform waits for an answer.
const pushTimeout = 15 * time.Second

// pusher pushes bodies that were made before, over connections that stay open, and keeps every answer. The simulator,
// which makes each body when it is due and goes through net/http's client, takes twice the CPU (0.038 s for 1,000
// pushes against 0.018 s); sender and receiver share the processors, so it would be missing in what is measured.
type pusher struct {
	address     string
	connections []*connection
	// strict makes an answer other than 200 an error, and every push leave however late.
	strict bool
}

type connection struct {
	net.Conn
	reader *bufio.Reader
}

// newPusher opens the connections.
func newPusher(ctx context.Context, address string, connections int, strict bool) (*pusher, error) {
	p := &pusher{address: address, strict: strict}
	for range connections {
		c, err := connect(ctx, address)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.connections = append(p.connections, c)
	}
	return p, nil
}

func connect(ctx context.Context, address string) (*connection, error) {
	conn, err := (&net.Dialer{Timeout: pushTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to the callback: %w", err)
	}
	return &connection{Conn: conn, reader: bufio.NewReader(conn)}, nil
}

func (p *pusher) close() error {
	var errs []error
	for _, c := range p.connections {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// push sends the requests in their order and returns after the last answer. With perSecond 0 each connection sends the
// next one as soon as it was answered: a closed loop. Else they are due on a schedule, and leave when they are due or,
// if every connection still waits for an answer, as soon as one is free: an open loop.
func (p *pusher) push(ctx context.Context, requests [][]byte, perSecond int) (pushed, error) {
	done := make(pushed, len(requests))
	s := newSchedule(time.Now(), perSecond, len(requests))
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for n := range p.connections {
		group.Go(func() error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return nil
				}
				if err := waitUntil(ctx, s.due(i, time.Now())); err != nil {
					return err
				}
				left := time.Now()
				if !p.strict && s.over(left) {
					return nil // this one stays unsent, as all after it
				}
				a := &done[i]
				a.due, a.left = s.due(i, left), left
				if err := p.pushOne(ctx, n, requests[i], a); err != nil {
					return err
				}
			}
			return context.Cause(ctx)
		})
	}
	return done, group.Wait()
}

// pushOne sends a request over the connection with the number n and notes how that went. A broken connection is
// replaced.
func (p *pusher) pushOne(ctx context.Context, n int, request []byte, a *answer) error {
	c := p.connections[n]
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	status, body, err := c.exchange(request, a.left.Add(pushTimeout))
	a.at, a.status = time.Now(), status
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.strict && err != nil:
		return err
	case p.strict && !a.ok():
		return fmt.Errorf("a push was answered %d: %s", status, body)
	case err == nil:
		return nil
	}
	fresh, err := connect(ctx, p.address)
	if err != nil {
		return err
	}
	p.connections[n] = fresh
	_ = c.Close() // it is broken
	return nil
}

// exchange sends a request and reads its answer.
func (c *connection) exchange(request []byte, deadline time.Time) (status int, body []byte, err error) {
	if err := c.SetDeadline(deadline); err != nil {
		return statusNoReply, nil, fmt.Errorf("push: %w", err)
	}
	if _, err := c.Write(request); err != nil {
		return statusNoReply, nil, fmt.Errorf("push: %w", err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return statusNoReply, nil, fmt.Errorf("read the answer: %w", err)
	}
	body, err = io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return statusNoReply, nil, fmt.Errorf("read the answer: %w", err)
	}
	return response.StatusCode, body, nil
}

// requestsOf returns the plan's pushes as they go over a connection, in order.
func requestsOf(plan *platform.Plan, address, path string) ([][]byte, error) {
	requests := make([][]byte, plan.Len())
	for i := range requests {
		body, err := plan.Body(i)
		if err != nil {
			return nil, err
		}
		requests[i] = fmt.Appendf(nil,
			"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			path, address, len(body), body)
	}
	return requests, nil
}
