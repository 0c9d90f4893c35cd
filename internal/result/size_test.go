// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
)

// awkward generates strings with what JSON and CSV escape, and with what is not UTF-8.
func awkward() *rapid.Generator[string] {
	special := rapid.SampledFrom([]string{
		"\x00", "\b", "\f", "\n", "\r", "\x1f", "\x7f", "<", ">", "&", `"`, `\`, "/", ",", " ", "\u2028", "\u2029", "\u2027",
		"\xff", "\xe2\x80", "é", "\U0001F600", "\ufffd", "a",
	})
	return rapid.OneOf(rapid.Just(""), rapid.String(), rapid.Custom(func(t *rapid.T) string {
		text := ""
		for _, part := range rapid.SliceOfN(special, 0, 10).Draw(t, "parts") {
			text += part
		}
		return text
	}))
}

func awkwardTables() *rapid.Generator[[]storage.ResultTable] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) storage.ResultTable {
		text := awkward()
		return storage.ResultTable{
			AppID: text.Draw(t, "app"), OperationID: text.Draw(t, "operation"), Rows: text.Draw(t, "rows"),
			ResultFields: storage.ResultFields{
				State: storage.State(text.Draw(t, "state")), TargetVersion: text.Draw(t, "target"),
				SourceVersion: text.Draw(t, "source"), CurVersion: text.Draw(t, "current"),
				StatusDesc: text.Draw(t, "text"), UpgradeTime: text.Draw(t, "duration"),
			},
		}
	}), 0, 4)
}

func TestSizeIsAnUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkSize(t, awkwardTables().Draw(t, "tables")) })
}

func FuzzSize(f *testing.F) {
	f.Add("<\x00&>\u2028\xff\"\\")
	f.Add("\b\f\n\r\t\x7f")
	f.Fuzz(func(t *testing.T, text string) {
		checkSize(t, []storage.ResultTable{{OperationID: text, Rows: text}})
	})
}

func checkSize(t resulttest.Fataler, tables []storage.ResultTable) {
	encoded, err := json.Marshal(tables)
	if err != nil {
		t.Fatalf("Could not encode the tables: %v", err)
	}
	if size := result.Size(tables); size < len(encoded) {
		t.Fatalf("Size is %d, below the %d bytes of %q", size, len(encoded), encoded)
	}
}

// TestSizeOfValues holds that a value adds to Size at least what it adds to the encoding, so that the slack of the
// bound hides no mistake, and no more where it need not.
func TestSizeOfValues(t *testing.T) {
	cases := map[string]struct {
		text  string
		slack int
	}{
		"plain":          {"abc/\x7f", 0},
		"escaped by two": {`"\`, 0},
		"end of a line":  {"\n", 0},
		"short escapes":  {"\b\f\r\t", 4 * 4},
		"control":        {"\x00\x1f", 0},
		"HTML":           {"<>&", 0},
		"separators":     {"\u2028\u2029\u2027", 0},
		"runes":          {"é\U0001F600\ufffd", 0},
		"not UTF-8":      {"\xff\xe2\x80", 0},
	}
	excess := func(text string) int {
		tables := []storage.ResultTable{{Rows: text}}
		encoded, err := json.Marshal(tables)
		if err != nil {
			t.Fatal(err)
		}
		return result.Size(tables) - len(encoded)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := excess(c.text) - excess(""); got != c.slack {
				t.Errorf("Size exceeds the encoding by %d bytes for this value, want %d", got, c.slack)
			}
		})
	}
}

// TestSizeIsClose holds that the bound is not bought with space.
func TestSizeIsClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := result.Pack(resulttest.Results().Draw(t, "results"))
		encoded, err := json.Marshal(tables)
		if err != nil {
			t.Fatal(err)
		}
		if size := result.Size(tables); size > len(encoded)+len("null")+2*len(tables) {
			t.Fatalf("Size is %d, far above the %d bytes of %s", size, len(encoded), encoded)
		}
	})
}

func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := resulttest.Results().Draw(t, "results")
		maxBytes := rapid.IntRange(0, 3000).Draw(t, "bytes")
		var rejoined []result.Result
		chunks := result.Split(all, maxBytes)
		for _, tables := range chunks {
			chunk := resulttest.Unpack(t, tables)
			if len(chunk) == 0 {
				t.Fatal("A slice has no results")
			}
			if size := result.Size(tables); size > maxBytes && len(chunk) > 1 {
				t.Fatalf("A slice of %d results takes %d bytes, limit %d", len(chunk), size, maxBytes)
			}
			if len(tables) > storage.MaxSliceTables {
				t.Fatalf("A slice has %d tables", len(tables))
			}
			rejoined = append(rejoined, chunk...)
		}
		if diff := cmp.Diff(normalizedAndSorted(all), normalizedAndSorted(rejoined)); diff != "" {
			t.Fatalf("Results differ after Split (-want,+got):\n%s", diff)
		}
		again := result.Split(rapid.Permutation(all).Draw(t, "shuffled"), maxBytes)
		if diff := cmp.Diff(chunks, again); diff != "" {
			t.Fatalf("Split depends on the order of its input:\n%s", diff)
		}
	})
}

// TestSplitFillsSlices holds that slices are as few as they may be: all but the last are full to nine tenths.
func TestSplitFillsSlices(t *testing.T) {
	for _, many := range []int{1, 100, 20_000} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			chunks := result.Split(resulttest.Many(0, many, storage.StateSucceeded), storage.MaxSliceBytes)
			for _, tables := range chunks[:len(chunks)-1] {
				if size := result.Size(tables); size < storage.MaxSliceBytes*9/10 {
					t.Errorf("A slice has %d of %d bytes", size, storage.MaxSliceBytes)
				}
			}
		})
	}
}

// TestBytesAResult holds the size of a stored result with ids of 36 characters, as compaction stores it.
func TestBytesAResult(t *testing.T) {
	const many = 100_000
	bytes := 0
	for _, tables := range result.Split(resulttest.Many(0, many, storage.StateSucceeded), storage.MaxSliceBytes) {
		bytes += result.Size(tables)
	}
	if bytes > many*150 {
		t.Errorf("A result takes %d bytes, want at most 150", bytes/many)
	}
}
