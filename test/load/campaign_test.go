// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCampaign takes a tiny campaign on a real control plane, with a restart in the middle. It looks at no speed: only
// that every status comes right, which the campaign checks, and that everything is reported.
func TestCampaign(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`, which builds the control plane")
	}
	path := filepath.Join(t.TempDir(), "campaign.json")
	err := runCampaign(t.Context(), []string{
		"--upgrades=20", "--devices=40", "--share=0.5", "--finishing=0.5", "--rate=100", "--decode-results=100",
		"--restart", "--json=" + path,
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c campaign
	if err := json.Unmarshal(content, &c); err != nil {
		t.Fatal(err)
	}
	if c.Results != 400 || c.P50 <= 0 || c.P99 < c.P50 || c.Cores[processAPIServer] <= 0 || c.LeaderRSS < 1<<20 ||
		c.Decoding <= 0 {
		t.Errorf("measured %+v", c)
	}
	if c.RightAfterRestart == nil || *c.RightAfterRestart <= 0 {
		t.Errorf("the restart was not measured: %v", c.RightAfterRestart)
	}
	if c.News == nil || c.News.Missing > 0 || c.News.Kinds["Finished"].Count != 10 ||
		c.News.Kinds["first failure"].Count == 0 {
		t.Errorf("news: %+v", c.News)
	}
}

func TestCampaignOptions(t *testing.T) {
	for _, wrong := range []string{
		"--upgrades=0", "--devices=20000", "--rate=0", "--share=0", "--share=1.1", "--finishing=-1", "--finishing=NaN",
		"--colour=red",
	} {
		if _, err := parseCampaign([]string{wrong}); err == nil || !strings.Contains(err.Error(), wrong[2:6]) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	o, err := parseCampaign([]string{"--upgrades=40", "--devices=250", "--share=0.1", "--finishing=0.05"})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.results(); got != 1000 {
		t.Errorf("%d results, want 1000", got)
	}
	for task, want := range map[int]int64{0: 25, 1: 25, 2: 250, 39: 250} {
		if got := o.expected(task, 25); got != want {
			t.Errorf("upgrade %d expects %d devices, want %d", task, got, want)
		}
	}
}

func TestRightAfterRestart(t *testing.T) {
	answered := map[string][]time.Time{"a": {at(10), at(20), at(900)}, "b": {at(15)}, "c": {at(950)}}
	seen := func(task string, ms int, devices int64) sighting {
		return sighting{operationID: task, at: at(ms), devices: devices}
	}
	cases := map[string]struct {
		seen []sighting
		want time.Duration
		fail string
	}{
		"right before":                {seen: []sighting{seen("a", 30, 2), seen("b", 40, 1)}},
		"the last of them":            {seen: []sighting{seen("a", 30, 1), seen("b", 150, 1), seen("a", 170, 2), seen("a", 990, 3)}, want: 70 * time.Millisecond},
		"counts what came later, too": {seen: []sighting{seen("b", 50, 1), seen("a", 990, 3)}, want: 890 * time.Millisecond},
		"never":                       {seen: []sighting{seen("a", 170, 2)}, fail: "1 statuses never"},
		"a status that falls back":    {seen: []sighting{seen("b", 50, 1), seen("a", 170, 2), seen("a", 180, 1)}, fail: "counted 2 devices, and later 1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := rightAfter(answered, c.seen, at(100))
			switch {
			case c.fail == "" && (err != nil || got != c.want):
				t.Errorf("%s, %v, want %s", got, err, c.want)
			case c.fail != "" && (err == nil || !strings.Contains(err.Error(), c.fail)):
				t.Errorf("error %v, want one that says %q", err, c.fail)
			}
		})
	}
}

func TestCampaignReport(t *testing.T) {
	c := &campaign{
		CPUs: 2, Decoding: 30_000, Upgrades: 4000, Devices: 250, PerSecond: 800, Results: 100_000, P50: 10, P99: 101,
		Cores: map[string]float64{processAPIServer: 0.9, processControllers: 0.3}, ProgressBehind: 12.5,
		News: &newsFigures{
			Count: 7, Missing: 1, Status: seconds{Max: 2}, Event: seconds{Max: 3},
			Kinds: map[string]kindFigures{"Degraded": {Count: 5, Event: seconds{P50: 0.5}}},
		},
	}
	check := func(want ...string) {
		t.Helper()
		var b bytes.Buffer
		c.Targets = c.findTargets()
		if err := c.write(&b); err != nil {
			t.Fatal(err)
		}
		written := strings.Join(strings.Fields(b.String()), " ") // how wide the columns are is not looked at
		for _, w := range want {
			if !strings.Contains(written, w) {
				t.Errorf("the report lacks %q:\n%s", w, b.String())
			}
		}
		if len(c.Targets) != len(want)-1 {
			t.Errorf("%d targets, want %d", len(c.Targets), len(want)-1)
		}
	}
	check("here it gave 30000.", "missed p99 of the answer 101.00 ms", "met CPU of the API server",
		"met progress ever behind",
		"met news ever behind 3.00 s", "missed news never told 1.00 news")
	c.RightAfterRestart = new(31.0)
	check("here it gave 30000.", "missed p99 of the answer", "missed statuses right after a restart 31.00 s",
		"missed news never told")
}
