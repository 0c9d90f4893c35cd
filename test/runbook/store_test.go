// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"net/http"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// TestStoreIsFull fills the store, and makes room in the three ways of the page.
func TestStoreIsFull(t *testing.T) {
	w := start(t, local.Options{})
	w.limit(t, "600")
	for i, name := range []string{"meters-1.4", "meters-1.5", upgradeName} {
		operation := operationID[:31] + string(rune('4'+i))
		w.declare(t, name, operation, 200)
		plan := planOf(t, operation, 200, 0)
		stored := w.pushSome(t, plan, 0, 100)
		if name == upgradeName { // where the store fills at once, nobody says that it comes near its limit
			w.kubectl(t, "wait", "--for=jsonpath={.status.state}=NearlyFull", "resultstore/fwupgrade", "--timeout=1m")
		}
		if stored += w.pushSome(t, plan, 100, plan.Len()); stored != plan.Len() {
			t.Fatalf("%d of %d pushes were stored", stored, plan.Len())
		}
		w.awaitCounts(t, name, 200, 0)
	}
	w.kubectl(t, "wait", "--for=jsonpath={.status.state}=Full", "resultstore/fwupgrade", "--timeout=1m")
	w.awaitAnswer(t, http.StatusServiceUnavailable)

	s := w.section(t, "The store is full")
	s.run(t, "get resultstores")
	s.run(t, "retainResultsSeconds //")
	s.run(t, "Purge")
	w.kubectl(t, "wait", "--for=jsonpath={.status.state}=Open", "resultstore/fwupgrade", "--timeout=1m")
	w.awaitAnswer(t, http.StatusOK)

	// Full again, by a task that nobody declared.
	w.push(t, "undeclared-task", 200, 0)
	w.kubectl(t, "wait", "--for=jsonpath={.status.state}=Full", "resultstore/fwupgrade", "--timeout=1m")
	s.run(t, `"retainResultsSeconds": 0`)
	w.kubectl(t, "wait", "--for=jsonpath={.status.state}=Open", "resultstore/fwupgrade", "--timeout=1m")
	w.awaitCounts(t, "meters-1.4", 200, 0)

	w.push(t, "another-task", 200, 0)
	w.kubectl(t, "wait", "--for=jsonpath={.status.state}=Full", "resultstore/fwupgrade", "--timeout=1m")
	s.run(t, "etcdctl endpoint status")
	s.run(t, "--max-stored-results=3000000")
	s.run(t, "kubectl wait")
	w.awaitAnswer(t, http.StatusOK)
}

// limit sets --max-stored-results.
func (w *world) limit(t *testing.T, results string) {
	t.Helper()
	w.kubectl(t, "-n", operatorNamespace, "patch", "deployment", "fwupgrade-controllers", "--type=json", "-p",
		`[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--max-stored-results=`+results+`"}]`)
	w.awaitUp(t)
	w.kubectl(t, "wait", "--for=jsonpath={.status.limit}="+results, "resultstore/fwupgrade", "--timeout=2m")
}

// awaitAnswer waits until a result is answered so. Its task is one of its own.
func (w *world) awaitAnswer(t *testing.T, want int) {
	t.Helper()
	const body = `{"notifyType":"fwUpgradeResultNotify","appId":"` + appID + `","operationId":"probe",` +
		`"deviceId":"probe",` +
		`"status":"SUCCESS"}`
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	harness.Eventually(t, func() string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url(), strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		answer, err := client.Do(request)
		if err != nil {
			return err.Error()
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			return answer.Status
		}
		return ""
	})
}
