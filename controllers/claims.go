// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"slices"
	"strings"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// claim is what became of a FirmwareUpgrade's claim to its task.
type claim struct {
	// reason is empty where the claim holds, else the condition reason that says why not.
	reason string
	// message says what to do about it.
	message string
}

func (c claim) holds() bool { return c.reason == "" }

// resolveClaim decides whether fwu has its task, given all FirmwareUpgrades with the same operationId, fwu among them.
//
//  1. A placeholder yields to every declared one, the younger to the older, then the greater UID to the lower.
//  2. A claim to an application that is not the namespace's is void.
//  3. In that order, each gets what it claims unless one that got its task claims any of the same applications.
func resolveClaim(fwu *v1alpha1.FirmwareUpgrade, sameOperation []v1alpha1.FirmwareUpgrade, rules tenancy) claim {
	if !rules.permitted(fwu) {
		return claim{v1alpha1.ReasonNotPermitted, notPermittedMessage(fwu)}
	}
	for _, holder := range holders(sameOperation, rules) {
		if holder.UID == fwu.UID {
			return claim{}
		}
		if rules.overlap(holder, fwu) {
			return claim{v1alpha1.ReasonDuplicateOperation,
				"FirmwareUpgrade " + holder.Namespace + "/" + holder.Name + " has this task: delete one of the two"}
		}
	}
	// Not in the list: the object is newer than the list, so that everything else goes first.
	return claim{}
}

// holders returns those of the FirmwareUpgrades, all with one operationId, that have what they claim, in the order of
// precedence.
func holders(sameOperation []v1alpha1.FirmwareUpgrade, rules tenancy) []*v1alpha1.FirmwareUpgrade {
	byPrecedence := make([]*v1alpha1.FirmwareUpgrade, 0, len(sameOperation))
	for i := range sameOperation {
		if f := &sameOperation[i]; f.DeletionTimestamp.IsZero() && rules.permitted(f) {
			byPrecedence = append(byPrecedence, f)
		}
	}
	slices.SortFunc(byPrecedence, rules.precedence)
	var held []*v1alpha1.FirmwareUpgrade
	for _, f := range byPrecedence {
		if !slices.ContainsFunc(held, func(h *v1alpha1.FirmwareUpgrade) bool { return rules.overlap(h, f) }) {
			held = append(held, f)
		}
	}
	return held
}

// holderOf returns the FirmwareUpgrade that has the task, nil if none has. All must have the task's operationId.
func holderOf(task upgrade.Task, sameOperation []v1alpha1.FirmwareUpgrade, rules tenancy) *v1alpha1.FirmwareUpgrade {
	for _, h := range holders(sameOperation, rules) {
		if rules.covers(h, task.AppID) {
			return h
		}
	}
	return nil
}

// claimedTask returns the one task that a FirmwareUpgrade which holds its claim counts, out of the tasks with results
// under its operationId. Where there are no results yet, ok is false and the claim holds.
func claimedTask(f *v1alpha1.FirmwareUpgrade, withResults []upgrade.Task, rules tenancy) (task upgrade.Task, ok bool, c claim) {
	var found []upgrade.Task
	for _, t := range withResults {
		if rules.covers(f, t.AppID) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return upgrade.Task{AppID: f.Spec.AppID, OperationID: f.Spec.OperationID}, false, claim{}
	case 1:
		return found[0], true, claim{}
	default:
		return upgrade.Task{}, false, claim{v1alpha1.ReasonAmbiguousOperation, ambiguousMessage(found)}
	}
}

func notPermittedMessage(f *v1alpha1.FirmwareUpgrade) string {
	if f.Spec.AppID == "" {
		return "namespace " + f.Namespace + " has no application: ask the operator's administrator to map one to it"
	}
	return "application " + f.Spec.AppID + " is not mapped to namespace " + f.Namespace +
		": ask the operator's administrator, or create this FirmwareUpgrade in the application's namespace"
}

func ambiguousMessage(tasks []upgrade.Task) string {
	var names []string
	for _, t := range tasks[:min(len(tasks), 3)] {
		names = append(names, cmp.Or(t.AppID, "none named"))
	}
	return "several applications report this operationId (" + strings.Join(names, ", ") +
		"): delete this FirmwareUpgrade and create one with spec.appId for each of them; nothing is lost by that"
}
