// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// anyText draws texts of all sizes, among them such as take more bytes in JSON.
func anyText(rt *rapid.T, name string, maxBytes int) string {
	unit := rapid.SampledFrom([]string{"x", "\x01", "<", `"`, "é", "\u2028"}).Draw(rt, name+" of")
	times := rapid.IntRange(0, maxBytes/len(unit)).Draw(rt, name+" length")
	return strings.Repeat(unit, times)
}

func anyEntry(rt *rapid.T) *entry {
	if rapid.IntRange(0, 3).Draw(rt, "rejected") == 0 {
		reason, body := anyText(rt, "reason", 400), anyText(rt, "body", 6000)
		return newRejectedEntry(time.Unix(1, 0), reason, []byte(body))
	}
	return newResultEntry(time.Unix(1, 0), upgrade.Result{
		Task: upgrade.Task{
			AppID:       anyText(rt, "app", v1alpha1.MaxIDBytes),
			OperationID: "o" + anyText(rt, "operation", v1alpha1.MaxIDBytes-1),
		},
		DeviceID: "d" + anyText(rt, "device", v1alpha1.MaxIDBytes-1),
		ResultFields: v1alpha1.ResultFields{
			State:         v1alpha1.StateFailed,
			TargetVersion: anyText(rt, "target", v1alpha1.MaxVersionBytes),
			StatusDesc:    anyText(rt, "description", v1alpha1.MaxStatusDescBytes),
		},
		ReceivedAt: 1,
	}, nil)
}

// TestFitStaysWithinASlice checks that a slice is never too large, holds the first entries and is not needlessly small.
func TestFitStaysWithinASlice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SliceOfN(rapid.Custom(anyEntry), 1, 8).Draw(rt, "kinds")
		entries := make([]*entry, rapid.IntRange(1, maxBatchEntries).Draw(rt, "entries"))
		for i := range entries {
			entries[i] = kinds[i%len(kinds)]
		}
		entries = entries[:countBatch(entries)]
		spec, fitting := fit(entries)
		if fitting < 1 || fitting > len(entries) {
			rt.Fatalf("%d of %d entries fit", fitting, len(entries))
		}
		if got := len(unpack(&spec)) + len(spec.Rejected); got != fitting {
			rt.Fatalf("the slice holds %d entries, not %d", got, fitting)
		}
		body, err := encodeSlice(sliceName(), &spec)
		if err != nil {
			rt.Fatal(err)
		}
		if len(body) > v1alpha1.MaxSliceBytes {
			rt.Fatalf("%d entries make a slice of %d bytes", fitting, len(body))
		}
		if len(spec.Tables) > v1alpha1.MaxSliceTables || len(spec.Rejected) > 1024 {
			rt.Fatalf("%d tables and %d rejected notifications", len(spec.Tables), len(spec.Rejected))
		}
	})
}

func TestTypicalBatchFillsASlice(t *testing.T) {
	entries := make([]*entry, maxBatchEntries)
	for i := range entries {
		entries[i] = newResultEntry(time.Unix(1, 0), upgrade.Result{
			Task:     upgrade.Task{AppID: "Xq2_RfV0wAbnT3yLk9PzQeJmHsIa", OperationID: "9d6e2f0a5b"},
			DeviceID: "c7a9f0b2-2a4e-4c65-9b3a-0f9d3c1f6f11",
			ResultFields: v1alpha1.ResultFields{
				State: v1alpha1.StateSucceeded, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.6", UpgradeTime: "120",
			},
			ReceivedAt: 1764000000000000 + int64(i),
		}, nil)
	}
	_, fitting := fit(entries[:countBatch(entries)])
	if fitting < maxBatchEntries {
		t.Errorf("only %d of %d typical results fit into a slice", fitting, maxBatchEntries)
	}
}

func TestQueueKeepsOrderAndBounds(t *testing.T) {
	var length int
	q := newQueue(clock.RealClock{}, func(n int) { length = n })
	for i := range maxQueueEntries {
		if !q.push(deviceEntry(i)) {
			t.Fatalf("refused entry %d", i)
		}
	}
	if q.push(deviceEntry(0)) {
		t.Error("accepted one too many")
	}
	if length != maxQueueEntries {
		t.Errorf("%d entries wait", length)
	}
	batch := q.take()
	if len(batch) != maxBatchEntries {
		t.Fatalf("took %d entries", len(batch))
	}
	q.putBack(batch[100:])
	q.close()
	got := batch[:100]
	for batch = q.take(); batch != nil; batch = q.take() {
		got = append(got[:len(got):len(got)], batch...)
	}
	if len(got) != maxQueueEntries {
		t.Fatalf("got %d entries back", len(got))
	}
	for i, e := range got {
		if e.result.ReceivedAt != int64(i+1) {
			t.Fatalf("entry %d came at place %d", e.result.ReceivedAt-1, i)
		}
	}
	if length != 0 {
		t.Errorf("%d entries wait", length)
	}
}

func TestQueueBoundsRejectedInABatch(t *testing.T) {
	q := newQueue(clock.RealClock{}, func(int) {})
	for range maxBatchRejected + 1 {
		q.push(newRejectedEntry(time.Unix(1, 0), "x", nil))
	}
	if got := len(q.take()); got != maxBatchRejected {
		t.Errorf("took %d rejected notifications, want %d", got, maxBatchRejected)
	}
}

func TestRejectedNotificationIsWithinTheSchema(t *testing.T) {
	got := rejectedNotification(time.Unix(1, 2000), strings.Repeat("é\n", 200), []byte(strings.Repeat("\xff", 5000)+"secret"))
	if len(got.Reason) > v1alpha1.MaxRejectedReasonBytes || strings.Contains(got.Reason, "\n") {
		t.Errorf("reason %q", got.Reason)
	}
	if len(got.Body) > v1alpha1.MaxRejectedBodyBytes || strings.Contains(got.Body, "secret") {
		t.Errorf("a body of %d bytes", len(got.Body))
	}
	encoded, err := json.Marshal(got.ReceivedAt)
	if err != nil || string(encoded) != `"1970-01-01T00:00:01.000002Z"` {
		t.Errorf("received at %s, %v", encoded, err)
	}
}
