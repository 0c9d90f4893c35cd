// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/wrappers"
)

const (
	connections   = 24
	hurried       = 256              // connections of a load without a rate
	answerTimeout = 15 * time.Second // the platform's
	maxProblems   = 10
)

// load pushes a plan by connections that are kept, and repeats nothing: unlike net/http's client it counts it when the
// webhook closes a connection without having said so. It goes on until it is stopped or everything was pushed.
type load struct {
	plan *platform.Plan
	url  *url.URL
	rate float64
	stop chan struct{}
	done chan struct{}

	mu        sync.Mutex // guards what follows
	answers   map[string]int
	delivered []bool
	opened    int
	problems  []string
}

func startLoad(t *testing.T, plan *platform.Plan, callback string, perSecond float64) *load {
	t.Helper()
	target, err := url.Parse(callback)
	if err != nil {
		t.Fatal("the callback's URL can't be parsed")
	}
	l := &load{
		plan: plan, url: target, rate: perSecond, stop: make(chan struct{}), done: make(chan struct{}),
		answers: map[string]int{}, delivered: make([]bool, plan.Len()),
	}
	go l.run()
	t.Cleanup(l.end)
	return l
}

// end stops taking new notifications and waits for the answers that are due. Ending twice is allowed.
func (l *load) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	<-l.done
}

func (l *load) run() {
	defer close(l.done)
	work := make(chan int)
	var group sync.WaitGroup
	workers := connections
	if l.rate == 0 {
		workers = hurried
	}
	for range workers {
		group.Go(func() { l.work(work) })
	}
	defer group.Wait()
	defer close(work)
	began := time.Now()
	for number := range l.plan.Len() {
		if l.rate > 0 {
			due := began.Add(time.Duration(float64(number) / l.rate * float64(time.Second)))
			select {
			case <-l.stop:
				return
			case <-time.After(time.Until(due)):
			}
		}
		select {
		case <-l.stop:
			return
		case work <- number:
		}
	}
}

// connection is a kept one, and what was read of it beyond an answer.
type connection struct {
	net.Conn
	buffered *bufio.Reader
}

func (l *load) work(work <-chan int) {
	var conn *connection
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for number := range work {
		answer, problem := l.push(&conn, number)
		l.record(number, answer, problem)
	}
}

// push pushes one notification; without an answer, it says what came instead, and the connection is gone.
func (l *load) push(conn **connection, number int) (answer string, problem error) {
	body, err := l.plan.Body(number)
	if err != nil {
		return "not sent", err
	}
	reused := *conn != nil
	if !reused {
		raw, err := net.DialTimeout("tcp", l.url.Host, answerTimeout)
		if err != nil {
			return "not connected", err
		}
		*conn = &connection{Conn: raw, buffered: bufio.NewReader(raw)}
		l.mu.Lock()
		l.opened++
		l.mu.Unlock()
	}
	response, err := exchange(*conn, l.url, body)
	if err != nil || response.Close {
		_ = (*conn).Close()
		*conn = nil
	}
	if err != nil {
		return "connection broken", fmt.Errorf("reused %t: %w", reused, err)
	}
	return strconv.Itoa(response.StatusCode), nil
}

func exchange(conn *connection, target *url.URL, body []byte) (*http.Response, error) {
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		target.Path, target.Host, len(body))
	request.Write(body)
	if _, err := conn.Write(request.Bytes()); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(conn.buffered, nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response, err
}

func (l *load) record(number int, answer string, problem error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[answer]++
	l.delivered[number] = answer == "200"
	if problem != nil && len(l.problems) < maxProblems {
		l.problems = append(l.problems, fmt.Sprintf("%s %s: %v", time.Now().Format("15:04:05.000"), answer, problem))
	}
}

// count is how many were answered so.
func (l *load) count(answer string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[answer]
}

// others is how many had another answer than 200, or none.
func (l *load) others() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := 0
	for answer, count := range l.answers {
		if answer != "200" {
			sum += count
		}
	}
	return sum
}

