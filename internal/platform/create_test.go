// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// creations are requests, and what they are as the body of a creation.
func creations() map[string]struct {
	request TaskRequest
	body    string
} {
	devices := Targets{Devices: []string{"d-2", "d-1", "d-2"}}
	at := time.Date(2030, 12, 8, 23, 0, 0, 999_999_999, time.FixedZone("CET", 3600))
	return map[string]struct {
		request TaskRequest
		body    string
	}{
		"devices, at once": {
			TaskRequest{PackageID: "package", Targets: devices},
			`{"fileId":"package","targets":{"devices":["d-2","d-1"]},"policy":{"executeType":"now"}}`,
		},
		"retries": {
			TaskRequest{PackageID: "package", Targets: devices, Retries: 5},
			`{"fileId":"package","targets":{"devices":["d-2","d-1"]},
				"policy":{"executeType":"now","retryType":true,"retryTimes":5}}`,
		},
		"a window": {
			TaskRequest{PackageID: "package", Targets: devices, Start: at, End: at.AddDate(0, 0, 6)},
			`{"fileId":"package","targets":{"devices":["d-2","d-1"]},
				"policy":{"executeType":"custom","startTime":"20301208T220000Z","endTime":"20301214T220000Z"}}`,
		},
		"groups": {
			TaskRequest{PackageID: "<&>", Retries: 1, Targets: Targets{
				DeviceGroups: []string{"south", "north", "south"}, DeviceType: "Meter", Model: "NB-600", ManufacturerName: "Acme",
			}},
			`{"fileId":"<&>","targets":{"deviceGroups":["south","north"],"deviceType":"Meter","model":"NB-600",
				"manufacturerName":"Acme"},"policy":{"executeType":"now","retryType":true,"retryTimes":1}}`,
		},
	}
}

func TestCreateTask(t *testing.T) {
	for name, tc := range creations() {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			p.set(nil, always(http.StatusOK, `{"operationId":"op-1"}`))
			c := connect(t, p)
			id, err := c.CreateTask(t.Context(), tc.request, nil)
			if c.must("", err); id != "op-1" {
				t.Errorf("created %q, want op-1", id)
			}
			r := p.seen()[1]
			var got, want any
			if err := json.Unmarshal([]byte(r.body), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(tc.body), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if r.method != http.MethodPost || r.path != createPath || r.query != "" ||
				r.header.Get("Content-Type") != contentJSON || r.header.Get("app_key") != testAppID ||
				r.header.Get("Authorization") != "Bearer token-1-of-the-platform" {
				t.Errorf("called %+v", r)
			}
			if last := c.calls[len(c.calls)-1]; last.Name != CallCreateTask || last.Outcome != OutcomeSuccess {
				t.Errorf("observed %+v", last)
			}
		})
	}
}

// TestCreateTaskOnSimulator holds that the simulator, which takes nothing that is not documented, creates what was
// asked for, and that it is recognised in its list.
func TestCreateTaskOnSimulator(t *testing.T) {
	server, err := northbound.Start(t.Context(), northbound.Options{Groups: map[string]int{"north": 2, "south": 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.CA())
	c, err := New(Options{
		Endpoint: server.URL(), AppID: server.AppID(), RootCAs: roots, CallsPerMinute: 100,
		Secret: func() ([]byte, error) { return []byte(server.Secret()), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for name, tc := range creations() {
		server.AllowAgain(1) // of the same targets
		if ids[name], err = c.CreateTask(t.Context(), tc.request, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := c.Tasks(t.Context(), TaskFilter{}, PriorityResolve)
	if err != nil || !list.Complete || len(list.Tasks) != len(ids) {
		t.Fatalf("%d tasks, complete %t, %v", len(list.Tasks), list.Complete, err)
	}
	for _, listed := range list.Tasks {
		task, err := c.Task(t.Context(), listed.OperationID, PriorityResolve) // a list by nothing has no targets
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range creations() {
			if got, want := isRecognised(task, tc.request), ids[name] == task.OperationID; got != want {
				t.Errorf("%s: matches %+v: %t", name, task, got)
			}
		}
	}
	if got := server.Report().Calls; got.Beyond != 0 {
		t.Errorf("not in the documents: %v", got.BeyondSamples)
	}
}

// isRecognised says whether a task is what was asked for, by all that the platform tells of it.
func isRecognised(task *Task, r TaskRequest) bool {
	sorted := func(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }
	return slices.Equal(sorted(task.Targets.Devices), sorted(r.Targets.Devices)) &&
		slices.Equal(sorted(task.Targets.DeviceGroups), sorted(r.Targets.DeviceGroups)) &&
		task.Targets.AreOfKind(r.Targets.DeviceType, r.Targets.Model, r.Targets.ManufacturerName) &&
		task.Policy.Matches(r.Start, r.End, r.Retries) && Agrees(task.FileVersion, "1.6")
}

// TestCreatePriority holds that a creation goes before what was asked for earlier, and after a login.
func TestCreatePriority(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			always(http.StatusOK, `{"operationId":"op-1"}`)(w, r)
			return
		}
		always(http.StatusOK, `{"data":[],"totalCount":0}`)(w, r)
	})
	c := connect(t, p, func(o *Options) { o.CallsPerMinute = 1 })
	c.must("", c.Login(t.Context()))
	order := make(chan string, 2)
	queued := func(n int) {
		t.Helper()
		for {
			c.limiter.mu.Lock()
			waiting := len(c.limiter.queue)
			c.limiter.mu.Unlock()
			if waiting == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	go func() {
		_, err := c.Tasks(context.Background(), TaskFilter{}, PriorityResolve)
		c.report(err)
		order <- "list"
	}()
	queued(1)
	go func() {
		_, err := c.CreateTask(context.Background(), requested(), nil)
		c.report(err)
		order <- "create"
	}()
	queued(2)
	c.patient()
	if first, second := <-order, <-order; first != "create" || second != "list" {
		t.Errorf("first %s, then %s", first, second)
	}
}

func (c *tester) report(err error) {
	if err != nil {
		c.t.Error(err)
	}
}
