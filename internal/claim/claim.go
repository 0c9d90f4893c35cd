// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// rivalDelay is how long after the younger of two rivals came the other one may still be about to go: who renames a
// FirmwareUpgrade by Git creates the new one first, and prunes the old one some seconds later.
const rivalDelay = 30 * time.Second

const (
	// maxNames is how many applications a message names.
	maxNames = 3
	// maxNameBytes is how much of each a message shows where it names several. The platform's have 28 bytes.
	maxNameBytes = 32
)

// Claim is what became of a FirmwareUpgrade's claim to its task.
type Claim struct {
	// Reason is empty where the claim holds, else the condition reason that says why not.
	Reason string
	// Message says what to do about it; also where the claim holds, and something is to be done all the same.
	Message string
	// Until is, for a DuplicateOperation, until when the rival may still be about to go; see At.
	Until time.Time
	// rival is the namespace and name of the one that has the task.
	rival string
}

// Holds says whether the FirmwareUpgrade has what it claims.
func (c Claim) Holds() bool { return c.Reason == "" }

// Waits says whether the claim may come to hold without anybody's help.
func (c Claim) Waits() bool {
	switch c.Reason {
	case v1alpha1.ReasonPurging, v1alpha1.ReasonAwaitingTask, v1alpha1.ReasonWaiting, v1alpha1.ReasonResolving,
		v1alpha1.ReasonCreated, v1alpha1.ReasonAdopted: // the last two are about to be counted
		return true
	}
	return false
}

// At is the claim as it is to be told at a time: before Until a duplicate is none yet, and waits for the task.
func (c Claim) At(now time.Time) Claim {
	if now.Before(c.Until) {
		c.Reason = v1alpha1.ReasonAwaitingTask
		c.Message = "FirmwareUpgrade " + c.rival + " has this task, and may be about to be deleted: waits for that until " +
			c.Until.UTC().Format(time.RFC3339)
	}
	return c
}

// Resolve decides whether fwu has its task, given all FirmwareUpgrades with the same operationId, fwu among them.
//
//  1. A placeholder yields to every declared one, the younger to the older, then the greater UID to the lower.
//  2. A claim to an application that is not the namespace's is void.
//  3. In that order, each gets what it claims unless one that got its task claims any of the same applications.
//  4. Who comes too late waits a moment before that is a duplicate: the other one may be about to go.
//  5. One whose task is still to be created has no operationId, and so neither a task nor rivals.
func Resolve(fwu *v1alpha1.FirmwareUpgrade, sameOperation []v1alpha1.FirmwareUpgrade, rules Rules) Claim {
	if !rules.permitted(fwu) {
		return Claim{Reason: v1alpha1.ReasonNotPermitted, Message: notPermittedMessage(fwu, rules)}
	}
	if fwu.OperationID() == "" {
		return Claim{}
	}
	for _, holder := range Holders(sameOperation, rules) {
		if holder.UID == fwu.UID {
			return Claim{}
		}
		name := holder.Namespace + "/" + holder.Name
		switch {
		case !rules.overlap(holder, fwu):
		case purging(holder):
			return Claim{
				Reason: v1alpha1.ReasonPurging,
				Message: "waits until the results of FirmwareUpgrade " + name +
					", which is being deleted, are removed",
			}
		default:
			return Claim{
				Reason:  v1alpha1.ReasonDuplicateOperation,
				Message: "FirmwareUpgrade " + name + " has this task: delete one of the two",
				Until:   younger(holder, fwu).Add(rivalDelay),
				rival:   name,
			}
		}
	}
	// Not in the list: the object is newer than the list, so that everything else goes first.
	return Claim{}
}