// awaitAnswers waits until so many more were answered 200.
func (l *load) awaitAnswers(t *testing.T, more int) {
	t.Helper()
	before := l.count("200")
	eventually(t, func() string {
		if got := l.count("200") - before; got < more {
			return fmt.Sprintf("%d answers 200, of %d", got, more)
		}
		return ""
	})
}

// String says what was answered.
func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("answers %v over %d connections\n%s", l.answers, l.opened, strings.Join(l.problems, "\n"))
}

// newPlan plans an upgrade of its own.
func newPlan(t *testing.T, name string, devices int) *platform.Plan {
	t.Helper()
	plan, err := platform.NewPlan(platform.PlanOptions{
		Devices: devices, Tasks: 1, Fail: 0.03, Seed: uint64(devices), AppID: "node", OperationID: name,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// declare creates the FirmwareUpgrade of a plan.
func (n *node) declare(t *testing.T, plan *platform.Plan) *v1alpha1.FirmwareUpgrade {
	t.Helper()
	fwu := wrappers.MakeFirmwareUpgrade(plan.OperationID(0), "default").
		Operation(plan.OperationID(0)).App(plan.Options().AppID).Settle(0).Obj()
	if err := n.client.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	return fwu
}

// requireCounted waits until the status counts what was answered 200, and at most so many pushes more, which may have
// been stored without an answer.
func (n *node) requireCounted(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, l *load, more int) {
	t.Helper()
	want := l.plan.Counts(func(i int) bool { return l.delivered[i] })[0]
	reported := want.Succeeded + want.Failed
	eventually(t, func() string {
		if err := n.client.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		d := fwu.Status.Devices
		extra := d.Succeeded + d.Failed - reported
		if d.Succeeded < want.Succeeded || d.Failed < want.Failed || extra > int64(more) {
			return fmt.Sprintf("%d succeeded and %d failed are counted, answered 200 were %d and %d (%d others)",
				d.Succeeded, d.Failed, want.Succeeded, want.Failed, more)
		}
		return ""
	})
	t.Logf("%s: %d answered 200, %d counted", fwu.Name, reported, fwu.Status.Devices.Succeeded+fwu.Status.Devices.Failed)
}

// pushAndCount pushes so many notifications, which all have to be answered 200 and counted.
func (n *node) pushAndCount(t *testing.T, name string, devices int) {
	t.Helper()
	plan := newPlan(t, name, devices)
	fwu := n.declare(t, plan)
	l := startLoad(t, plan, n.callback(t), *rate)
	<-l.done
	if l.others() > 0 {
		t.Errorf("not all were answered 200: %s", l)
	}
	n.requireCounted(t, fwu, l, 0)
	if err := n.client.Delete(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
}

// awaitAnswers waits until every new connection to the Service is answered: kube-proxy learns of endpoints a moment
// after the API server has them.
func (n *node) awaitAnswers(t *testing.T) {
	t.Helper()
	address, err := url.Parse(n.callback(t))
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" // without the secret
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	eventually(t, func() string {
		for range 16 {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address.String(), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := fresh.Do(request)
			if err != nil {
				return "a new connection is not answered: " + err.Error()
			}
			_ = response.Body.Close()
		}
		return ""
	})
}

// awaitEndpoints waits until so many webhooks are ready behind the Service.
func (n *node) awaitEndpoints(t *testing.T, want int) {
	t.Helper()
	eventually(t, func() string {
		list := &discoveryv1.EndpointSliceList{}
		err := n.client.List(t.Context(), list, client.InNamespace(operatorNamespace),
			client.MatchingLabels{discoveryv1.LabelServiceName: webhookName})
		if err != nil {
			return err.Error()
		}
		ready := 0
		for i := range list.Items {
			for _, endpoint := range list.Items[i].Endpoints {
				if endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready {
					ready++
				}
			}
		}
		if ready != want {
			return fmt.Sprintf("%d endpoints are ready, not %d", ready, want)
		}
		return ""
	})
}
