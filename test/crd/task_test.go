// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/wrappers"
)

// taskCase is a FirmwareUpgrade that is created and then changed, step by step.
type taskCase struct {
	Name   string         `json:"name"`
	Create map[string]any `json:"create"`
	Want   string         `json:"want"`
	Steps  []struct {
		Name   string         `json:"name"`
		Spec   map[string]any `json:"spec"`
		Status map[string]any `json:"status"`
		Want   string         `json:"want"`
	} `json:"steps"`
}

// What may be asked for, and what may be changed of it, while what is so far.
func TestTask(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("testdata", "task_cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []taskCase
	if err := yaml.UnmarshalStrict(content, &cases); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			fwu := &unstructured.Unstructured{Object: map[string]any{"spec": c.Create}}
			fwu.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("FirmwareUpgrade"))
			fwu.SetNamespace("default")
			fwu.SetName(fmt.Sprintf("task-case-%d", i))
			checkRefusal(t, c.Want, k8s.Create(t.Context(), fwu))
			steps++
			for _, step := range c.Steps {
				t.Run(step.Name, func(t *testing.T) {
					steps++
					if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
						t.Fatal(err)
					}
					if step.Status != nil {
						fwu.Object["status"] = step.Status
						checkRefusal(t, step.Want, k8s.Status().Update(t.Context(), fwu))
						return
					}
					fwu.Object["spec"] = step.Spec
					checkRefusal(t, step.Want, k8s.Update(t.Context(), fwu))
				})
			}
		})
	}
	if steps < 31 {
		t.Errorf("%d steps: that is not all", steps)
	}
}

// toCreate is an upgrade of a device that is to be created.
func toCreate(name string) *wrappers.FirmwareUpgrade { return upgradeNamed(name).App("x").Task("d") }

// inGroups is an upgrade of groups, with all that a request may say.
func inGroups(name string) *wrappers.FirmwareUpgrade {
	w := toCreate(name)
	task := w.Spec.Task
	task.Devices, task.Retries, task.Run = nil, 1, 2
	task.DeviceGroups = &v1alpha1.DeviceGroups{
		Names: []string{"north", "south"}, DeviceType: "WaterMeter", Model: "NB-600", ManufacturerName: "Acme",
	}
	start := time.Date(2026, 12, 8, 22, 0, 0, 0, time.UTC)
	task.Window = &v1alpha1.Window{Start: metav1.NewTime(start), End: metav1.NewTime(start.Add(time.Hour))}
	return w
}

