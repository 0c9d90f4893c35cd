// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// asMain makes the test's binary the simulator itself.
const asMain = "SIMULATOR_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestRun(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hook" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	cases := map[string]struct {
		args []string
		want int
	}{
		"delivered":            {args: []string{"--url=" + server.URL + "/hook"}, want: 0},
		"not delivered":        {args: []string{"--url=" + server.URL + "/other", "--discard", "--blacklist-after=100"}, want: exitIncomplete},
		"help":                 {args: []string{"--help"}, want: 0},
		"no URL":               {want: exitUsage},
		"remote":               {args: []string{"--url=https://192.0.2.1:443/hook"}, want: exitUsage},
		"contradiction":        {args: []string{"--url=" + server.URL, "--retry", "--discard"}, want: exitUsage},
		"a certificate alone":  {args: []string{"--url=" + server.URL, "--client-cert=x"}, want: exitUsage},
		"no such CA":           {args: []string{"--url=" + server.URL, "--ca-file=/nowhere"}, want: exitUsage},
		"an argument":          {args: []string{"--url=" + server.URL, "extra"}, want: exitUsage},
		"an impossible plan":   {args: []string{"--url=" + server.URL, "--fail=2"}, want: exitUsage},
		"an unknown flag":      {args: []string{"--what"}, want: exitUsage},
		"retries switched off": {args: []string{"--url=" + server.URL + "/other", "--retry=false", "--blacklist-after=100"}, want: exitIncomplete},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := run(t.Context(), append(tc.args, "--devices=50")); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
}

func TestRunWritesFiles(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	dir := t.TempDir()
	reportFile, devicesFile := filepath.Join(dir, "report.json"), filepath.Join(dir, "devices")
	code := run(t.Context(), []string{
		"--url=" + server.URL, "--devices=30", "--tasks=3", "--json=" + reportFile, "--devices-file=" + devicesFile,
	})
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	content, err := os.ReadFile(reportFile)
	if err != nil {
		t.Fatal(err)
	}
	var report platform.Report
	if err := json.Unmarshal(content, &report); err != nil {
		t.Fatal(err)
	}
	if !report.Complete || len(report.Counts) != 3 || report.Delivered != 30 {
		t.Errorf("report: %+v", report)
	}
	ids, err := os.ReadFile(devicesFile)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(ids), "\n"); n != 30 {
		t.Errorf("%d devices written, want 30", n)
	}
}
