// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// connections is how many the platform keeps, gap the time between two pushes that go on all the while.
const (
	connections = 8
	gap         = 20 * time.Millisecond
	pushTimeout = 15 * time.Second
)

// task is a firmware upgrade task of the platform, and which of its notifications were answered 200: from that alone
// follows what has to be counted.
type task struct {
	plan *platform.Plan

	mu       sync.Mutex
	answered []bool
	next     int // the notification that comes next
}

// newTask plans a task whose ids are made of its name.
func newTask(t *testing.T, name string, o platform.PlanOptions) *task {
	t.Helper()
	o.Tasks, o.AppID, o.OperationID = 1, "upgrade", name
	plan, err := platform.NewPlan(o)
	must(t, err)
	return &task{plan: plan, answered: make([]bool, plan.Len())}
}

// take returns the number of the next notification. After the last one the platform repeats itself.
func (k *task) take() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := k.next
	k.next = (k.next + 1) % k.plan.Len()
	return i
}

func (k *task) note(i int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answered[i] = true
}

// counts is what has to be counted.
func (k *task) counts() platform.TaskCounts {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.plan.Counts(func(i int) bool { return k.answered[i] })[0]
}

// states returns the state that each device has to be in which was heard of.
func (k *task) states() map[string]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	best := map[int]platform.Kind{}
	for i, ok := range k.answered {
		if n := k.plan.At(i); ok {
			best[n.Device] = max(best[n.Device], n.Kind)
		}
	}
	states := map[string]string{}
	for device, kind := range best {
		states[k.plan.DeviceID(device)] =
			[...]string{"Idle", "Downloading", "Downloaded", "Updating", "Failed", "Succeeded"}[kind]
	}
	return states
}

// sender pushes as the platform does, over connections that it keeps, but does not push again what failed: every push
// has to be answered 200.
type sender struct {
	url    string
	client *http.Client

	mu    sync.Mutex
	sent  int
	wrong []string // answers other than 200
}

func newSender(t *testing.T, url string) *sender {
	t.Helper()
	s := &sender{url: url, client: &http.Client{
		Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections},
		Timeout:   pushTimeout,
	}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// push pushes the next n notifications of a task.
func (s *sender) push(k *task, n int) {
	var group sync.WaitGroup
	turns := make(chan struct{}, n)
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	for range connections {
		group.Go(func() {
			for range turns {
				s.one(k)
			}
		})
	}
	group.Wait()
}

// one pushes one notification, and notes how it was answered.
func (s *sender) one(k *task) {
	i := k.take()
	answer := s.post(k, i)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	if answer != "" {
		s.wrong = append(s.wrong, time.Now().Format(time.TimeOnly)+" "+answer)
		return
	}
	k.note(i)
}

func (s *sender) post(k *task, i int) (wrong string) {
	body, err := k.plan.Body(i)
	if err != nil {
		return err.Error()
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s %v", response.StatusCode, text, err)
	}
	return ""
}

// count returns how many pushes were sent so far.
func (s *sender) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// background pushes notifications of the tasks in turn until the returned function is called.
func (s *sender) background(tasks ...*task) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(gap)
		defer ticker.Stop()
		for turn := 0; ; turn++ {
			select {
			case <-done:
				return
			case <-ticker.C:
				k := tasks[turn%len(tasks)]
				group.Go(func() { s.one(k) })
			}
		}
	})
	return func() {
		close(done)
		group.Wait()
	}
}

// check holds that every push was answered 200.
func (s *sender) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) > 0 {
		some := s.wrong[:min(5, len(s.wrong))]
		t.Errorf("%d of %d pushes were not answered 200, for example: %q", len(s.wrong), s.sent, some)
	}
	s.wrong = nil
}
