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

// pusher pushes bodies that were made before, over connections that stay open, and keeps every latency. The simulator,
// which makes each body when it is due and goes through net/http's client, takes twice the CPU (0.038 s for 1,000 pushes
// against 0.018 s); sender and receiver share the processors, so it would be missing in what is measured.
type pusher struct {
	connections []*connection
}

type connection struct {
	net.Conn
	reader *bufio.Reader
}

// newPusher opens the connections.
func newPusher(ctx context.Context, address string, connections int) (*pusher, error) {
	p := &pusher{}
	for range connections {
		conn, err := (&net.Dialer{Timeout: pushTimeout}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect to the callback: %w", err), p.close())
		}
		p.connections = append(p.connections, &connection{Conn: conn, reader: bufio.NewReader(conn)})
	}
	return p, nil
}

func (p *pusher) close() error {
	var errs []error
	for _, c := range p.connections {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// pushed is how a series of pushes went.
type pushed struct {
	// took is the time from the first push to the last answer.
	took time.Duration
	// latencies are the times from each push to its answer, in no particular order.
	latencies []time.Duration
}

// push sends all requests, each connection the next as soon as it was answered, and returns after the last answer. An
// answer other than 200 is an error.
func (p *pusher) push(ctx context.Context, requests [][]byte) (*pushed, error) {
	result := &pushed{latencies: make([]time.Duration, len(requests))}
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for _, c := range p.connections {
		group.Go(func() error {
			defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return nil
				}
				began := time.Now()
				if err := c.exchange(requests[i], began.Add(pushTimeout)); err != nil {
					return err
				}
				result.latencies[i] = time.Since(began)
			}
			return context.Cause(ctx)
		})
	}
	err := group.Wait()
	result.took = time.Since(start)
	return result, err
}

// exchange sends a request and reads its answer.
func (c *connection) exchange(request []byte, deadline time.Time) error {
	if err := c.SetDeadline(deadline); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	if _, err := c.Write(request); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("a push was answered %d: %s", response.StatusCode, body)
	}
	return nil
}

// requestsOf returns the plan's pushes as they go over a connection, in order.
func requestsOf(plan *platform.Plan, address, path string) ([][]byte, error) {
	requests := make([][]byte, plan.Len())
	for i := range requests {
		body, err := plan.Body(i)
		if err != nil {
			return nil, err
		}
		requests[i] = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			path, address, len(body), body)
	}
	return requests, nil
}
