// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
)

// TestNothingArrives has the platform blacklist the host while no webhook runs, and discard what it could not deliver.
func TestNothingArrives(t *testing.T) {
	w := start(t, local.Options{})
	w.declare(t, upgradeName, operationID, 60)
	plan, err := platform.NewPlan(platform.PlanOptions{
		Devices: 60, Tasks: 1, Fail: 0.2, Retries: 0.5, Seed: 1, AppID: appID, OperationID: operationID,
	})
	if err != nil {
		t.Fatal(err)
	}
	if stored := w.pushSome(t, plan, 0, 40); stored != 40 {
		t.Fatalf("%d of 40 pushes were answered 200", stored)
	}
	w.kubectl(t, "-n", operatorNamespace, "scale", "deployment/fwupgrade-webhook", "--replicas=0")
	w.kubectl(t, "-n", operatorNamespace, "wait", "--for=delete", "pod", "--timeout=1m",
		"-l", "app.kubernetes.io/component=webhook")
	// More than the ten in a row after which the platform gives up.
	if stored := w.pushSome(t, plan, 40, plan.Len()); stored != 0 {
		t.Fatalf("%d pushes were answered 200, though no webhook runs", stored)
	}
	w.kubectl(t, "-n", operatorNamespace, "scale", "deployment/fwupgrade-webhook", "--replicas=2")
	w.awaitUp(t)
	w.write(t, "subtasks.json", subTasks(t, plan))

	s := w.section(t, "Nothing arrives")
	s.run(t, "ping")
	s.run(t, "get fwu")
	s.run(t, "comm")
	s.run(t, "lost.json")
	w.awaitCounts(t, upgradeName, 54, 6)
	s.run(t, "get fwu")
}

// pushSome pushes a part of a plan, each push once, and returns how many were answered 200.
func (w *world) pushSome(t *testing.T, plan *platform.Plan, from, to int) (stored int) {
	t.Helper()
	client := &http.Client{Timeout: platform.DefaultTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	for i := from; i < to; i++ {
		body, err := plan.Body(i)
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url(), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(request)
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			stored++
		}
	}
	return stored
}

// subTasks is what the platform's list of sub-tasks says of a plan: two pages, as its documentation describes them.
func subTasks(t *testing.T, plan *platform.Plan) string {
	t.Helper()
	type subTask struct {
		SubOperationID string `json:"subOperationId"`
		DeviceID       string `json:"deviceId"`
		Status         string `json:"status"`
		DetailInfo     string `json:"detailInfo"`
	}
	type list struct {
		Data       []subTask `json:"data"`
		PageNo     int       `json:"pageNo"`
		PageSize   int       `json:"pageSize"`
		TotalCount int       `json:"totalCount"`
	}
	const size = 50
	var text string
	for begin := 0; begin < plan.Len(); begin += size {
		l := list{PageNo: begin / size, PageSize: size, TotalCount: plan.Len()}
		for i := begin; i < min(begin+size, plan.Len()); i++ {
			var pushed struct {
				subTask
				StatusDesc string `json:"statusDesc"`
			}
			body, err := plan.Body(i)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(body, &pushed); err != nil {
				t.Fatal(err)
			}
			task := pushed.subTask
			task.Status, task.DetailInfo = "success", ""
			if plan.At(i).Kind == platform.Fail {
				task.Status, task.DetailInfo = "fail", pushed.StatusDesc
			}
			l.Data = append(l.Data, task)
		}
		page, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		text += string(page) + "\n"
	}
	return text
}