// Nothing of a request changes while the platform is asked and once the task is there, but until when it may be
// created; in every other state all of it does.
func TestTaskIsKept(t *testing.T) {
	type change func(task *v1alpha1.TaskRequest)
	changes := map[string]map[string]change{
		"devices": {
			"packageId": func(task *v1alpha1.TaskRequest) { task.PackageID = "another" },
			"another":   func(task *v1alpha1.TaskRequest) { task.Devices = []string{"e"} },
			"one more":  func(task *v1alpha1.TaskRequest) { task.Devices = []string{"d", "e"} },
			"a window": func(task *v1alpha1.TaskRequest) {
				task.Window = &v1alpha1.Window{Start: metav1.Unix(1, 0), End: metav1.Unix(2, 0)}
			},
			"retries": func(task *v1alpha1.TaskRequest) { task.Retries = 1 },
			"run":     func(task *v1alpha1.TaskRequest) { task.Run = 2 },
			"groups": func(task *v1alpha1.TaskRequest) {
				task.Devices = nil
				task.DeviceGroups = &v1alpha1.DeviceGroups{
					Names: []string{"g"}, DeviceType: "t", Model: "m", ManufacturerName: "n",
				}
			},
		},
		"groups": {
			"a name":           func(task *v1alpha1.TaskRequest) { task.DeviceGroups.Names[0] = "east" },
			"deviceType":       func(task *v1alpha1.TaskRequest) { task.DeviceGroups.DeviceType = "t" },
			"model":            func(task *v1alpha1.TaskRequest) { task.DeviceGroups.Model = "m" },
			"manufacturerName": func(task *v1alpha1.TaskRequest) { task.DeviceGroups.ManufacturerName = "n" },
			"no window":        func(task *v1alpha1.TaskRequest) { task.Window = nil },
			"its start":        func(task *v1alpha1.TaskRequest) { task.Window.Start = metav1.Unix(1, 0) },
			"its end": func(task *v1alpha1.TaskRequest) {
				task.Window.End = metav1.NewTime(task.Window.End.Add(time.Minute))
			},
			"no retries": func(task *v1alpha1.TaskRequest) { task.Retries = 0 },
			"run":        func(task *v1alpha1.TaskRequest) { task.Run = 0 }, // which is 1
			"devices": func(task *v1alpha1.TaskRequest) {
				task.DeviceGroups, task.Devices = nil, []string{"d"}
			},
		},
	}
	states := map[v1alpha1.TaskState]bool{ // whether the request is kept
		"": false, v1alpha1.TaskWaiting: false, v1alpha1.TaskCreating: true, v1alpha1.TaskCreated: true,
		v1alpha1.TaskRefused: false, v1alpha1.TaskExists: false, v1alpha1.TaskUncertain: false, v1alpha1.TaskExpired: false,
	}
	for of, made := range map[string]*v1alpha1.FirmwareUpgrade{
		"devices": toCreate("kept-devices").Obj(), "groups": inGroups("kept-groups").Obj(),
	} {
		if err := k8s.Create(t.Context(), made); err != nil {
			t.Fatal(err)
		}
		for state, kept := range states {
			made.Status.Task = &v1alpha1.TaskStatus{State: state}
			if err := k8s.Status().Update(t.Context(), made); err != nil {
				t.Fatal(err)
			}
			want := ""
			if kept {
				want = "spec.task can't be changed, but for createBefore"
			}
			for what, c := range changes[of] {
				t.Run(strings.Join([]string{of, string(state), what}, "/"), func(t *testing.T) {
					fwu := made.DeepCopy()
					c(fwu.Spec.Task)
					checkRefusal(t, want, k8s.Update(t.Context(), fwu, client.DryRunAll))
				})
			}
			fwu := made.DeepCopy()
			fwu.Spec.Task.CreateBefore, fwu.Spec.DeadlineSeconds = metav1.Unix(1, 0), new(int64(60))
			if err := k8s.Update(t.Context(), fwu, client.DryRunAll); err != nil {
				t.Errorf("%s, %q: until when it may be created, and a deadline: %v", of, state, err)
			}
		}
	}
}

// The bounds of a request, and what goes together with the rest of the spec.
func TestTaskIsValidated(t *testing.T) {
	ids := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("%0256d", i))
		}
		return all
	}
	task := func(change func(task *v1alpha1.TaskRequest)) *wrappers.FirmwareUpgrade {
		w := inGroups("a")
		change(w.Spec.Task)
		return w
	}
	with := func(change func(w *wrappers.FirmwareUpgrade)) *wrappers.FirmwareUpgrade {
		w := toCreate("a")
		change(w)
		return w
	}
	const declares = "task.devices says which devices there are: remove devices and expectedDevices"
	cases := map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		want string // part of the message; empty: accepted
	}{
		"devices":              {toCreate("a"), ""},
		"groups":               {inGroups("a"), ""},
		"most devices":         {toCreate("a").Task(ids(256)...), ""},
		"too many devices":     {toCreate("a").Task(ids(257)...), "spec.task.devices: Too many"},
		"a device twice":       {toCreate("a").Task("d", "d"), ""},
		"an empty device":      {toCreate("a").Task(""), "spec.task.devices[0]"},
		"most groups":          {task(func(r *v1alpha1.TaskRequest) { r.DeviceGroups.Names = ids(256) }), ""},
		"too many groups":      {task(func(r *v1alpha1.TaskRequest) { r.DeviceGroups.Names = ids(257) }), "Too many"},
		"no group":             {task(func(r *v1alpha1.TaskRequest) { r.DeviceGroups.Names = []string{} }), "deviceGroups.names"},
		"an empty window":      {task(func(r *v1alpha1.TaskRequest) { r.Window.End = r.Window.Start }), "swap them"},
		"most retries":         {task(func(r *v1alpha1.TaskRequest) { r.Retries = 5 }), ""},
		"too many retries":     {task(func(r *v1alpha1.TaskRequest) { r.Retries = 6 }), "spec.task.retries"},
		"negative retries":     {task(func(r *v1alpha1.TaskRequest) { r.Retries = -1 }), "spec.task.retries"},
		"the last run":         {task(func(r *v1alpha1.TaskRequest) { r.Run = 1_000_000 }), ""},
		"a run beyond":         {task(func(r *v1alpha1.TaskRequest) { r.Run = 1_000_001 }), "spec.task.run"},
		"a run before":         {task(func(r *v1alpha1.TaskRequest) { r.Run = -1 }), "spec.task.run"},
		"no time":              {task(func(r *v1alpha1.TaskRequest) { r.CreateBefore = metav1.Time{} }), "createBefore"},
		"a list, too":          {toCreate("a").Devices("d"), declares},
		"a number, too":        {toCreate("a").Expected(1), declares},
		"groups and a list":    {inGroups("a").Devices("d"), ""},
		"groups and a number":  {inGroups("a").Expected(3), ""},
		"a placeholder's":      {toCreate("a").Placeholder(), "a placeholder is the operator's"},
		"a settle time":        {toCreate("a").Settle(time.Hour), ""},
		"groups' settle time":  {inGroups("a").Settle(time.Hour), ""},
		"groups' quiet time":   {inGroups("a").Quiet(time.Hour), ""},
		"a quiet time":         {toCreate("a").Quiet(time.Hour), "quietSeconds has no effect"},
		"a policy":             {toCreate("a").Task("d", "e").MaxFailed("2", 0), ""},
		"a policy beyond":      {toCreate("a").Task("d", "e").MaxFailed("3", 0), "maxFailed is above the number of devices"},
		"a minimum":            {toCreate("a").Task("d", "e").MaxFailed("5%", 2), ""},
		"a minimum beyond":     {toCreate("a").Task("d", "e").MaxFailed("5%", 3), "minReported is above the number of devices"},
		"a target, a deadline": {toCreate("a").Target("1.6").Deadline(time.Hour), ""},
		"to be purged":         {toCreate("a").DeletionPolicy(v1alpha1.DeletionPolicyPurge), ""},
		"without application":  {with(func(w *wrappers.FirmwareUpgrade) { w.Spec.AppID = "" }), "task needs appId"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			checkRefusal(t, c.want, k8s.Create(t.Context(), c.fwu.Obj(), client.DryRunAll))
		})
	}
	// The defaults are what the request says when it says nothing.
	made := toCreate("a").Obj()
	if err := k8s.Create(t.Context(), made, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if made.Spec.Task.Retries != 0 || made.Spec.Task.Run != 1 {
		t.Errorf("want no retries and run 1, got %+v", made.Spec.Task)
	}
}

