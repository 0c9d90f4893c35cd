// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"fwupgrade.io/operator/api/v1alpha1"
)

// checkEvents compares the Events about a FirmwareUpgrade with its status and the answers, at rest: all that has to be
// told was told, and once.
func checkEvents(
	fwu *v1alpha1.FirmwareUpgrade, devices map[string]known, told []*eventsv1.Event, reordered int,
) []string {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	st := fwu.Status
	is := func(kind string) bool { return meta.IsStatusConditionTrue(st.Conditions, kind) }
	want := map[string]int{
		"Started":        oneIf(st.StartTime != nil || haveReported(fwu, devices)),
		"Degraded":       oneIf(is(v1alpha1.ConditionDegraded)),
		"VersionSuspect": oneIf(st.Devices.Suspect > 0), "PlaceholderCreated": oneIf(fwu.Spec.Placeholder),
		"end": oneIf(is(v1alpha1.ConditionFinished)),
	}
	got := map[string]int{}
	failures := int64(0)
	for _, e := range told {
		switch e.Reason {
		case "Finished", "DeadlineExceeded":
			got["end"]++
		default:
			got[e.Reason]++
		}
		n, _ := strconv.ParseInt(e.Annotations["fwupgrade.io/failures"], 10, 64)
		failures += n
	}
	for reason, n := range want {
		if got[reason] < n {
			say("UNANNOUNCED: %s", reason)
		}
		if got[reason] > n {
			say("ANNOUNCED %d times, want %d: %s", got[reason], n, reason)
		}
	}
	if total := st.Devices.Failed + st.Devices.Recovered; failures < total {
		say("UNANNOUNCED: %d of %d failures", total-failures, total)
	} else if failures > total {
		say("ANNOUNCED %d failures, of %d", failures, total)
	}
	if len(st.OperatorState.Outbox) > 0 {
		say("UNANNOUNCED: %d Events wait in the outbox", len(st.OperatorState.Outbox))
	}
	problems = append(problems, checkTold(devices, told, reordered)...)
	return append(problems, checkOutcomes(told, is(v1alpha1.ConditionFinished), is(v1alpha1.ConditionReady))...)
}

// haveReported says whether a device that the spec is about was answered 200.
func haveReported(fwu *v1alpha1.FirmwareUpgrade, devices map[string]known) bool {
	for id, k := range devices {
		purged := k.phase == 0 && strings.HasSuffix(fwu.Spec.OperationID, string(kindPurged))
		listed := len(fwu.Spec.Devices) == 0 || slices.Contains(fwu.Spec.Devices, id)
		if k.certain.any() && listed && !purged {
			return true
		}
	}
	return false
}

// checkTold looks at the Events about a FirmwareUpgrade, also one that is gone: nothing was told twice, and no device
// is named as failed that never reported it.
//
// A device may be named again, in place of another one, whenever the log of failures was sorted, as failures don't
// arrive in the order of their times (decision 0004). A digest names only some of its devices, so that nothing follows
// from an id that is missing: whether all were announced, the sum says.
func checkTold(devices map[string]known, told []*eventsv1.Event, reordered int) []string {
	var problems []string
	once, named := map[string]int{}, map[string]int{}
	for _, e := range told {
		switch e.Reason {
		case "Started", "PlaceholderCreated", "VersionSuspect":
			once[e.Reason]++
		case "Finished", "DeadlineExceeded":
			once["the end"]++
		}
		if ids := e.Annotations["fwupgrade.io/devices"]; ids != "" {
			for id := range strings.SplitSeq(ids, ",") {
				named[id]++
				if k := devices[id]; !(k.certain | k.possible).has(reportFailure) {
					problems = append(problems, fmt.Sprintf("ANNOUNCED as failed: %s, which never reported it", id))
				}
			}
		}
	}
	for what, n := range once {
		if n > 1 {
			problems = append(problems, fmt.Sprintf("ANNOUNCED %d times: %s", n, what))
		}
	}
	for device, n := range named {
		if n > 1+reordered {
			problems = append(problems, fmt.Sprintf("ANNOUNCED %d times: the failure of %s, and the order changed %d times",
				n, device, reordered))
		}
	}
	return problems
}

// checkOutcomes follows the end and what turned it around: each tells the contrary of the one before, and the last one
// is what is true.
func checkOutcomes(told []*eventsv1.Event, finished, ready bool) []string {
	outcomes := slices.DeleteFunc(slices.Clone(told), func(e *eventsv1.Event) bool {
		return e.Reason != "Finished" && e.Reason != "DeadlineExceeded" && e.Reason != "OutcomeChanged"
	})
	slices.SortFunc(outcomes, func(a, b *eventsv1.Event) int { return cmp.Compare(number(a), number(b)) })
	var problems []string
	for i, e := range outcomes {
		if i > 0 && e.Type == outcomes[i-1].Type {
			problems = append(problems, fmt.Sprintf("ANNOUNCED twice in a row: %s %s", e.Type, e.Note))
		}
	}
	if n := len(outcomes); n > 0 && finished && (outcomes[n-1].Type == "Normal") != ready {
		problems = append(problems, fmt.Sprintf("the last outcome told is a %s, and Ready is %v", outcomes[n-1].Type, ready))
	}
	return problems
}

// number is the place of an Event among those of its FirmwareUpgrade, which its name ends in.
func number(e *eventsv1.Event) int64 {
	name := e.Name[strings.LastIndex(e.Name, ".")+1:]
	before, _, _ := strings.Cut(name, "-")
	n, _ := strconv.ParseInt(before, 10, 64)
	return n
}

func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
}
