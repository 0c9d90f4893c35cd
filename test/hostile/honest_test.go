// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

const (
	// keepingSenders keep their connections, as the platform and balancers do; freshSenders open one for each push.
	keepingSenders, freshSenders = 8, 2
	// rest is how long each of them waits between two pushes.
	rest = 20 * time.Millisecond
	// platformPatience is how long the platform waits for an answer.
	platformPatience = 15 * time.Second
	// failedOf says which pushes tell of a failure: each so many.
	failedOf = 10
)

// honest are senders that push results of one task, one device each, as long as the attack lasts.
type honest struct {
	w         *webhook
	operation string
	stop      context.CancelFunc
	running   sync.WaitGroup

	mu        sync.Mutex
	latencies []time.Duration
	problems  []string
	// succeeded and failed are how many devices were pushed and answered 200.
	succeeded, failed int64
}

// startHonest begins to push.
func startHonest(t *testing.T, w *webhook, operation string) *honest {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	h := &honest{w: w, operation: operation, stop: stop}
	for i := range keepingSenders + freshSenders {
		h.running.Go(func() { h.pushAll(ctx, i) })
	}
	t.Cleanup(h.end) // also where the test fails
	return h
}

// end lets the senders get their last answers. It may be called again.
func (h *honest) end() {
	h.stop()
	h.running.Wait()
}

// pushAll pushes one device after the other.
func (h *honest) pushAll(ctx context.Context, sender int) {
	var c net.Conn
	defer func() { closeAny(c) }()
	for n := 0; ctx.Err() == nil; n++ {
		if sender >= keepingSenders {
			closeAny(c)
			c = nil
		}
		status := "SUCCESS"
		if n%failedOf == failedOf-1 {
			status = "FAIL"
		}
		begin := time.Now()
		var err error
		if c, err = h.push(c, fmt.Sprintf("%s-%d-%d", h.operation, sender, n), status); err != nil {
			closeAny(c)
			c = nil
		}
		h.note(status, time.Since(begin), err)
		time.Sleep(rest)
	}
}

// push pushes one device over a connection, or over a new one where there is none.
func (h *honest) push(c net.Conn, device, status string) (net.Conn, error) {
	if c == nil {
		var err error
		ctx, cancel := context.WithTimeout(context.Background(), platformPatience)
		defer cancel()
		if c, err = h.w.dialSender(ctx, honestSource); err != nil {
			return nil, err
		}
	}
	_ = c.SetDeadline(time.Now().Add(platformPatience))
	if _, err := io.WriteString(c, push(secret, notification(h.operation, device, status))); err != nil {
		return c, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return c, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	h.w.answers.add(fmt.Sprint(answer.StatusCode))
	switch {
	case err != nil:
		return c, err
	case answer.StatusCode != http.StatusOK || string(text) != `{"result":"recorded"}`+"\n":
		return c, fmt.Errorf("answered %d %s", answer.StatusCode, text)
	case answer.Close:
		return c, fmt.Errorf("the connection is not kept")
	}
	return c, nil
}

func (h *honest) note(status string, took time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latencies = append(h.latencies, took)
	switch {
	case err != nil:
		h.problems = append(h.problems, fmt.Sprintf("after %s: %s", took.Round(time.Millisecond), err))
	case status == "FAIL":
		h.failed++
	default:
		h.succeeded++
	}
}

// quantile is the latency that so many of a thousand pushes had at most.
func (h *honest) quantile(permille int) time.Duration {
	sorted := slices.Sorted(slices.Values(h.latencies))
	return sorted[min(len(sorted)-1, len(sorted)*permille/1000)].Round(time.Millisecond)
}

// check holds that every push was answered 200 and counted, once.
func (h *honest) check(t *testing.T, namespace string) {
	t.Helper()
	if len(h.problems) > 0 {
		t.Errorf("%d of %d honest pushes failed, the first ones: %q",
			len(h.problems), len(h.latencies), h.problems[:min(5, len(h.problems))])
	}
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: h.operation},
		Spec:       v1alpha1.FirmwareUpgradeSpec{OperationID: h.operation, AppID: "app"},
	}
	must(t, k8s.Create(t.Context(), fwu))
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		if d := fwu.Status.Devices; d.Succeeded != h.succeeded || d.Failed != h.failed {
			return fmt.Sprintf("answered 200: %d succeeded, %d failed; counted: %d, %d",
				h.succeeded, h.failed, d.Succeeded, d.Failed)
		}
		return ""
	})
}

func closeAny(c net.Conn) {
	if c != nil {
		_ = c.Close()
	}
}
