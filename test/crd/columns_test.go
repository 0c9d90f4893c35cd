// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// columns returns what `kubectl get` asks the API server for: of one object, the cells by the names of their columns,
// those of the default columns and those that `-o wide` adds.
func columns(t *testing.T, gv schema.GroupVersion, path ...string) (narrow, wide map[string]any) {
	t.Helper()
	scheme, err := harness.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(admin)
	config.GroupVersion, config.APIPath = &gv, "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	got := &metav1.Table{}
	err = c.Get().AbsPath(append([]string{"/apis", gv.Group, gv.Version}, path...)...).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Into(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 {
		t.Fatalf("want one row, got %d", len(got.Rows))
	}
	narrow, wide = map[string]any{}, map[string]any{}
	for i, column := range got.ColumnDefinitions {
		if strings.ContainsAny(column.Name, " \t") {
			t.Errorf("a blank in the name of column %q", column.Name)
		}
		cells := narrow
		if column.Priority > 0 {
			cells = wide
		}
		cells[column.Name] = got.Rows[0].Cells[i]
	}
	return narrow, wide
}

// kubectl prints the ages of times, which grow.
func dropAges(t *testing.T, cells map[string]any, names ...string) {
	t.Helper()
	for _, name := range names {
		if age, ok := cells[name].(string); !ok || age == "" || age == "<unknown>" || age == "<invalid>" {
			t.Errorf("%s: want an age, got %v", name, cells[name])
		}
		delete(cells, name)
	}
}

func TestColumnsOfFirmwareUpgrades(t *testing.T) {
	now := metav1.NewTime(time.Now().Add(-time.Minute))
	fwu := upgradeNamed("columns").App("app").Task("d").Target("1.6").Obj()
	if err := k8s.Create(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	fwu.Status = v1alpha1.FirmwareUpgradeStatus{
		Phase: v1alpha1.PhaseRunning, Progress: "5/10", Reason: "Invalid URI (2)", TopCause: "Invalid URI", AppID: "app",
		LastResultTime: &now, OperationID: "op-columns",
		Devices: v1alpha1.DeviceCounts{
			Expected: 10, Succeeded: 3, Failed: 2, InProgress: 1, Pending: 4, Suspect: 6, Recovered: 7,
		},
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: "False", Reason: "Running", Message: "5 of 10", LastTransitionTime: now},
		},
	}
	if err := k8s.Status().Update(t.Context(), fwu); err != nil {
		t.Fatal(err)
	}
	narrow, wide := columns(t, v1alpha1.GroupVersion, "namespaces", "default", "firmwareupgrades", "columns")
	dropAges(t, narrow, "Age")
	dropAges(t, wide, "Last-Result")
	if diff := cmp.Diff(map[string]any{
		"Name": "columns", "Target": "1.6", "Phase": "Running", "Ready": "False", "Progress": "5/10", "Failed": int64(2),
		"Reason": "Invalid URI (2)",
	}, narrow); diff != "" {
		t.Errorf("default columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{
		"Operation": "op-columns", "App": "app", "Succeeded": int64(3), "In-Progress": int64(1), "Pending": int64(4),
		"Suspect": int64(6), "Recovered": int64(7), "Message": "5 of 10",
	}, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
}

func TestColumnsOfResultSlices(t *testing.T) {
	s := slice("columns", "deviceId,receiveTime\nd,1\n")
	s.Labels = map[string]string{storage.LabelTask: "h"}
	s.Rejected = []storage.RejectedNotification{{Reason: "no deviceId", ReceiveTime: metav1.NowMicro()}}
	if err := k8s.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	narrow, wide := columns(t, storage.GroupVersion, "namespaces", "default", "resultslices", "columns")
	dropAges(t, narrow, "Age")
	want := map[string]any{"Name": "columns", "Task": "h", "Operation": "op", "Rejected": "no deviceId"}
	if diff := cmp.Diff(want, narrow); diff != "" {
		t.Errorf("default columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{}, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
}

func TestColumnsOfTaskRecords(t *testing.T) {
	of := record("columns", func(s *storage.FirmwareUpgradeTaskRecordSpec) {
		s.Intent, s.Outcome = nil, &storage.TaskOutcome{
			Time: metav1.NowMicro(), Result: storage.TaskResultCreated, How: storage.TaskFound, OperationID: "op", Message: "m",
		}
	})
	if err := k8s.Create(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	narrow, wide := columns(t, storage.GroupVersion, "namespaces", "default", "firmwareupgradetaskrecords", of.Name)
	dropAges(t, narrow, "Age")
	if diff := cmp.Diff(map[string]any{
		"Name": of.Name, "Attempt": int64(1), "Result": "Created", "How": "Found", "Operation": "op", "For": nil,
	}, narrow); diff != "" {
		t.Errorf("default columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"App": "app", "Namespace": nil, "Holder": nil, "Message": "m"}, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
}

func TestColumnsOfTheResultStore(t *testing.T) {
	s := store("fwupgrade-system")
	makeStore(t, s)
	s.Status = storage.ResultStoreStatus{
		State: storage.StoreNearlyFull, Load: 9, Limit: 10, Results: 8, Rejected: 1, Slices: 2,
	}
	if err := k8s.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	narrow, wide := columns(t, storage.GroupVersion, "resultstores", storage.ResultStoreName)
	dropAges(t, narrow, "Age")
	if diff := cmp.Diff(map[string]any{
		"Name": "fwupgrade", "Namespace": "fwupgrade-system", "State": "NearlyFull", "Load": int64(9), "Limit": int64(10),
		"Results": int64(8), "Rejected": int64(1),
	}, narrow); diff != "" {
		t.Errorf("default columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"Slices": int64(2)}, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
}

// The API server accepts the CRDs as they are: it refuses rules that could cost too much, and reports schemas that are
// not structural.
func TestCRDsAreServed(t *testing.T) {
	scheme, err := harness.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(admin, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	crds := &apiextensionsv1.CustomResourceDefinitionList{}
	if err := c.List(t.Context(), crds); err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{}
	for _, crd := range crds.Items {
		got[crd.Name] = map[string]string{}
		for _, condition := range crd.Status.Conditions {
			got[crd.Name][string(condition.Type)] = string(condition.Status)
		}
	}
	served := map[string]string{"Established": "True", "NamesAccepted": "True"}
	want := map[string]map[string]string{
		"firmwareupgrades.fwupgrade.io":                   served,
		"firmwareupgradetaskrecords.storage.fwupgrade.io": served,
		"iotapplications.fwupgrade.io":                    served,
		"resultslices.storage.fwupgrade.io":               served,
		"resultstores.storage.fwupgrade.io":               served,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions of the CRDs (-want +got):\n%s", diff)
	}
}
