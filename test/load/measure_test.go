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

	"github.com/google/go-cmp/cmp"
)

// TestMeasureAll gives every side a tiny turn at a closed and at an open loop on a real control plane. It looks at no
// speed: only that each side stores what was answered, which measureAll checks, and that everything is reported.
func TestMeasureAll(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`, which builds the control plane")
	}
	o, err := parse([]string{
		"--rounds=1", "--connections=8", "--rates=40", "--open-seconds=1", "--open-connections=4",
		"--results=60", "--object-results=40", "--inline-results=20", "--warmup=10", "--tasks=7", "--fsync=false",
		"--sides=" + strings.Join(sideKeys(), ","),
	})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r, err := measureAll(t.Context(), o, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	want, got := map[string][]string{}, map[string][]string{}
	for _, key := range sideKeys() {
		want[key] = []string{"closed-8", "open-40"}
	}
	for _, s := range r.Series {
		got[s.Side] = append(got[s.Side], s.Load)
		if len(s.Rounds) != 1 {
			t.Fatalf("%s has %d rounds at %s, want 1", s.Side, len(s.Rounds), s.Load)
		}
		checkMeasurement(t, s.Load+", "+s.Side, s.Side, s.Rounds[0])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sides and their loads (-want +got):\n%s", diff)
	}
	if len(r.Targets) != 11 {
		t.Errorf("%d targets, want 11: %+v", len(r.Targets), r.Targets)
	}
	checkOutput(t, r)
}

func checkMeasurement(t *testing.T, name, side string, m measurement) {
	t.Helper()
	if m.PerSecond <= 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Max < m.P99 {
		t.Errorf("%s was measured as %+v", name, m)
	}
	operator := strings.HasPrefix(side, keyOperator)
	if operator && (m.Refused > 0 || m.Unsent > 0) {
		t.Errorf("%s refused %d pushes, and %d never left", name, m.Refused, m.Unsent)
	}
	// A status can't be right before the results are in it.
	if operator != (m.BehindMaxSeconds > 0) || operator && m.BehindMaxSeconds < m.BehindSeconds {
		t.Errorf("%s: a status was %v s behind, %v s after the last answer", name, m.BehindMaxSeconds, m.BehindSeconds)
	}
	if operator != (m.News != nil) || operator && (m.News.Missing > 0 || m.News.Kinds["Finished"].Count == 0) {
		t.Errorf("%s: news %+v", name, m.News)
	}
	if stores := side != keyDecode; stores != (m.EtcdBytes > 50) {
		t.Errorf("%s wrote %.0f bytes a result to etcd", name, m.EtcdBytes)
	}
	for _, process := range []string{processEtcd, processAPIServer, processReceiver, processSender} {
		if seconds, ok := m.CPU[process]; !ok || seconds < 0 {
			t.Errorf("%s: the CPU of %s was not measured: %v", name, process, m.CPU)
		}
	}
}

// checkOutput makes sure that table and file say what was measured.
func checkOutput(t *testing.T, r *report) {
	t.Helper()
	var table bytes.Buffer
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"operator, 7 tasks", "inline list", "Open loop, 40 a second",
		"operator / one object a result"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	path := filepath.Join(t.TempDir(), "report.json")
	if err := r.writeFile(path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := &report{}
	if err := json.Unmarshal(content, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Errorf("the file (-measured +written):\n%s", diff)
	}
}
