// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

func table(rows string) storage.ResultTable {
	return storage.ResultTable{
		OperationID: "op", ResultFields: storage.ResultFields{State: storage.StateSucceeded}, Rows: rows,
	}
}

func slice(name, rows string) *storage.ResultSlice {
	return &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Tables:     []storage.ResultTable{table(rows)},
	}
}

// No field of a slice can be changed, added or taken away, at the top least of all, where there is no spec around them.
func TestSlicesAreImmutable(t *testing.T) {
	full := slice("full", "deviceId,receiveTime\nd,1\n")
	full.Rejected = []storage.RejectedNotification{{Reason: "r", ReceiveTime: metav1.NewMicroTime(time.Unix(1, 0))}}
	full.Releases = []storage.Release{{OperationID: "op", ReleaseTime: metav1.NewMicroTime(time.Unix(1, 0))}}
	bare := &storage.ResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bare"}}
	for _, s := range []*storage.ResultSlice{full, bare} {
		if err := k8s.Create(t.Context(), s.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	const (
		tables   = `{"tables":[{"operationId":"op","state":"Failed","rows":"deviceId,receiveTime\nd,1\n"}]}`
		rejected = `{"rejected":[{"reason":"another","receiveTime":"2026-01-01T00:00:00.000000Z"}]}`
		releases = `{"releases":[{"operationId":"another","releaseTime":"2026-01-01T00:00:00.000000Z"}]}`
	)
	cases := map[string]struct {
		slice *storage.ResultSlice
		patch string
	}{
		"tables changed":      {full, tables},
		"tables emptied":      {full, `{"tables":[]}`},
		"tables taken away":   {full, `{"tables":null}`},
		"tables added":        {bare, tables},
		"rejected changed":    {full, rejected},
		"rejected taken away": {full, `{"rejected":null}`},
		"rejected added":      {bare, rejected},
		"releases changed":    {full, releases},
		"releases taken away": {full, `{"releases":null}`},
		"releases added":      {bare, releases},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := k8s.Patch(t.Context(), c.slice.DeepCopy(), mergePatch(c.patch), client.DryRunAll)
			checkRefusal(t, "a slice is immutable", err)
		})
	}
	for _, s := range []*storage.ResultSlice{full, bare} {
		err := k8s.Patch(t.Context(), s.DeepCopy(), mergePatch(`{"metadata":{"labels":{"a":"b"}}}`))
		if err != nil {
			t.Errorf("a label of %s: %v", s.Name, err)
		}
	}
}

// A slice as large as the webhook and compaction make them is accepted, and so is the rule that runs over all of it.
func TestLargestSlice(t *testing.T) {
	s := slice("large", strings.Repeat("d", storage.MaxSliceBytes))
	if err := k8s.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := k8s.Patch(t.Context(), s, mergePatch(`{"metadata":{"labels":{"a":"b"}}}`)); err != nil {
		t.Error(err)
	}
	larger := slice("larger", strings.Repeat("d", storage.MaxSliceBytes+1))
	checkRefusal(t, "tables[0].rows", k8s.Create(t.Context(), larger, client.DryRunAll))
}

