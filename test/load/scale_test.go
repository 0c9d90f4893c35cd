// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScale takes a tiny turn of the parts that no other test takes. It looks at no speed: only that every status comes
// right, which the parts check, and that everything is reported.
func TestScale(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run `make test`, which builds the control plane")
	}
	path := filepath.Join(t.TempDir(), "scale.json")
	err := runScale(t.Context(), []string{
		"--parts=trickle,restart", "--tasks=1,3", "--trickle-rate=20", "--trickle-seconds=1", "--stored=3000", "--mixed=150",
		"--restart-tasks=1,3", "--connections=4", "--json=" + path,
	})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r scaleReport
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Turns) != 2 || r.Turns[0].Tasks != 1 || r.Turns[1].Tasks != 3 || r.Turns[0].Cores[processAPIServer] <= 0 {
		t.Errorf("turns: %+v", r.Turns)
	}
	if len(r.Restart) != 2 {
		t.Fatalf("restart: %+v", r.Restart)
	}
	for i, restart := range r.Restart {
		if restart.Tasks != []int{1, 3}[i] || restart.Stored != 3151 || restart.First.Seconds <= 0 ||
			restart.Again.RSS < 1<<20 {
			t.Errorf("restart: %+v", restart)
		}
		if perResult := float64(restart.SliceBytes) / 3151; perResult < 50 || perResult > 200 {
			t.Errorf("%.0f bytes a result", perResult)
		}
	}
}

func TestScaleOptions(t *testing.T) {
	for _, wrong := range []string{"--parts=grwoth", "--tasks=1001", "--stored=0", "--colour=red"} {
		if err := runScale(t.Context(), []string{wrong}); err == nil || !strings.Contains(err.Error(), wrong[2:6]) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
