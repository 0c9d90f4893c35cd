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

// TestMeasureAll gives every side one tiny turn on a real control plane. It looks at no speed: only that each side
// stores what was pushed, which measureAll checks, and that everything is reported.
func TestMeasureAll(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`, which builds the control plane")
	}
	o, err := parse([]string{
		"--rounds=1", "--connections=8", "--results=60", "--object-results=40", "--warmup=10", "--tasks=7", "--fsync=false",
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
	var keys []string
	for _, side := range r.Sides {
		keys = append(keys, side.Key)
		if len(side.Rounds) != 1 {
			t.Fatalf("%s has %d rounds, want 1", side.Key, len(side.Rounds))
		}
		m := side.Rounds[0]
		if m.PerSecond <= 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Max < m.P99 {
			t.Errorf("%s was measured as %+v", side.Key, m)
		}
		if stores := side.Key != keyDecode; stores != (m.EtcdBytes > 50) {
			t.Errorf("%s wrote %.0f bytes a result to etcd", side.Key, m.EtcdBytes)
		}
		for _, process := range []string{"etcd", "kube-apiserver", processReceiver, processSender} {
			if seconds, ok := m.CPU[process]; !ok || seconds < 0 {
				t.Errorf("%s: the CPU of %s was not measured: %v", side.Key, process, m.CPU)
			}
		}
	}
	if diff := cmp.Diff(sideKeys(), keys); diff != "" {
		t.Errorf("sides (-want +got):\n%s", diff)
	}
	checkOutput(t, r)
}

// checkOutput makes sure that table and file say what was measured.
func checkOutput(t *testing.T, r *report) {
	t.Helper()
	var table bytes.Buffer
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"operator, 7 tasks", "× operator / one object a result"} {
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
