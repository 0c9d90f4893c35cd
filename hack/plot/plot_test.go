// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// reportFile writes a report of two sides with statuses and two without, one of which is measured in one load only.
func reportFile(t *testing.T) string {
	t.Helper()
	measured := func(perSecond, behind, etcd float64) measurement {
		return measurement{
			PerSecond: perSecond, P50: 1000 / perSecond, P99: 5000 / perSecond, Max: 9000 / perSecond, BehindMaxSeconds: behind,
			CPU: map[string]float64{"receiver": etcd / 1000, "kube-apiserver": etcd / 500, "etcd": etcd / 2000}, EtcdBytes: etcd,
		}
	}
	withNews := func(m measurement) measurement {
		m.News = &news{Status: seconds{Max: 1.5}, Event: seconds{Max: 1.7}}
		return m
	}
	r := &report{
		Sides: []side{{"operator", "operator, 1 task"}, {"operator-tasks", "operator, 9 tasks"}, {"object", "one object"},
			{"inline", "inline list"}},
		Loads: []load{{Key: "closed-64", Title: "Closed loop, 64 connections", Connections: 64},
			{Key: "open-800", Title: "Open loop", PerSecond: 800}},
		Series: []series{
			{Load: "closed-64", Side: "operator", Rounds: []measurement{measured(5000, 1, 120), measured(4000, 1.5, 130), measured(4600, 2, 110)}},
			{Load: "closed-64", Side: "operator-tasks", Rounds: []measurement{measured(4500, 8, 900)}},
			{Load: "closed-64", Side: "object", Rounds: []measurement{measured(600, 0, 1000)}},
			{Load: "closed-64", Side: "inline", Rounds: []measurement{measured(30, 0, 40_000)}},
			{Load: "open-800", Side: "operator", Rounds: []measurement{measured(800, 1.5, 300)}},
			{Load: "open-800", Side: "operator-tasks", Rounds: []measurement{withNews(measured(800, 8, 700))}},
		},
	}
	r.Options.MainLoad, r.Options.RateLoad = "closed-64", "open-800"
	content, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bench.json")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// campaignFile writes the report of a campaign in which no upgrade finished.
func campaignFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "campaign.json")
	content := `{"upgrades":4000,"perSecond":800,"news":{"kinds":{
		"first failure":{"eventSeconds":{"p50":0.4,"p99":0.9,"max":2.5}},"Degraded":{"eventSeconds":{"p50":0.5,"p99":0.8,"max":1.9}}}}}`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// drawn returns the SVG files that a report makes, by name.
func drawn(t *testing.T, report string) map[string]string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "made")
	if err := run(report, campaignFile(t), folder); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(content)
	}
	return files
}

func TestPlots(t *testing.T) {
	report := reportFile(t)
	files := drawn(t, report)
	want := map[string][]string{
		"throughput.svg":     {"operator,", "9 tasks", "inline list", ">4600<", ">600<", ">30<"},
		"latency.svg":        {"one object", "open loop,", "800/s", ">1000<"},
		"campaign-news.svg":  {"4000 upgrades", "first failure", "Degraded", "longest", ">2.5<", ">0.8<"},
		"news-lag.svg":       {"open loop,", ">1.7<"},
		"status-lag.svg":     {"operator, 1 task", "operator, 9 tasks", ">1.5<", ">8.0<"},
		"cpu-closed-64.svg":  {"kube-apiserver", "receiver", "not shown: inline list, 140 seconds per 1,000 results"},
		"cpu-open-800.svg":   {"operator,", ">1.05<"},
		"etcd-closed-64.svg": {">120<", ">1000<", "not shown: inline list, 40000 bytes per result"},
		"etcd-open-800.svg":  {">300<"},
	}
	names := slices.Sorted(maps.Keys(files))
	if expected := slices.Sorted(maps.Keys(want)); !slices.Equal(names, expected) {
		t.Fatalf("files %v, want %v", names, expected)
	}
	for name, texts := range want {
		for _, text := range texts {
			if !strings.Contains(files[name], text) {
				t.Errorf("%s lacks %q", name, text)
			}
		}
		if strings.Contains(files[name], "NaN") || strings.Contains(files[name], "Inf") {
			t.Errorf("%s has a coordinate that is no number", name)
		}
	}
	if strings.Contains(files["status-lag.svg"], "one object") {
		t.Error("a side without statuses is among the statuses")
	}
	if again := drawn(t, report); !maps.Equal(files, again) {
		t.Error("the same report was drawn differently")
	}
}

func TestReportsThatCannotBeDrawn(t *testing.T) {
	cases := map[string]struct{ content, want string }{
		"nothing measured": {content: `{"sides":[{"key":"operator"}]}`, want: "nothing was measured"},
		"no JSON":          {content: `{`, want: "decode the report"},
	}
	if err := run(reportFile(t), reportFile(t), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no news") {
		t.Errorf("error %v, want one that says that there are no news", err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bench.json")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := run(path, "", t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
	if err := run(filepath.Join(t.TempDir(), "none"), "", t.TempDir()); err == nil {
		t.Error("a report that is not there was drawn")
	}
}

// TestSeriesWithoutRounds draws what a run measured that ended early.
func TestSeriesWithoutRounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.json")
	content := `{"options":{"mainLoad":"closed-1","rateLoad":"open-2"},"sides":[{"key":"object","title":"one object"}],
		"loads":[{"key":"closed-1","title":"Closed"}],"series":[{"load":"closed-1","side":"object","rounds":null}]}`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	files := drawn(t, path)
	delete(files, "campaign-news.svg") // that one is of another report
	if len(files) > 0 {
		t.Errorf("drawn of nothing: %v", slices.Collect(maps.Keys(files)))
	}
}

func TestRoundTicks(t *testing.T) {
	cases := map[string]struct {
		low, high float64
		want      string
	}{
		"thousands": {high: 29_258, want: "0 5000 10000 15000 20000 25000"},
		"units":     {high: 18, want: "0 2 4 6 8 10 12 14 16 18"},
		"fractions": {high: 0.9, want: "0 0.2 0.4 0.6 0.8"},
		"tenths":    {high: 0.45, want: "0 0.1 0.2 0.3 0.4"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, tick := range roundTicks(c.low, c.high) {
				got = append(got, tick.Label)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("ticks %v, want %s", got, c.want)
			}
		})
	}
}

func TestWrapped(t *testing.T) {
	for label, want := range map[string]string{
		"inline list":                  "inline list",
		"operator, 1000 tasks":         "operator,\n1000 tasks",
		"one object a result":          "one object a\nresult",
		"averyveryveryverylongword no": "averyveryveryverylongword\nno",
		"":                             "",
	} {
		if got := wrapped(label); got != want {
			t.Errorf("%q is wrapped as %q, want %q", label, got, want)
		}
	}
}