// Holders returns those of the FirmwareUpgrades, all with one operationId, that have what they claim, in the order of
// precedence.
func Holders(sameOperation []v1alpha1.FirmwareUpgrade, rules Rules) []*v1alpha1.FirmwareUpgrade {
	byPrecedence := make([]*v1alpha1.FirmwareUpgrade, 0, len(sameOperation))
	for i := range sameOperation {
		f := &sameOperation[i]
		if f.OperationID() != "" && (f.DeletionTimestamp.IsZero() || purging(f)) && rules.permitted(f) {
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

// Deletion is what becomes of the claim of a FirmwareUpgrade that is being deleted, while a finalizer keeps it.
func Deletion(f *v1alpha1.FirmwareUpgrade) Claim {
	if purging(f) {
		return Claim{
			Reason:  v1alpha1.ReasonPurging,
			Message: "is being deleted: stays until the results are removed",
		}
	}
	return Claim{
		Reason:  v1alpha1.ReasonReleased,
		Message: "is being deleted and has no task, results are not counted: stays until metadata.finalizers is empty",
	}
}

// Purge is what becomes of the claim of a FirmwareUpgrade while the results are removed of one that had its task and is
// gone already. A slice that this version can't read completely keeps them from being removed.
func Purge(unreadable string) Claim {
	if unreadable != "" {
		return Claim{
			Reason: v1alpha1.ReasonPurgeBlocked,
			Message: "the results of a FirmwareUpgrade of this task, which was deleted, can't be removed, as ResultSlice " +
				unreadable + " can't be read by this version of the operator: run the version that wrote it",
		}
	}
	return Claim{
		Reason:  v1alpha1.ReasonPurging,
		Message: "waits until the results of a FirmwareUpgrade of this task, which was deleted, are removed",
	}
}

// younger returns when the younger of two was created.
func younger(a, b *v1alpha1.FirmwareUpgrade) time.Time {
	if a.CreationTimestamp.After(b.CreationTimestamp.Time) {
		return a.CreationTimestamp.Time
	}
	return b.CreationTimestamp.Time
}

// Undeclared counts, out of the placeholders that there are, those of tasks that a FirmwareUpgrade in that namespace
// may claim: if its operationId is misspelt, one of these is its task.
func (r Rules) Undeclared(namespace string, placeholders []v1alpha1.FirmwareUpgrade) int {
	n := 0
	for i := range placeholders {
		if p := &placeholders[i]; p.Namespace == r.PlaceholderNamespace && r.mayClaim(p.Spec.AppID, namespace) {
			n++
		}
	}
	return n
}

// OtherApplications returns the applications, other than its own, that report the operationId of a FirmwareUpgrade and
// that its namespace may claim. All tasks must have the operationId.
func (r Rules) OtherApplications(f *v1alpha1.FirmwareUpgrade, withResults []result.Task) []string {
	var others []string
	for _, task := range withResults {
		if !r.covers(f, task.AppID) && r.mayClaim(task.AppID, f.Namespace) {
			others = append(others, applicationName(task))
		}
	}
	return others
}

// applicationName names the application of a task, whose notifications may name none.
func applicationName(t result.Task) string { return cmp.Or(result.ShortName(t.AppID), "none named") }

// applicationNames names the first applications of some tasks.
func applicationNames(tasks []result.Task) string {
	var names []string
	for _, t := range tasks[:min(len(tasks), maxNames)] {
		name := applicationName(t)
		if len(tasks) > 1 {
			name = result.Shorten(name, maxNameBytes)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// HolderOf returns the FirmwareUpgrade that has the task, nil if none has. All must have the task's operationId.
func HolderOf(task result.Task, sameOperation []v1alpha1.FirmwareUpgrade, rules Rules) *v1alpha1.FirmwareUpgrade {
	for _, h := range Holders(sameOperation, rules) {
		if rules.covers(h, task.AppID) {
			return h
		}
	}
	return nil
}

// Task returns the one task that a FirmwareUpgrade which holds its claim counts, out of the tasks with results
// under its operationId. Where there are no results yet, ok is false and the claim holds. One that has finished keeps
// the task that it counted, whoever else reports its operationId then. One whose task is still to be created has none,
// whatever has results without an operationId.
func Task(f *v1alpha1.FirmwareUpgrade, withResults []result.Task, rules Rules) (task result.Task, ok bool, c Claim) {
	if f.OperationID() == "" {
		return result.Task{AppID: f.Spec.AppID}, false, Claim{}
	}
	var found []result.Task
	for _, t := range withResults {
		if rules.covers(f, t.AppID) {
			found = append(found, t)
		}
	}
	if task, has := finishedTask(f); has && rules.covers(f, task.AppID) {
		others := slices.DeleteFunc(slices.Clone(found), func(t result.Task) bool { return t == task })
		return task, len(others) < len(found), Claim{Message: otherApplicationsMessage(others)}
	}
	switch len(found) {
	case 0:
		return result.Task{AppID: f.Spec.AppID, OperationID: f.OperationID()}, false, Claim{}
	case 1:
		return found[0], true, Claim{}
	default:
		return result.Task{}, false, Claim{Reason: v1alpha1.ReasonAmbiguousOperation, Message: ambiguousMessage(found)}
	}
}

// finishedTask returns the task that a FirmwareUpgrade had counted when it finished, unless its spec was changed after
// that. One that could not be counted when its deadline passed, as several applications reported, has none.
func finishedTask(f *v1alpha1.FirmwareUpgrade) (task result.Task, ok bool) {
	finished := meta.FindStatusCondition(f.Status.Conditions, v1alpha1.ConditionFinished)
	ready := meta.FindStatusCondition(f.Status.Conditions, v1alpha1.ConditionReady)
	if finished == nil || finished.Status != metav1.ConditionTrue || finished.ObservedGeneration != f.Generation ||
		ready == nil || ready.Reason == v1alpha1.ReasonAmbiguousOperation || f.Status.StartTime == nil {
		return result.Task{}, false
	}
	return result.Task{AppID: f.Status.AppID, OperationID: f.OperationID()}, true
}

func notPermittedMessage(f *v1alpha1.FirmwareUpgrade, rules Rules) string {
	if f.Spec.Placeholder {
		return "only the operator makes placeholders, in namespace " + rules.PlaceholderNamespace +
			": set spec.placeholder to false, or delete this FirmwareUpgrade"
	}
	if f.Spec.AppID == "" {
		return "namespace " + f.Namespace + " has no application: ask the operator's administrator to map one to it"
	}
	return "application " + result.ShortName(f.Spec.AppID) + " is not mapped to namespace " + f.Namespace +
		": ask the operator's administrator, or create this FirmwareUpgrade in the application's namespace"
}

func ambiguousMessage(tasks []result.Task) string {
	return "several applications report this operationId (" + applicationNames(tasks) +
		"): set spec.appId to the one that is meant, and create another FirmwareUpgrade for each of the others"
}

// otherApplicationsMessage is empty where no other application reports the operationId.
func otherApplicationsMessage(others []result.Task) string {
	if len(others) == 0 {
		return ""
	}
	return "other applications report this operationId, too, and are not counted (" + applicationNames(others) +
		"): set spec.appId"
}
