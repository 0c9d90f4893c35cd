// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
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
		if rapid.Bool().Draw(rt, "compressed") {
			body = "\xff" + body
		}
		return newRejectedEntry(time.Unix(1, 0), reason, []byte(body))
	}
	return newResultEntry(time.Unix(1, 0), result.Result{
		Task: result.Task{
			AppID:       anyText(rt, "app", storage.MaxIDBytes),
			OperationID: "o" + anyText(rt, "operation", storage.MaxIDBytes-1),
		},
		DeviceID: "d" + anyText(rt, "device", storage.MaxIDBytes-1),
		ResultFields: storage.ResultFields{
			State:         storage.StateFailed,
			TargetVersion: anyText(rt, "target", storage.MaxVersionBytes),
			StatusDesc:    anyText(rt, "description", storage.MaxStatusDescBytes),
		},
		ReceivedAt: 1,
	}, nil)
}

// TestSliceOfStaysWithinTheBounds checks that a slice is never too large, and holds as many entries as are said to fit.
func TestSliceOfStaysWithinTheBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SliceOfN(rapid.Custom(anyEntry), 1, 8).Draw(rt, "kinds")
		entries := make([]*entry, rapid.IntRange(1, maxBatchEntries).Draw(rt, "entries"))
		for i := range entries {
			entries[i] = kinds[i%len(kinds)]
		}
		entries = entries[:countBatch(entries)]
		slice, fitting := sliceOf(entries)
		if fitting < 1 || fitting > len(entries) {
			rt.Fatalf("%d of %d entries fit", fitting, len(entries))
		}
		if got := len(unpack(slice)) + len(slice.Rejected); got != fitting {
			rt.Fatalf("the slice holds %d entries, not %d", got, fitting)
		}
		body, err := encodeSlice(sliceName(), slice)
		if err != nil {
			rt.Fatal(err)
		}
		if len(body) > storage.MaxSliceBytes {
			rt.Fatalf("%d entries make a slice of %d bytes", fitting, len(body))
		}
		if len(slice.Tables) > storage.MaxSliceTables || len(slice.Rejected) > 1024 {
			rt.Fatalf("%d tables and %d rejected notifications", len(slice.Tables), len(slice.Rejected))
		}
	})
}

func TestTypicalBatchFillsASlice(t *testing.T) {
	entries := make([]*entry, maxBatchEntries)
	for i := range entries {
		entries[i] = newResultEntry(time.Unix(1, 0), result.Result{
			Task:     result.Task{AppID: "Xq2_RfV0wAbnT3yLk9PzQeJmHsIa", OperationID: "9d6e2f0a5b"},
			DeviceID: "c7a9f0b2-2a4e-4c65-9b3a-0f9d3c1f6f11",
			ResultFields: storage.ResultFields{
				State: storage.StateSucceeded, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.6", UpgradeTime: "120",
			},
			ReceivedAt: 1764000000000000 + int64(i),
		}, nil)
	}
	_, fitting := sliceOf(entries[:countBatch(entries)])
	if fitting < maxBatchEntries {
		t.Errorf("only %d of %d typical results fit into a slice", fitting, maxBatchEntries)
	}
}

// TestRejectedNotificationIsWithinTheSchema: whatever came, what is stored of it is within the bounds of the kind and
// is the body byte for byte; where that had to be cut, it says how large the body was.
func TestRejectedNotificationIsWithinTheSchema(t *testing.T) {
	long := strings.Repeat("x", storage.MaxRejectedBodyBytes-1)
	cases := map[string]struct {
		body, encoding string
		text, raw      string
		size           int64
	}{
		"nothing":                     {},
		"text":                        {body: "{\r\n\t\"é\ufffd升\": <", text: "{\r\n\t\"é\ufffd升\": <"},
		"an escape sequence":          {body: "a\x1b[2J", raw: "a\x1b[2J"},
		"a control character of C1":   {body: "a\u009b2J", raw: "a\u009b2J"},
		"characters turned around":    {body: "a\u202eb", raw: "a\u202eb"},
		"bytes":                       {body: "\x1f\x8b\x08\xff", encoding: "gzip", raw: "\x1f\x8b\x08\xff"},
		"Latin-1":                     {body: "caf\xe9", raw: "caf\xe9"},
		"half a character at the end": {body: "a\xc3", raw: "a\xc3"},
		"as long as may be":           {body: long + "x", text: long + "x"},
		"too long":                    {body: long + "xy", text: long + "x", size: 4097},
		"cut within a character":      {body: long + "é", text: long, size: 4097},
		"long bytes":                  {body: "\xff" + long + "secret", raw: "\xff" + long, size: 4102},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			push := newOriginal([]byte(tc.body), int64(len(tc.body)), tc.encoding)
			got := rejectedNotification(time.Unix(1, 2000), strings.Repeat("é\n\u202e", 200), push)
			if len(got.Reason) > storage.MaxRejectedReasonBytes || strings.ContainsFunc(got.Reason, result.IsHidden) {
				t.Errorf("reason %q", got.Reason)
			}
			encoded, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var stored storage.RejectedNotification
			if err := json.Unmarshal(encoded, &stored); err != nil {
				t.Fatal(err)
			}
			if stored.Body != tc.text || string(stored.RawBody) != tc.raw || stored.BodyBytes != tc.size ||
				stored.ContentEncoding != tc.encoding {
				t.Errorf("got text %q, bytes %q of %d, encoded %q", stored.Body, stored.RawBody, stored.BodyBytes,
					stored.ContentEncoding)
			}
			if received, err := json.Marshal(got.ReceiveTime); err != nil ||
				string(received) != `"1970-01-01T00:00:01.000002Z"` {
				t.Errorf("received at %s, %v", received, err)
			}
		})
	}
}
