// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// told is what the Events about one FirmwareUpgrade told.
type told struct {
	failures int64
	reasons  map[string]int
	devices  map[string]int // by id, of those that an Event names alone
}

// events reads the Events about a FirmwareUpgrade; they are kept for an hour.
func (in *installation) events(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) told {
	t.Helper()
	list := &eventsv1.EventList{}
	must(t, in.k8s.List(t.Context(), list))
	out := told{reasons: map[string]int{}, devices: map[string]int{}}
	for i := range list.Items {
		e := &list.Items[i]
		if e.Regarding.UID != fwu.UID {
			continue
		}
		if text, ok := e.Annotations["fwupgrade.io/failures"]; ok {
			n, err := strconv.ParseInt(text, 10, 64)
			must(t, err)
			out.failures += n
		}
		if e.Reason == "DeviceFailed" {
			out.devices[e.Annotations["fwupgrade.io/devices"]]++
		}
		out.reasons[e.Reason]++
	}
	return out
}

// checkEvents waits until every failure of the task was announced, and holds that nothing was told twice: a failed
// device, the beginning, a broken policy and an end.
func (in *installation) checkEvents(t *testing.T, u *upgrade) {
	t.Helper()
	want := u.task.counts()
	harness.Eventually(t, func() string {
		u.get(t, in.k8s)
		state := u.fwu.Status.OperatorState
		if len(state.Outbox) > 0 || state.Announced.Failures < want.Failures() {
			return u.fwu.Name + ": not everything is told: " + cmp.Diff(v1alpha1.OperatorState{}, state)
		}
		return ""
	})
	got := in.events(t, u.fwu)
	if got.failures != want.Failures() {
		t.Errorf("%s: the Events announce %d failures, want %d: %v", u.fwu.Name, got.failures, want.Failures(), got.reasons)
	}
	for device, n := range got.devices {
		if n > 1 {
			t.Errorf("%s: device %s was told %d times", u.fwu.Name, device, n)
		}
	}
	once := map[string]int{}
	for reason, n := range got.reasons {
		if reason != "DeviceFailed" && reason != "DevicesFailed" {
			once[reason] = n
		}
	}
	wantOnce := map[string]int{}
	for reason := range strings.FieldsSeq(u.told) {
		wantOnce[reason] = 1
	}
	if diff := cmp.Diff(wantOnce, once); diff != "" {
		t.Errorf("%s: other Events than once each (-want +got):\n%s", u.fwu.Name, diff)
	}
}
