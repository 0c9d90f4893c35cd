// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// A bar never looks better than it is.
func TestBarIsTrue(t *testing.T) {
	count := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 10_000_000))
	rapid.Check(t, func(rt *rapid.T) {
		counts := []int64{count.Draw(rt, "a"), count.Draw(rt, "b"), count.Draw(rt, "c"), count.Draw(rt, "d")}
		parts := divide(counts, barCells)
		sum, total := 0, counts[0]+counts[1]+counts[2]+counts[3]
		for i, part := range parts {
			sum += part
			if part < 0 || total > 0 && (part > 0) != (counts[i] > 0) {
				rt.Fatalf("%v: %v", counts, parts)
			}
		}
		if sum != barCells {
			rt.Fatalf("%v: %v", counts, parts)
		}
	})
}

func TestBar(t *testing.T) {
	cases := map[string]struct {
		look   look
		counts v1alpha1.DeviceCounts
		want   string
	}{
		"nothing": {look{}, v1alpha1.DeviceCounts{}, "[" + strings.Repeat(".", 40) + "]"},
		"all":     {look{}, v1alpha1.DeviceCounts{Succeeded: 9}, "[" + strings.Repeat("#", 40) + "]"},
		"one of a million is left": {
			look{}, v1alpha1.DeviceCounts{Succeeded: 999_999, Pending: 1}, "[" + strings.Repeat("#", 39) + ".]",
		},
		"in colour": {
			look{colour: true, unicode: true}, v1alpha1.DeviceCounts{Failed: 1},
			"[\x1b[31m" + strings.Repeat("▓", 40) + "\x1b[0m]",
		},
	}
	for name, c := range cases {
		if diff := cmp.Diff(c.want, c.look.bar(c.counts)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLookFollowsTheEnvironment(t *testing.T) {
	cases := map[string]struct {
		env  map[string]string
		want look
	}{
		"none":             {nil, look{width: 80}},
		"UTF-8":            {map[string]string{"LANG": "de_DE.UTF-8"}, look{width: 80, unicode: true}},
		"LC_ALL goes over": {map[string]string{"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, look{width: 80}},
		"COLUMNS":          {map[string]string{"COLUMNS": "120"}, look{width: 120}},
		"COLUMNS is odd":   {map[string]string{"COLUMNS": "-1"}, look{width: 80}},
	}
	for name, c := range cases {
		streams, _, _ := buffers()
		got := lookOf(streams.Out, func(key string) string { return c.env[key] })
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestCleanAndCut(t *testing.T) {
	utf8, ascii := look{unicode: true}, look{}
	for got, want := range map[string]string{
		utf8.clean("a\x1b[31mb\nc"):             "a�[31mb c",
		ascii.clean("红 a…"):                     `\u7ea2 a...`,
		ascii.clean("\u009b31m"):                `\ufffd31m`,
		utf8.cut("下载失败，错误码", 9):                 "下载失败…",
		utf8.cut("whole", 5):                    "whole",
		ascii.cut("cut in two", 8):              "cut i...",
		strings.Join(wrap("a bb c", 4), "|"):    "a bb|c",
		strings.Join(wrap("toolong b", 4), "|"): "toolong|b",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// On a terminal what was drawn is drawn over; where the lines don't fit, nothing moves.
func TestScreen(t *testing.T) {
	var out, errOut strings.Builder
	shown := &session{look: look{cursor: true, width: 10, height: 4}}
	shown.Streams.Out, shown.Streams.ErrOut = &out, &errOut
	s := shown.newScreen()
	for _, lines := range [][]string{{"a", "b"}, {"a", "b"}, {"c", "\x1b[31m1234567890\x1b[0m"}} {
		if !s.fits(lines) {
			t.Fatalf("%q does not fit", lines)
		}
		must(t, s.draw(lines))
	}
	if diff := cmp.Diff("a\nb\n\x1b[2A\x1b[Jc\n\x1b[31m1234567890\x1b[0m\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	out.Reset()
	s.note("the API server is away")
	must(t, s.draw([]string{"c"})) // below the note, which stays
	must(t, s.line("one", now))
	must(t, s.draw([]string{"d"}))
	if diff := cmp.Diff("c\n2026-03-01T12:00:00Z  one\nd\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, lines := range [][]string{{"a", "b", "c", "d"}, {"12345678901"}} {
		if s.fits(lines) {
			t.Errorf("%q fits", lines)
		}
	}
	out.Reset()
	s.look.cursor = false
	if s.fits([]string{"a"}) {
		t.Error("something can be drawn where there is no terminal")
	}
	must(t, s.line("a", now))
	must(t, s.line("a", now.Add(time.Second)))
	must(t, s.line("b", now.Add(time.Second)))
	if diff := cmp.Diff("2026-03-01T12:00:00Z  a\n2026-03-01T12:00:01Z  b\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is data is not changed, but for a terminal.
func TestTerminalSeesNothingHidden(t *testing.T) {
	r := reported(result.Task{OperationID: "op"}, "d", 0, storage.StateFailed, "\u009b31m")
	for _, format := range []string{formatCSV, formatJSON} {
		for terminal, hidden := range map[bool]bool{false: true, true: false} {
			var out strings.Builder
			s := &session{look: look{terminal: terminal}}
			printer := s.newResultPrinter(&out, &resultsOptions{output: format}, newSuspects(""))
			must(t, errors.Join(printer.row(&r), printer.end()))
			s.Streams, _, _ = buffers()
			s.Streams.Out = &out
			expected := &sorter[string]{compare: strings.Compare, limit: 2}
			must(t, expected.add("\u009bd"))
			must(t, s.printMissing(t.Context(), expected, s.newResultSorter(false), format))
			if got := strings.Count(out.String(), "\u009b"); (got == 2) != hidden || got > 0 && !hidden {
				t.Errorf("%s, terminal %v: %q", format, terminal, out.String())
			}
		}
	}
}

// In another size what was drawn may be broken, so that it is not drawn over.
func TestScreenFollowsTheSize(t *testing.T) {
	columns := "100"
	o := optionsWith(Options{})
	streams, out, _ := buffers()
	o.Streams, o.Getenv = streams, func(name string) string { return map[string]string{"COLUMNS": columns}[name] }
	s := newSession(o).newScreen()
	for _, columns = range []string{"100", "100", "60"} {
		s.measure()
		must(t, s.draw([]string{strings.Repeat("-", s.look.width/20), columns}))
	}
	if diff := cmp.Diff("-----\n100\n---\n60\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The phase says why somebody has to act, and nothing twice.
func TestPhaseLine(t *testing.T) {
	cases := map[string]struct {
		phase  v1alpha1.Phase
		reason string
		want   string
	}{
		"nothing":        {v1alpha1.PhaseRunning, "", "Running (Ready is Unknown)"},
		"a broken one":   {v1alpha1.PhaseRunning, "FailurePolicyBroken", "Running, Stalled: FailurePolicyBroken (Ready is Unknown)"},
		"not counted":    {v1alpha1.PhaseStalled, "DuplicateOperation", "Stalled: DuplicateOperation (Ready is Unknown)"},
		"ended, and why": {v1alpha1.PhaseFailed, "Failed", "Failed (Ready is Unknown)"},
	}
	for name, c := range cases {
		fwu := &v1alpha1.FirmwareUpgrade{Status: v1alpha1.FirmwareUpgradeStatus{Phase: c.phase}}
		if c.reason != "" {
			fwu.Status.Conditions = []metav1.Condition{
				{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: c.reason},
			}
		}
		if diff := cmp.Diff(c.want, phaseLine(fwu)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
