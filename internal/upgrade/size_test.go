// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// awkward generates strings with what JSON escapes, and with what is not UTF-8.
func awkward() *rapid.Generator[string] {
	special := rapid.SampledFrom([]string{
		"\x00", "\b", "\f", "\n", "\x1f", "\x7f", "<", ">", "&", `"`, `\`, "/", "\u2028", "\u2029", "\u2027", "\xff",
		"\xe2\x80", "é", "\U0001F600", "\ufffd", "a",
	})
	return rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Custom(func(t *rapid.T) string {
		text := ""
		for _, part := range rapid.SliceOfN(special, 0, 10).Draw(t, "parts") {
			text += part
		}
		return text
	}))
}

func awkwardEntries() *rapid.Generator[[]v1alpha1.TaskResults] {
	fields := rapid.Custom(func(t *rapid.T) v1alpha1.ResultFields {
		text := awkward()
		return v1alpha1.ResultFields{
			State: v1alpha1.State(text.Draw(t, "state")), TargetVersion: text.Draw(t, "target"),
			SourceVersion: text.Draw(t, "source"), CurVersion: text.Draw(t, "current"),
			StatusDesc: text.Draw(t, "text"), UpgradeTime: text.Draw(t, "duration"),
		}
	})
	result := rapid.Custom(func(t *rapid.T) v1alpha1.DeviceResult {
		return v1alpha1.DeviceResult{
			DeviceID: awkward().Draw(t, "device"), SubOperationID: awkward().Draw(t, "sub-task"),
			ResultFields: fields.Draw(t, "fields"),
			ReceivedAt:   rapid.Int64().Draw(t, "received"), FailedAt: rapid.Int64().Draw(t, "failed"),
		}
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) v1alpha1.TaskResults {
		return v1alpha1.TaskResults{
			AppID: awkward().Draw(t, "app"), OperationID: awkward().Draw(t, "operation"),
			ResultFields:    fields.Draw(t, "fields"),
			FirstReceivedAt: rapid.Int64().Draw(t, "first"), LastReceivedAt: rapid.Int64().Draw(t, "last"),
			Results: rapid.SliceOfN(result, 0, 5).Draw(t, "results"),
		}
	}), 0, 4)
}

func TestSizeIsAnUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := awkwardEntries().Draw(t, "entries")
		if len(entries) > 0 && rapid.Bool().Draw(t, "null") {
			entries[0].Results = nil
		}
		checkSize(t, entries)
	})
}

func FuzzSize(f *testing.F) {
	f.Add("<\x00&>\u2028\xff\"\\", int64(-1<<63))
	f.Add("\b\f\n\r\t\x7f", int64(1<<63-1))
	f.Fuzz(func(t *testing.T, text string, number int64) {
		checkSize(t, []v1alpha1.TaskResults{{
			OperationID: text, LastReceivedAt: number,
			Results: []v1alpha1.DeviceResult{{DeviceID: text, ReceivedAt: number, FailedAt: -number / 10}},
		}})
	})
}

func checkSize(t interface{ Fatalf(string, ...any) }, entries []v1alpha1.TaskResults) {
	encoded, err := json.Marshal(entries)
	if err != nil {
		t.Fatalf("Could not encode the entries: %v", err)
	}
	if size := upgrade.Size(entries); size < len(encoded) {
		t.Fatalf("Size is %d, below the %d bytes of %q", size, len(encoded), encoded)
	}
}

// TestSizeOfValues holds that a value adds to Size at least what it adds to the encoding, so that the slack of the
// bound hides no mistake, and no more where it need not.
func TestSizeOfValues(t *testing.T) {
	cases := map[string]struct {
		text   string
		number int64
		slack  int
	}{
		"plain":            {"abc/\x7f", 1, 0},
		"escaped by two":   {`"\`, 1, 0},
		"short escapes":    {"\b\f\n\r\t", 1, 5 * 4},
		"control":          {"\x00\x1f", 1, 0},
		"HTML":             {"<>&", 1, 0},
		"separators":       {"\u2028\u2029\u2027", 1, 0},
		"runes":            {"é\U0001F600\ufffd", 1, 0},
		"not UTF-8":        {"\xff\xe2\x80", 1, 0},
		"digits":           {"", 1234567890, 0},
		"ten":              {"", 10, 0},
		"nine":             {"", 9, 0},
		"negative":         {"", -9, 0},
		"negative ten":     {"", -10, 0},
		"the least number": {"", math.MinInt64, 0},
		"the last number":  {"", math.MaxInt64, 0},
	}
	excess := func(text string, number int64) int {
		entries := []v1alpha1.TaskResults{{OperationID: text, Results: []v1alpha1.DeviceResult{{ReceivedAt: number}}}}
		encoded, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		return upgrade.Size(entries) - len(encoded)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := excess(c.text, c.number) - excess("", 1); got != c.slack {
				t.Errorf("Size exceeds the encoding by %d bytes for this value, want %d", got, c.slack)
			}
		})
	}
}

