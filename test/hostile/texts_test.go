// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// hostileTexts are texts as they stand within the quotation marks of a JSON string, escaped and raw.
func hostileTexts() []string {
	return []string{
		`\u001b[2J\u001b]0;title\u0007`, "\x1b[2J", `\u0000`, "\x00", `\u0085\u009b31m`, "\u0085\u009b31m", `a\r\nb\tc`,
		"a\r\nb",
		`\u202egpj.exe`, "\u202egpj.exe", `\u200b`, "\u200b\u2060", `\u2028\u2029`, "\u2028", `\ud800`, `\udc00\ud800`,
		"\xff\xfe", "\xed\xa0\x80", "\u00ad\ufe0f\U000e0041", `\u007f`, `=cmd|' /C calc'!A0`, `+1`, `-1`, `@SUM(A1)`, `\t=1`,
	}
}

// hostileFields are those of a notification that are texts.
var hostileFields = []string{
	"notifyType", "deviceId", "appId", "operationId", "subOperationId", "curVersion", "targetVersion", "sourceVersion",
	"status", "statusDesc", "upgradeTime",
}

// hostileBodies are notifications of a task, in which each text stands in each field, and in its name.
func hostileBodies(operation string) []string {
	var bodies []string
	for i, text := range hostileTexts() {
		for _, field := range hostileFields {
			fields := map[string]string{
				"notifyType": "fwUpgradeResultNotify", "deviceId": fmt.Sprintf("%s-%d", field, i), "appId": "app",
				"operationId": operation, "subOperationId": "sub", "curVersion": "1.6", "targetVersion": "1.6",
				"sourceVersion": "1.3", "status": []string{"SUCCESS", "FAIL"}[i%2], "statusDesc": "fine", "upgradeTime": "12",
			}
			// What is around the text is not hidden: the result has to be stored with it, where it may be.
			fields[field] += text
			if field == "statusDesc" || strings.HasSuffix(field, "Version") {
				fields[field] = text // at its beginning, as formulas are
			}
			var pairs []string
			for name, value := range fields {
				pairs = append(pairs, `"`+name+`":"`+value+`"`)
			}
			bodies = append(bodies, "{"+strings.Join(pairs, ",")+"}", "{"+strings.Join(pairs, ",")+`,"`+field+text+`":"x"}`)
		}
	}
	return bodies
}

// Whatever stands in whatever field, nothing that a person prints holds a character that a terminal obeys or that
// hides.
func TestTextsOfSendersAreReadable(t *testing.T) {
	w := startWebhook(t)
	startControllers(t)
	namespace := harness.NewNamespace(t, k8s)
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "texts"},
		Spec:       v1alpha1.FirmwareUpgradeSpec{OperationID: "texts", AppID: "app", SettleSeconds: new(int64(0))},
	}
	must(t, k8s.Create(t.Context(), fwu))
	bodies := hostileBodies("texts")
	const senders = 16
	each(senders, func(n int) {
		for i := n; i < len(bodies); i += senders {
			got := w.exchange(t, source(n), push(secret, bodies[i]), 1)
			if len(got.statuses) != 1 || got.statuses[0] != "200" {
				t.Errorf("%q was answered %q", bodies[i], got.text)
			}
			checkReadable(t, "an answer", strings.ReplaceAll(got.text, "\r\n", "\n"))
		}
	})
	harness.Eventually(t, func() string {
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		outbox := fwu.Status.OperatorState
		failed := fwu.Status.Devices.Failed
		if failed == 0 || outbox.Announced.Failures != failed || len(outbox.Outbox) > 0 {
			return fmt.Sprintf("not everything is told yet: %+v", fwu.Status.Devices)
		}
		return ""
	})
	for _, args := range [][]string{
		{"-n", namespace, "get", "fwu", "-o", "wide"}, {"-n", namespace, "get", "fwu", "-o", "yaml"},
		{"-n", namespace, "get", "fwu", "-o", "jsonpath={.items[*].status}"},
		{"-n", namespace, "get", "fwu", "-o", "jsonpath={..failedDevices[*].curVersion} {..causes[*].cause}"},
		{"-n", namespace, "describe", "fwu"}, {"get", "fwu", "-A", "-o", "wide"}, {"get", "events", "-A", "-o", "wide"},
		{"get", "events", "-A", "-o", "jsonpath={.items[*].message}"}, {"get", "fwslice", "-A", "-o", "wide"},
		{"get", "fwslice", "-A", "-o", "jsonpath={..tables} {..reason}"},
	} {
		out, err := harness.Kubectl(t.Context(), kubeconfig, args...)
		must(t, err)
		checkReadable(t, "kubectl "+strings.Join(args, " "), out)
	}
	checkPlugin(t, namespace)
	checkReadable(t, "the log", w.log.String())
	checkReadable(t, "the metrics", w.metrics(t))
	w.checkCounted(t)
}

// checkPlugin runs the plugin's commands.
func checkPlugin(t *testing.T, namespace string) {
	t.Helper()
	for _, command := range []string{
		"status texts", "results texts", "results texts -o wide", "results texts -o csv", "results texts -o json",
		"results texts --failed", "results texts --suspect", "results texts --device deviceId-20=cmd", "verify texts",
		"rejected", "rejected -o wide", "wait texts --timeout 0",
	} {
		out := plugin(t, namespace, strings.Fields(command)...)
		checkReadable(t, command, out)
		if strings.HasSuffix(command, "csv") && strings.Count(out, "\n") < len(hostileTexts()) {
			t.Errorf("%s printed little:\n%s", command, out)
		}
		for line := range strings.Lines(out) {
			if strings.HasSuffix(command, "csv") && strings.ContainsAny(line[:1], "=+-@") {
				t.Errorf("a row begins with a formula: %s", line)
			}
		}
	}
	for _, cell := range []string{",=cmd", ",@SUM"} {
		if strings.Contains(plugin(t, namespace, "results", "texts", "-o", "csv"), cell) {
			t.Errorf("a cell of the CSV is a formula: %s", cell)
		}
	}
	for line := range strings.Lines(plugin(t, namespace, "rejected", "-o", "json")) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %q", line)
		}
	}
}

// plugin runs the plugin, and returns what it printed. What it ends with is another test's matter.
func plugin(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "kubectl-fwupgrade"),
		append(args, "-n", namespace)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	out, _ := cmd.CombinedOutput()
	if len(out) == 0 {
		t.Errorf("%v printed nothing", args)
	}
	return string(out)
}
