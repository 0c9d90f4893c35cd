// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

// An application's platform is asked for the tasks that somebody follows: with the application or without, and not for
// those of others, of which another FirmwareUpgrade has the task, whose results are about to go, or are gone, nor for
// what is still to be created.
func TestFollowed(t *testing.T) {
	s := startStore(t)
	namespace := harness.NewNamespace(t, k8s)
	const app = "followed-app"
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	prefix := namespace + "-"
	of := func(name string) *wrappers.FirmwareUpgrade {
		return wrappers.MakeFirmwareUpgrade(name, namespace).Operation(prefix + name)
	}
	create := func(fwu *v1alpha1.FirmwareUpgrade, st v1alpha1.FirmwareUpgradeStatus) *v1alpha1.FirmwareUpgrade {
		t.Helper()
		if err := k8s.Create(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
		st.ObservedGeneration = fwu.Generation
		fwu.Status = st
		if err := k8s.Status().Update(t.Context(), fwu); err != nil {
			t.Fatal(err)
		}
		return fwu
	}
	create(of("runs").App(app).Obj(), v1alpha1.FirmwareUpgradeStatus{})
	create(of("no-app").Obj(), v1alpha1.FirmwareUpgradeStatus{})
	create(of("to-be-created").App(app).Task("d").Obj(), v1alpha1.FirmwareUpgradeStatus{})
	create(of("created").App(app).Task("d").Obj(), v1alpha1.FirmwareUpgradeStatus{OperationID: prefix + "created"})
	create(of("another-app").App("another").Obj(), v1alpha1.FirmwareUpgradeStatus{})
	create(of("rival").App(app).Operation(prefix+"runs").Obj(), v1alpha1.FirmwareUpgradeStatus{})
	create(of("finished").App(app).Obj(), v1alpha1.FirmwareUpgradeStatus{
		CompletionTime: &now, Devices: v1alpha1.DeviceCounts{Succeeded: 2, Failed: 1},
		Platform: &v1alpha1.PlatformStatus{ObservedTime: now, State: v1alpha1.PlatformSucceeded, Repaired: 7},
	})
	create(of("archived").App(app).Obj(), v1alpha1.FirmwareUpgradeStatus{CompletionTime: &now, ArchiveTime: &now})
	create(of("finished-anew").App(app).Obj(), v1alpha1.FirmwareUpgradeStatus{
		CompletionTime: new(metav1.NewTime(now.Add(time.Minute))), ArchiveTime: &now,
	})
	deleted := create(of("deleted").App(app).Finalizers("example.com/hold").Obj(), v1alpha1.FirmwareUpgradeStatus{})
	if err := k8s.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = k8s.Patch(context.WithoutCancel(t.Context()), deleted, client.RawPatch("application/merge-patch+json",
			[]byte(`{"metadata":{"finalizers":null}}`)))
	})
	reportedByOther := reported(prefix+"reported-by-another", 1, storage.StateSucceeded, "")
	reportedByOther.AppID = "another"
	reportedByUs := reported(prefix+"reported-by-us", 1, storage.StateSucceeded, "")
	reportedByUs.AppID = app
	reportedByNobody := reported(prefix+"reported-by-nobody", 1, storage.StateSucceeded, "")
	reportedByNobody.AppID = "" // a task of its own, which no application has
	storeSlice(t, reportedByOther, reportedByUs, reportedByNobody)
	harness.Eventually(t, func() string {
		for _, by := range []string{"another", "us", "nobody"} {
			if len(s.Tasks(prefix+"reported-by-"+by)) == 0 {
				return "the results are not read yet"
			}
		}
		return ""
	})
	create(of("reported-by-another").Obj(), v1alpha1.FirmwareUpgradeStatus{})
	create(of("reported-by-us").Obj(), v1alpha1.FirmwareUpgradeStatus{})
	create(of("reported-by-nobody").Obj(), v1alpha1.FirmwareUpgradeStatus{})

	declare := func(name, appID string, namespaces ...string) {
		t.Helper()
		declared := newApplication(name+"-"+namespace, appID, namespaces...)
		if err := k8s.Create(t.Context(), declared); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := k8s.Delete(context.WithoutCancel(t.Context()), declared); err != nil {
				t.Error(err)
			}
		})
	}
	declare("first", app, namespace)
	declare("for-nobody", "for-nobody")
	view := &platformView{client: k8s}
	followed := func() (operations []string) {
		t.Helper()
		all, err := view.followed(t.Context(), app, s, claim.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.Task.AppID != app {
				t.Errorf("%+v is of another application", f)
			}
			if f.Task.OperationID == prefix+"finished" && (!f.Finished || !f.Complete || f.Repaired != 7) {
				t.Errorf("%+v", f)
			}
			if f.Task.OperationID == prefix+"runs" && (f.Finished || f.Complete || f.Repaired != 0) {
				t.Errorf("%+v", f)
			}
			operations = append(operations, f.Task.OperationID[len(prefix):])
		}
		slices.Sort(operations)
		return operations
	}
	want := []string{"created", "finished", "finished-anew", "no-app", "reported-by-us", "runs"}
	if diff := cmp.Diff(want, followed()); diff != "" {
		t.Errorf("followed (-want +got):\n%s", diff)
	}
	// With two applications for the namespace nobody knows at which one a task without application or results is.
	declare("second", "second", namespace)
	want = []string{"created", "finished", "finished-anew", "reported-by-us", "runs"}
	if diff := cmp.Diff(want, followed()); diff != "" {
		t.Errorf("followed with two applications (-want +got):\n%s", diff)
	}
}

// Whether anybody is asked for a task is said by the IoTApplications that there are, connected or not.
func TestViewOf(t *testing.T) {
	namespace := harness.NewNamespace(t, k8s)
	named := wrappers.MakeFirmwareUpgrade("named", namespace).Operation("op").App("app-" + namespace).Obj()
	unnamed := wrappers.MakeFirmwareUpgrade("unnamed", namespace).Operation("op").Obj()
	view := &platformView{client: k8s, connections: &connections{}}
	of := func(fwu *v1alpha1.FirmwareUpgrade, reported bool) *status.Platform {
		t.Helper()
		p, err := view.of(t.Context(), fwu, result.Task{AppID: fwu.Spec.AppID, OperationID: "op"}, reported)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := of(named, false); p != nil {
		t.Errorf("without IoTApplications: %+v", p)
	}
	declared := newApplication("of-"+namespace, "app-"+namespace, namespace)
	if err := k8s.Create(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k8s.Delete(context.WithoutCancel(t.Context()), declared); err != nil {
			t.Error(err)
		}
	})
	if p := of(named, false); p.NotConnected || p.Guessed || !p.NeverAsked || p.Trouble == "" ||
		p.AppID != named.Spec.AppID {
		t.Errorf("named: %+v", p)
	}
	view.hosts = PlatformHosts{"iot.invalid:8743"}
	if p := of(named, false); p.NeverAsked {
		t.Errorf("named, and its host is allowed: %+v", p)
	}
	if p := of(unnamed, false); p.NotConnected || !p.Guessed || p.AppID != named.Spec.AppID {
		t.Errorf("guessed: %+v", p)
	}
	if p := of(unnamed, true); !p.NotConnected {
		t.Errorf("with results that name no application: %+v", p)
	}
	unnamed.Namespace = "another"
	if p := of(unnamed, false); !p.NotConnected {
		t.Errorf("in a namespace that is not listed: %+v", p)
	}
}
