// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// await waits for creations, for a minute at most.
func (f *fixture) await(atLeast int) []northbound.Creation {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	creations, err := f.AwaitCreations(ctx, atLeast)
	if err != nil {
		f.t.Fatal(err)
	}
	return creations
}

// TestAwaitCreations holds that a creation is told when it was handled, before its answer, and a refused one, too.
func TestAwaitCreations(t *testing.T) {
	f := start(t, northbound.Options{})
	if got := f.await(0); len(got) != 0 {
		t.Errorf("before any: %+v", got)
	}
	waiting := make(chan []northbound.Creation)
	go func() {
		creations, _ := f.AwaitCreations(context.Background(), 1)
		waiting <- creations
	}()
	f.faults(northbound.Faults{AnswerSilent: northbound.Fault{Next: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		body, _ := json.Marshal(creation("d"))
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.URL()+createPath, bytes.NewReader(body))
		if err == nil {
			request.Header = f.header()
			request.Header.Set("Content-Type", "application/json")
			err = f.do(request).err
		}
		answered <- err
	}()
	got := <-waiting
	if len(got) != 1 || got[0].OperationID == "" || got[0].OperationID != f.tasks()[0] {
		t.Errorf("while it is not answered: %+v", got)
	}
	select {
	case err := <-answered:
		t.Errorf("answered: %v", err)
	default:
	}
	cancel() // as the end of the client
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("the client ended, but: %v", err)
	}
	f.post(createPath, object{})
	if got := f.await(2); len(got) != 2 || got[1].Code != "120015" || got[1].OperationID != "" {
		t.Errorf("a refused one: %+v", got)
	}
	if creations, err := f.AwaitCreations(ctx, 3); !errors.Is(err, context.Canceled) || len(creations) != 2 {
		t.Errorf("when the waiting ended: %+v, %v", creations, err)
	}
}

// TestAwaitCreationsByControl holds the same of the control.
func TestAwaitCreationsByControl(t *testing.T) {
	f := start(t, northbound.Options{})
	path := "/_/creations?atLeast="
	for _, number := range []string{"-1", "x", "1.0"} {
		if answer := f.control(http.MethodGet, path+number, f.ControlKey(), ""); answer.status != http.StatusBadRequest {
			t.Errorf("%s: %d", number, answer.status)
		}
	}
	if answer := f.control(http.MethodGet, "/_/creations", f.ControlKey(), ""); answer.body != "[]\n" {
		t.Errorf("before any: %d %q", answer.status, answer.body)
	}
	waiting := make(chan reply)
	go func() { waiting <- f.control(http.MethodGet, path+"2", f.ControlKey(), "") }()
	f.create("a")
	f.create("b")
	var got []northbound.Creation
	if err := json.Unmarshal([]byte((<-waiting).body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.Report().Creations, got); diff != "" || len(got) != 2 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
