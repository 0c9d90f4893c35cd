// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"cmp"
	"slices"
	"strings"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Claim is what became of a FirmwareUpgrade's claim to its task.
type Claim struct {
	// Reason is empty where the claim holds, else the condition reason that says why not.
	Reason string
	// Message says what to do about it.
	Message string
}

// Holds says whether the FirmwareUpgrade has what it claims.
func (c Claim) Holds() bool { return c.Reason == "" }

// Resolve decides whether fwu has its task, given all FirmwareUpgrades with the same operationId, fwu among them.
//
//  1. A placeholder yields to every declared one, the younger to the older, then the greater UID to the lower.
//  2. A claim to an application that is not the namespace's is void.
//  3. In that order, each gets what it claims unless one that got its task claims any of the same applications.
func Resolve(fwu *v1alpha1.FirmwareUpgrade, sameOperation []v1alpha1.FirmwareUpgrade, rules Rules) Claim {
	if !rules.permitted(fwu) {
		return Claim{v1alpha1.ReasonNotPermitted, notPermittedMessage(fwu, rules)}
	}
	for _, holder := range holders(sameOperation, rules) {
		if holder.UID == fwu.UID {
			return Claim{}
		}
		switch {
		case !rules.overlap(holder, fwu):
		case purging(holder):
			return Claim{
				v1alpha1.ReasonPurging,
				"waits until the results of FirmwareUpgrade " + holder.Namespace + "/" + holder.Name +
					", which is being deleted, are removed",
			}
		default:
			return Claim{v1alpha1.ReasonDuplicateOperation,
				"FirmwareUpgrade " + holder.Namespace + "/" + holder.Name + " has this task: delete one of the two"}
		}
	}
	// Not in the list: the object is newer than the list, so that everything else goes first.
	return Claim{}
}

// holders returns those of the FirmwareUpgrades, all with one operationId, that have what they claim, in the order of
// precedence.
func holders(sameOperation []v1alpha1.FirmwareUpgrade, rules Rules) []*v1alpha1.FirmwareUpgrade {
	byPrecedence := make([]*v1alpha1.FirmwareUpgrade, 0, len(sameOperation))
	for i := range sameOperation {
		if f := &sameOperation[i]; (f.DeletionTimestamp.IsZero() || purging(f)) && rules.permitted(f) {
			byPrecedence = append(byPrecedence, f)
		}
	}
	slices.SortFunc(byPrecedence, precedence)
	var held []*v1alpha1.FirmwareUpgrade
	for _, f := range byPrecedence {
		if !slices.ContainsFunc(held, func(h *v1alpha1.FirmwareUpgrade) bool { return rules.overlap(h, f) }) {
			held = append(held, f)
		}
	}
	return held
}

// purging says whether an object is being deleted and its results are to be removed with it: it has its task until that
// is done, so that what is declared anew doesn't count them.
func purging(f *v1alpha1.FirmwareUpgrade) bool {
	return !f.DeletionTimestamp.IsZero() && slices.Contains(f.Finalizers, v1alpha1.FinalizerPurge)
}

// HolderOf returns the FirmwareUpgrade that has the task, nil if none has. All must have the task's operationId.
func HolderOf(task result.Task, sameOperation []v1alpha1.FirmwareUpgrade, rules Rules) *v1alpha1.FirmwareUpgrade {
	for _, h := range holders(sameOperation, rules) {
		if rules.covers(h, task.AppID) {
			return h
		}
	}
	return nil
}

// Task returns the one task that a FirmwareUpgrade which holds its claim counts, out of the tasks with results
// under its operationId. Where there are no results yet, ok is false and the claim holds.
func Task(f *v1alpha1.FirmwareUpgrade, withResults []result.Task, rules Rules) (task result.Task, ok bool, c Claim) {
	var found []result.Task
	for _, t := range withResults {
		if rules.covers(f, t.AppID) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return result.Task{AppID: f.Spec.AppID, OperationID: f.Spec.OperationID}, false, Claim{}
	case 1:
		return found[0], true, Claim{}
	default:
		return result.Task{}, false, Claim{v1alpha1.ReasonAmbiguousOperation, ambiguousMessage(found)}
	}
}

func notPermittedMessage(f *v1alpha1.FirmwareUpgrade, rules Rules) string {
	if f.Spec.Placeholder {
		return "only the operator makes placeholders, in namespace " + rules.PlaceholderNamespace +
			": set spec.placeholder to false, or delete this FirmwareUpgrade"
	}
	if f.Spec.AppID == "" {
		return "namespace " + f.Namespace + " has no application: ask the operator's administrator to map one to it"
	}
	return "application " + f.Spec.AppID + " is not mapped to namespace " + f.Namespace +
		": ask the operator's administrator, or create this FirmwareUpgrade in the application's namespace"
}

func ambiguousMessage(tasks []result.Task) string {
	var names []string
	for _, t := range tasks[:min(len(tasks), 3)] {
		names = append(names, cmp.Or(t.AppID, "none named"))
	}
	return "several applications report this operationId (" + strings.Join(names, ", ") +
		"): set spec.appId to the one that is meant, and create another FirmwareUpgrade for each of the others"
}