// The largest request may be changed and pinned: the rules that compare all of it cost no more than a rule may.
func TestLargestTask(t *testing.T) {
	w := toCreate("largest")
	w.Spec.Task.Devices = nil
	for i := range 256 {
		w.Spec.Task.Devices = append(w.Spec.Task.Devices, fmt.Sprintf("%0256d", i))
	}
	fwu := w.Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	fwu.Status.OperationID, fwu.Status.Task = "op", &v1alpha1.TaskStatus{
		State: v1alpha1.TaskCreated, RequestHash: strings.Repeat("0a", 16), Attempt: 1,
		AttemptTime: new(metav1.Unix(1, 0)), Message: strings.Repeat("x", 512),
	}
	if err := k8s.Status().Update(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	fwu.Spec.Task.CreateBefore = metav1.Unix(1, 0)
	if err := k8s.Update(t.Context(), fwu); err != nil {
		t.Error(err)
	}
	fwu.Spec.OperationID, fwu.Spec.Task = "op", nil
	if err := k8s.Update(t.Context(), fwu); err != nil {
		t.Error(err)
	}
}

func TestStatusOfATaskIsValidated(t *testing.T) {
	fwu := toCreate("task-status").Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[string]string{
		`{"task":{"state":"Created"},"operationId":"op"}`:                    "",
		`{"task":{"state":"Made"}}`:                                          "status.task.state",
		`{"task":{"requestHash":"3F0f2b5e5b394a0e9d0b6c7f3c1d2a10"}}`:        "status.task.requestHash",
		`{"task":{"requestHash":"3f0f2b5e"}}`:                                "status.task.requestHash",
		`{"task":{"attempt":-1}}`:                                            "status.task.attempt",
		`{"task":{"message":"` + strings.Repeat("x", 513) + `"}}`:            "status.task.message",
		`{"operationId":"` + strings.Repeat("x", 257) + `"}`:                 "status.operationId",
		`{"task":{"requestHash":"3f0f2b5e5b394a0e9d0b6c7f3c1d2a10"}}`:        "",
		`{"task":{"state":"Waiting","attempt":3,"attemptTime":"yesterday"}}`: "status.task.attemptTime",
	} {
		patch := mergePatch(`{"status":` + status + `}`)
		checkRefusal(t, want, k8s.Status().Patch(t.Context(), fwu.DeepCopy(), patch, client.DryRunAll))
	}
}
