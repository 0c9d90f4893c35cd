// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/wrappers"
)

// manualResults are those of the manual: 50 of 60 devices succeeded, 4 failed, 2 are in progress, 4 are silent.
func manualResults(task result.Task) []result.Result {
	var results []result.Result
	device := func(n int) string { return fmt.Sprintf("0e3a4a9e-26a5-4a2c-8a53-%012d", n) }
	for n := 1; n <= 50; n++ {
		results = append(results, reported(task, device(n), time.Duration(100-n)*time.Minute, succeeded, ""))
	}
	results[19].CurVersion = "1.5"
	results = append(results, reported(task, device(7), 3*time.Hour, failed, "Invalid URI"))
	for n, text := range []string{
		"Waiting for the device online timeout", "Invalid URI", "Waiting for the device online timeout",
		"Connection lost during downloading process",
	} {
		results = append(results, reported(task, device(51+n), time.Duration(30+n)*time.Minute, failed, text))
	}
	return append(results,
		reported(task, device(55), 4*time.Minute, storage.StateDownloading, ""),
		reported(task, device(56), 45*time.Second, storage.StateUpdating, ""))
}

// Every output in the manual is what the commands print.
func TestManual(t *testing.T) {
	const namespace = "fleet"
	must(t, k8s.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	f := newFleetIn(t, namespace)
	task := result.Task{AppID: "iBGxMaIpdrwWHhbBDnHCsgwDNEEa", OperationID: "7f2c9d3e41b84a6f9c05d1e8a2b7630f"}
	results := manualResults(task)
	meters := func(name, operation string) *wrappers.FirmwareUpgrade {
		w := wrappers.MakeFirmwareUpgrade(name, "").Operation(operation).App(task.AppID).Target("1.6")
		w.Labels = map[string]string{"rollout": "meters-1.6"}
		return w
	}
	f.upgrade(meters("meters-1.6", task.OperationID).Expected(60).MaxFailed("10%", 20), results...)
	f.storeSlices(20, results...)
	canary := result.Task{AppID: task.AppID, OperationID: "canary"}
	f.upgrade(meters("meters-1.6-canary", "canary").Expected(2),
		reported(canary, "a", time.Hour, succeeded, ""), reported(canary, "b", time.Hour, failed, "Invalid URI"))
	storeRejected(t, f)

	f.record("viewer", "status", "meters-1.6")
	f.record("reader", "results", "meters-1.6", "--failed")
	f.record("reader", "results", "meters-1.6", "--suspect")
	f.record("reader", "results", "meters-1.6", "--device", results[6].DeviceID)
	f.record("reader", "results", "meters-1.6", "--state", "inprogress", "-o", "csv")
	f.in = strings.Join([]string{results[0].DeviceID, "0e3a4a9e-26a5-4a2c-8a53-000000000057"}, "\n")
	f.record("reader", "results", "meters-1.6", "--missing-from", "-")
	f.record("reader", "rejected", "--since", "1d")
	f.env[envCallbackURL] = newReceiver(t).callback()
	f.record("reader", "rejected", "replay", "--since", "1d")
	f.record("reader", "verify", "meters-1.6")
	f.record("viewer", "campaign", "-l", "rollout=meters-1.6")
	f.record("viewer", "wait", "meters-1.6-canary")
	f.record("viewer", "wait", "meters-1.6", "--timeout", "0")
	f.record("viewer", "results", "meters-1.6")
	f.golden("manual")

	root, err := local.ModuleRoot()
	must(t, err)
	manual, err := os.ReadFile(filepath.Join(root, "docs", "plugin.md"))
	must(t, err)
	found := 0
	for i, block := range strings.Split(string(manual), "```") {
		text, isConsole := strings.CutPrefix(block, "console\n$ kubectl fwupgrade ")
		if i%2 == 0 || !isConsole {
			continue
		}
		found++
		if !strings.Contains(f.shown.String(), "$ kubectl fwupgrade "+text) {
			t.Errorf("docs/plugin.md shows what no command prints:\n%s\nThey print:\n%s", text, f.shown.String())
		}
	}
	if found < 8 {
		t.Errorf("only %d examples were found in docs/plugin.md", found)
	}
}

// The manual names exactly the flags of kubectl that the plugin does not have.
func TestManualNamesTheFlagsOfKubectl(t *testing.T) {
	binary, err := local.Asset("kubectl")
	must(t, err)
	options, err := exec.CommandContext(t.Context(), binary, "options").Output() //nolint:gosec // The kubectl of the tests.
	must(t, err)
	root, err := local.ModuleRoot()
	must(t, err)
	manual, err := os.ReadFile(filepath.Join(root, "docs", "plugin.md"))
	must(t, err)
	_, said, _ := strings.Cut(string(manual), "These flags of kubectl\n")
	said, _, _ = strings.Cut(said, "`--help`")
	got := map[string]bool{}
	for _, found := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(said, -1) {
		got[found[1]] = true
	}
	have := newRootCommand(newSession(optionsWith(Options{}))).PersistentFlags()
	want := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^ +(?:-., )?--([a-z-]+)`).FindAllStringSubmatch(string(options), -1) {
		if have.Lookup(found[1]) == nil {
			want[found[1]] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	have.VisitAll(func(flag *pflag.Flag) {
		if !strings.Contains(string(options), "--"+flag.Name+"=") {
			t.Errorf("--%s is none of kubectl", flag.Name)
		}
	})
}
