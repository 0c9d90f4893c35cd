// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
)

// told makes Events of "Reason", "Reason/Type" or "DeviceFailed=device".
func told(all ...string) []*eventsv1.Event {
	var events []*eventsv1.Event
	for i, text := range all {
		reason, device, _ := strings.Cut(text, "=")
		reason, kind, _ := strings.Cut(reason, "/")
		e := &eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("uid.%d-abc", i+1)}, Reason: reason, Type: kind,
		}
		if device != "" {
			e.Annotations = map[string]string{"fwupgrade.io/failures": "1", "fwupgrade.io/devices": device}
		}
		events = append(events, e)
	}
	return events
}

func TestCheckEvents(t *testing.T) {
	fwu := &v1alpha1.FirmwareUpgrade{}
	fwu.Status.StartTime = &metav1.Time{}
	fwu.Status.Devices = v1alpha1.DeviceCounts{Failed: 1, Recovered: 1}
	fwu.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue}}
	devices := map[string]known{}
	for _, id := range []string{"a", "b", "c"} {
		devices[id] = known{certain: set(reportFailure)}
	}
	digest := told("DevicesFailed=a,c")[0] // which counts one, so that the sum is right
	cases := map[string]struct {
		told []*eventsv1.Event
		want string
	}{
		"one device in a digest and alone": {
			append(told("Started", "DeviceFailed=a", "Finished/Warning"), digest), "ANNOUNCED 2 times: the failure of a",
		},
		"all of it": {told("Started", "DeviceFailed=a", "DeviceFailed=b", "Finished/Warning"), ""},
		"turned around twice": {
			told("Started", "DeviceFailed=a", "DeviceFailed=b", "Finished/Warning", "OutcomeChanged/Normal",
				"OutcomeChanged/Warning"), "",
		},
		"no start":        {told("DeviceFailed=a", "DeviceFailed=b", "Finished/Warning"), "UNANNOUNCED: Started"},
		"no end":          {told("Started", "DeviceFailed=a", "DeviceFailed=b"), "UNANNOUNCED: end"},
		"one failure":     {told("Started", "DeviceFailed=a", "Finished/Warning"), "UNANNOUNCED: 1 of 2 failures"},
		"one failure too": {told("Started", "DeviceFailed=a", "DeviceFailed=b", "DeviceFailed=c", "Finished/Warning"), "ANNOUNCED 3"},
		"one device twice": {
			told("Started", "DeviceFailed=a", "DeviceFailed=a", "Finished/Warning"), "ANNOUNCED 2 times: the failure of a",
		},
		"one that never failed": {
			told("Started", "DeviceFailed=a", "DeviceFailed=x", "Finished/Warning"), "ANNOUNCED as failed: x",
		},
		"two ends": {
			told("Started", "DeviceFailed=a", "DeviceFailed=b", "Finished/Warning", "Finished/Warning"), "ANNOUNCED 2 times",
		},
		"the wrong end": {
			told("Started", "DeviceFailed=a", "DeviceFailed=b", "Finished/Normal"), "the last outcome told is a Normal",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(checkEvents(fwu, devices, c.told, 0), "\n")
			if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

// A device may be named again each time the order of the log changed.
func TestNamedAgainAfterTheOrderChanged(t *testing.T) {
	devices := map[string]known{"a": {certain: set(reportFailure)}}
	twice, thrice := told("DeviceFailed=a", "DeviceFailed=a"), told("DeviceFailed=a", "DeviceFailed=a", "DeviceFailed=a")
	if got := checkTold(devices, twice, 1); len(got) > 0 {
		t.Errorf("twice, after a change: %q", got)
	}
	if got := checkTold(devices, thrice, 1); len(got) != 1 {
		t.Errorf("three times, after a change: %q", got)
	}
}