// TestSizeIsClose holds that the bound is not bought with space: an entry costs at most six bytes too
// much, and a result two.
func TestSizeIsClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := upgrade.Pack(notifications().Draw(t, "results"))
		spec := sliceOf(entries)
		encoded, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		limit := len(encoded) + 6*len(entries) + 2*upgrade.Count(&spec)
		if size := upgrade.Size(entries); size > max(limit, len("null")) {
			t.Fatalf("Size is %d, far above the %d bytes of %s", size, len(encoded), encoded)
		}
	})
}

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := awkwardEntries().Draw(t, "entries")
		maxBytes := rapid.IntRange(0, 3000).Draw(t, "bytes")
		var rejoined []v1alpha1.TaskResults
		for _, chunk := range upgrade.Split(entries, maxBytes) {
			count := 0
			for _, entry := range chunk {
				count += len(entry.Results)
			}
			if upgrade.Size(chunk) >= maxBytes && count != 1 {
				t.Fatalf("A chunk of %d results takes %d bytes, limit %d", count, upgrade.Size(chunk), maxBytes)
			}
			if count == 0 {
				t.Fatal("A chunk has no results")
			}
			rejoined = append(rejoined, chunk...)
		}
		checkRejoined(t, entries, rejoined)
	})
}

// checkRejoined takes the parts of each entry from the front of parts and holds that they make up the entry.
func checkRejoined(t *rapid.T, entries, parts []v1alpha1.TaskResults) {
	for _, entry := range entries {
		if len(entry.Results) == 0 {
			continue
		}
		if len(parts) == 0 {
			t.Fatal("An entry is lost")
		}
		joined := parts[0]
		joined.Results = slices.Clone(joined.Results)
		parts = parts[1:]
		for len(joined.Results) < len(entry.Results) && len(parts) > 0 {
			rest := parts[0]
			if rest.FirstReceivedAt != 0 || rest.LastReceivedAt != 0 {
				t.Fatal("A later part of an entry repeats its receive times")
			}
			if rest.ResultFields != entry.ResultFields || rest.OperationID != entry.OperationID || rest.AppID != entry.AppID {
				t.Fatal("A part of an entry lost what its results share")
			}
			joined.Results = append(joined.Results, rest.Results...)
			parts = parts[1:]
		}
		if diff := cmp.Diff(entry, joined); diff != "" {
			t.Fatalf("An entry differs after Split (-want,+got):\n%s", diff)
		}
	}
	if len(parts) > 0 {
		t.Fatalf("%d parts belong to no entry", len(parts))
	}
}

func TestSplitStaysBelowTheLimit(t *testing.T) {
	entries := upgrade.Pack([]upgrade.Result{failed("d1", 1), failed("d2", 2)})
	size := upgrade.Size(entries)
	for limit, want := range map[int]int{size: 2, size + 1: 1} {
		if got := len(upgrade.Split(entries, limit)); got != want {
			t.Errorf("%d bytes are cut into %d chunks of less than %d, want %d", size, got, limit, want)
		}
	}
}

func TestSplitLimitsTheEntriesOfASlice(t *testing.T) {
	many := make([]v1alpha1.TaskResults, v1alpha1.MaxSliceTasks+1)
	for i := range many {
		many[i] = v1alpha1.TaskResults{OperationID: fmt.Sprint(i), Results: make([]v1alpha1.DeviceResult, 1)}
	}
	got := []int{}
	for _, chunk := range upgrade.Split(many, v1alpha1.MaxSliceBytes) {
		got = append(got, len(chunk))
	}
	if diff := cmp.Diff([]int{v1alpha1.MaxSliceTasks, 1}, got); diff != "" {
		t.Errorf("Unexpected entries per chunk (-want,+got):\n%s", diff)
	}
}