func TestSliceIsValidated(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n+1) }
	fields := func(change func(f *storage.ResultTable)) func(s *storage.ResultSlice) {
		return func(s *storage.ResultSlice) { change(&s.Tables[0]) }
	}
	rejected := func(n int, r storage.RejectedNotification) func(s *storage.ResultSlice) {
		return func(s *storage.ResultSlice) {
			for range n {
				s.Rejected = append(s.Rejected, r)
			}
		}
	}
	releases := func(n int, r storage.Release) func(s *storage.ResultSlice) {
		return func(s *storage.ResultSlice) {
			for range n {
				s.Releases = append(s.Releases, r)
			}
		}
	}
	tables := func(n int) func(s *storage.ResultSlice) {
		return func(s *storage.ResultSlice) {
			for len(s.Tables) < n {
				s.Tables = append(s.Tables, s.Tables[0])
			}
		}
	}
	at := metav1.NewMicroTime(time.Unix(1, 0))
	cases := map[string]struct {
		change func(s *storage.ResultSlice)
		want   string // part of the message; empty: accepted
	}{
		"most tables":          {tables(storage.MaxSliceTables), ""},
		"too many tables":      {tables(storage.MaxSliceTables + 1), "tables"},
		"no rows":              {fields(func(f *storage.ResultTable) { f.Rows = "" }), "tables[0].rows"},
		"another state":        {fields(func(f *storage.ResultTable) { f.State = "Done" }), "tables[0].state"},
		"long operationId":     {fields(func(f *storage.ResultTable) { f.OperationID = long(storage.MaxIDBytes) }), "tables[0].operationId"},
		"long appId":           {fields(func(f *storage.ResultTable) { f.AppID = long(storage.MaxIDBytes) }), "tables[0].appId"},
		"long targetVersion":   {fields(func(f *storage.ResultTable) { f.TargetVersion = long(storage.MaxVersionBytes) }), "tables[0].targetVersion"},
		"long sourceVersion":   {fields(func(f *storage.ResultTable) { f.SourceVersion = long(storage.MaxVersionBytes) }), "tables[0].sourceVersion"},
		"long curVersion":      {fields(func(f *storage.ResultTable) { f.CurVersion = long(storage.MaxVersionBytes) }), "tables[0].curVersion"},
		"long statusDesc":      {fields(func(f *storage.ResultTable) { f.StatusDesc = long(storage.MaxStatusDescBytes) }), "tables[0].statusDesc"},
		"long upgradeTime":     {fields(func(f *storage.ResultTable) { f.UpgradeTime = long(storage.MaxUpgradeTimeBytes) }), "tables[0].upgradeTime"},
		"most rejected":        {rejected(1024, storage.RejectedNotification{ReceiveTime: at}), ""},
		"too many rejected":    {rejected(1025, storage.RejectedNotification{ReceiveTime: at}), "rejected"},
		"long reason":          {rejected(1, storage.RejectedNotification{ReceiveTime: at, Reason: long(storage.MaxRejectedReasonBytes)}), "rejected[0].reason"},
		"long body":            {rejected(1, storage.RejectedNotification{ReceiveTime: at, Body: long(storage.MaxRejectedBodyBytes)}), "rejected[0].body"},
		"most releases":        {releases(1024, storage.Release{OperationID: "op", ReleaseTime: at}), ""},
		"too many releases":    {releases(1025, storage.Release{OperationID: "op", ReleaseTime: at}), "releases"},
		"a release of no task": {releases(1, storage.Release{ReleaseTime: at}), "releases[0].operationId"},
		"a release's long id":  {releases(1, storage.Release{OperationID: long(storage.MaxIDBytes), ReleaseTime: at}), "releases[0].operationId"},
		"a release's long app": {releases(1, storage.Release{AppID: long(storage.MaxIDBytes), OperationID: "op", ReleaseTime: at}), "releases[0].appId"},
		"nothing but a release": {func(s *storage.ResultSlice) {
			s.Tables = nil
			releases(1, storage.Release{OperationID: "op", ReleaseTime: at})(s)
		}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := slice("validated", "deviceId,receiveTime\nd,1\n")
			c.change(s)
			checkRefusal(t, c.want, k8s.Create(t.Context(), s, client.DryRunAll))
		})
	}
}

func store(namespace string) *storage.ResultStore {
	return &storage.ResultStore{
		ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName},
		Spec:       storage.ResultStoreSpec{Namespace: namespace},
	}
}

// makeStore creates the one ResultStore until the test ends.
func makeStore(t *testing.T, s *storage.ResultStore) {
	t.Helper()
	if err := k8s.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k8s.Delete(context.WithoutCancel(t.Context()), s); err != nil {
			t.Error(err)
		}
	})
}

func TestResultStoreIsValidated(t *testing.T) {
	another := store("a")
	another.Name = "another"
	checkRefusal(t, "its name is fwupgrade", k8s.Create(t.Context(), another, client.DryRunAll))
	checkRefusal(t, "spec.namespace", k8s.Create(t.Context(), store(""), client.DryRunAll))
	checkRefusal(t, "spec.namespace", k8s.Create(t.Context(), store(strings.Repeat("n", 64)), client.DryRunAll))

	s := store("a")
	makeStore(t, s)
	moved := k8s.Patch(t.Context(), s.DeepCopy(), mergePatch(`{"spec":{"namespace":"b"}}`))
	checkRefusal(t, "namespace is immutable", moved)
	cases := map[string]struct {
		status string
		want   string // part of the message; empty: accepted
	}{
		"a count is missing":       {`{"state":"Open","load":3}`, ""},
		"another state":            {`{"state":"Closed"}`, "status.state"},
		"another announced state":  {`{"announcedState":"Closed"}`, "status.announcedState"},
		"a negative load":          {`{"load":-1}`, "status.load"},
		"a negative limit":         {`{"limit":-1}`, "status.limit"},
		"negative results":         {`{"results":-1}`, "status.results"},
		"negative rejected":        {`{"rejected":-1}`, "status.rejected"},
		"negative slices":          {`{"slices":-1}`, "status.slices"},
		"a time that is not a one": {`{"announcedRejectTime":"today"}`, "status.announcedRejectTime"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patch := mergePatch(`{"status":` + c.status + `}`)
			checkRefusal(t, c.want, k8s.Status().Patch(t.Context(), s.DeepCopy(), patch, client.DryRunAll))
		})
	}
}
