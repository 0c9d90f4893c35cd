// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/result"
)

// observed is what the API server has.
type observed struct {
	upgrades []v1alpha1.FirmwareUpgrade
	events   []eventsv1.Event
	slices   []storage.ResultSlice
	store    storage.ResultStore
	// leaders is how many leaders there were since the control plane began.
	leaders int
	// report is the platform's; nil where there is none.
	report *northbound.Report
}

// check compares everything that can be seen with what follows from the plan and the answers, at rest. It returns what
// is wrong.
//
// Seen has the task of each FirmwareUpgrade that there ever was: those that are gone may have told nothing twice
// either. Reordered is how often the order in which failures are announced may have changed.
func check(lives []*life, a *answers, seen map[types.UID]string, have observed, reordered int) []string {
	all, err := joinSlices(have.slices)
	if err != nil {
		return []string{err.Error()}
	}
	told := byUpgrade(have.events)
	problems := checkReport(have.report)
	for _, l := range lives {
		if l.wave != nil {
			for _, problem := range checkWave(l, have.upgrades, have.report.Creations) {
				problems = append(problems, l.operation+": "+problem)
			}
			continue
		}
		task := result.Task{AppID: appID, OperationID: l.operation}
		devices := a.of(l.operation)
		fwu, wrong := l.holder(have.upgrades, devices)
		if fwu != nil {
			wrong = append(wrong, checkUpgrade(l, fwu, devices, all[task])...)
			wrong = append(wrong, checkEvents(fwu, devices, told[fwu.UID], reordered)...)
		}
		if fwu == nil || fwu.Status.ArchiveTime == nil { // what was archived may be gone
			wrong = append(wrong, checkStored(l, devices, all[task])...)
		}
		for uid, operation := range seen {
			if operation == l.operation && (fwu == nil || uid != fwu.UID) {
				wrong = append(wrong, checkTold(devices, told[uid], reordered)...)
			}
		}
		for _, problem := range wrong {
			problems = append(problems, l.operation+": "+problem)
		}
	}
	problems = append(problems, checkRejected(a, have.slices)...)
	for answer, n := range a.unexpected {
		problems = append(problems, fmt.Sprintf("answered %d times: %s", n, answer))
	}
	if have.store.Status.State != storage.StoreOpen {
		problems = append(problems, fmt.Sprintf("the ResultStore is %s", have.store.Status.State))
	}
	slices.Sort(problems)
	return problems
}

// holder returns the FirmwareUpgrade that has to have the task; there must not be another one.
func (l *life) holder(
	upgrades []v1alpha1.FirmwareUpgrade, devices map[string]known,
) (*v1alpha1.FirmwareUpgrade, []string) {
	var found []*v1alpha1.FirmwareUpgrade
	var names []string
	for i := range upgrades {
		if f := &upgrades[i]; f.Spec.OperationID == l.operation {
			found = append(found, f)
			names = append(names, f.Namespace+"/"+f.Name)
		}
	}
	reported := false
	for _, k := range devices {
		reported = reported || k.certain.any()
	}
	switch {
	case len(found) > 1:
		return nil, []string{"there are several FirmwareUpgrades: " + strings.Join(names, ", ")}
	case len(found) == 0 && (l.upgrade != nil || reported):
		return nil, []string{"there is no FirmwareUpgrade"}
	case len(found) == 0:
		return nil, nil
	case l.upgrade == nil && !found[0].Spec.Placeholder:
		return nil, []string{"nobody declared it, and there is " + names[0]}
	case l.upgrade != nil && found[0].UID != l.upgrade.UID:
		return nil, []string{fmt.Sprintf("want %s/%s (%s), got %s (%s)", l.upgrade.Namespace, l.upgrade.Name,
			l.upgrade.UID, names[0], found[0].UID)}
	}
	return found[0], nil
}

// checkUpgrade compares a status with what is stored, or where that is gone, with the answers.
func checkUpgrade(
	l *life, fwu *v1alpha1.FirmwareUpgrade, devices map[string]known, have map[string]result.Result,
) []string {
	st := fwu.Status
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if st.ObservedGeneration != fwu.Generation {
		say("the status is of generation %d, the spec of %d", st.ObservedGeneration, fwu.Generation)
	}
	c := st.Devices
	if st.ArchiveTime != nil {
		if l.kind != kindArchived {
			say("it is archived")
		}
		least, greatest := bounds(devices, 0)
		if c.Succeeded < least.Succeeded || c.Succeeded > greatest.Succeeded ||
			c.Failed < least.Failed || c.Failed > greatest.Failed {
			say("archived counts %+v are not from %+v to %+v", c, least, greatest)
		}
	} else if want := count(fwu.Spec, have); c != want {
		say("the counts are %+v, the stored results make %+v", c, want)
	}
	caused := int64(0)
	for _, cause := range st.Details.Causes {
		caused += cause.Count
	}
	if caused != c.Failed {
		say("the causes add up to %d, and %d failed", caused, c.Failed)
	}
	return append(problems, checkConditions(l, fwu, devices, have)...)
}

// checkRejected looks for every notification that can't be used and was answered 200.
func checkRejected(a *answers, all []storage.ResultSlice) []string {
	found := map[string]bool{}
	for i := range all {
		for _, r := range all[i].Rejected {
			found[r.Body] = true
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var problems []string
	for body := range a.malformed {
		if !found[body] {
			problems = append(problems, "LOST: a rejected notification was answered 200 and is not stored: "+body)
		}
	}
	return problems
}

// byUpgrade sorts Events by the FirmwareUpgrade that they are about.
func byUpgrade(events []eventsv1.Event) map[types.UID][]*eventsv1.Event {
	told := map[types.UID][]*eventsv1.Event{}
	for i := range events {
		uid := events[i].Regarding.UID
		told[uid] = append(told[uid], &events[i])
	}
	return told
}
