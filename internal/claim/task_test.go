// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"testing"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/wrappers"
)

// What is still to be created has nothing in common with others that are: it claims no task, has no rivals, and is
// nobody's rival, whatever came without an operationId.
func TestTaskIsToBeCreated(t *testing.T) {
	waits := func(name string) *wrappers.FirmwareUpgrade {
		return wrappers.MakeFirmwareUpgrade(name, "a").UID(name).App("x").Task("d").Created(created)
	}
	all := []v1alpha1.FirmwareUpgrade{*waits("1").Obj(), *waits("2").Obj()}
	none := result.Task{AppID: "x"}
	for i := range all {
		if got := Resolve(&all[i], all, Rules{}); !got.Holds() {
			t.Errorf("%s has a rival: %+v", all[i].Name, got)
		}
		task, reported, got := Task(&all[i], []result.Task{none, {AppID: "y"}}, Rules{})
		if task != none || reported || !got.Holds() {
			t.Errorf("%s has task %+v, results %t, %+v", all[i].Name, task, reported, got)
		}
		if (Rules{}).Claims(&all[i], none) {
			t.Errorf("%s claims what has no operationId", all[i].Name)
		}
	}
	if holders := Holders(all, Rules{}); len(holders) > 0 {
		t.Errorf("%s has a task", holders[0].Name)
	}
	if holder := HolderOf(none, all, Rules{}); holder != nil {
		t.Errorf("%s has what has no operationId", holder.Name)
	}
	// A namespace that may not have the application is told so before anything is created.
	if got := Resolve(&all[0], all, Rules{Applications: applicationsMap(t)}); !got.Holds() {
		t.Errorf("%s may have the application: %+v", all[0].Name, got)
	}
	elsewhere := wrappers.MakeFirmwareUpgrade("3", "b").App("x").Task("d").Obj()
	if got := Resolve(elsewhere, all, Rules{Applications: applicationsMap(t)}); got.Reason != v1alpha1.ReasonNotPermitted {
		t.Errorf("want NotPermitted, got %+v", got)
	}
}

// Once it is created, the id in the status is the claim, beside those that name it in their spec: the older has it.
func TestTaskWasCreated(t *testing.T) {
	op := result.Task{AppID: "x", OperationID: "op"}
	older := wrappers.MakeFirmwareUpgrade("older", "a").UID("older").App("x").Task("d").Created(created).
		Status(v1alpha1.FirmwareUpgradeStatus{OperationID: "op"}).Obj()
	younger := wrappers.MakeFirmwareUpgrade("younger", "a").UID("younger").App("x").Created(created.Add(rivalDelay)).Obj()
	waits := wrappers.MakeFirmwareUpgrade("waits", "a").UID("waits").App("x").Task("d").Obj()
	all := []v1alpha1.FirmwareUpgrade{*waits, *younger, *older}
	if holder := HolderOf(op, all, Rules{}); holder == nil || holder.Name != "older" {
		t.Errorf("want the older one to have it, got %v", holder)
	}
	if got := Resolve(younger, all, Rules{}); got.Reason != v1alpha1.ReasonDuplicateOperation {
		t.Errorf("want DuplicateOperation, got %+v", got)
	}
	if task, reported, _ := Task(older, []result.Task{op}, Rules{}); task != op || !reported {
		t.Errorf("want %v and its results, got %v %t", op, task, reported)
	}
	if !(Rules{}).Claims(older, op) || (Rules{}).Claims(waits, op) {
		t.Error("what was created claims its task, and nothing else does")
	}
}
