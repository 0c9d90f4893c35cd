// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/api/v1alpha1"
)

// failed is what is wrong with a FirmwareUpgrade in these tests: that a device failed.
func failed(fwu *v1alpha1.FirmwareUpgrade) string {
	if fwu.Status.Devices.Failed > 0 {
		return "a device failed"
	}
	return ""
}

func fwuWith(name string, d v1alpha1.DeviceCounts) *v1alpha1.FirmwareUpgrade {
	fwu := &v1alpha1.FirmwareUpgrade{}
	fwu.Name, fwu.Spec.OperationID, fwu.Status.Devices = name, "op-"+name, d
	return fwu
}

func newStatuses() *statuses {
	return &statuses{follower: &follower{ended: make(chan struct{})}, latest: map[string]*v1alpha1.FirmwareUpgrade{}}
}

func TestAwait(t *testing.T) {
	s := newStatuses()
	s.note(fwuWith("a", v1alpha1.DeviceCounts{Succeeded: 3, Failed: 2, InProgress: 1, Pending: 9}), at(1))
	s.note(fwuWith("b", v1alpha1.DeviceCounts{Failed: 1}), at(2))
	ended := make(chan error, 1)
	go func() { ended <- s.await(t.Context(), failed) }()
	s.note(fwuWith("a", v1alpha1.DeviceCounts{Succeeded: 6}), at(3))
	s.note(fwuWith("b", v1alpha1.DeviceCounts{}), at(4))
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := s.await(t.Context(), failed); err != nil { // again: nothing is wrong any more
		t.Fatal(err)
	}
	want := []sighting{
		{operationID: "op-a", at: at(1), devices: 6, tells: newsFailure},
		{operationID: "op-b", at: at(2), devices: 1, tells: newsFailure},
		{operationID: "op-a", at: at(3), devices: 6},
		{operationID: "op-b", at: at(4), devices: 0},
	}
	if diff := cmp.Diff(want, s.sightings(), cmp.AllowUnexported(sighting{})); diff != "" {
		t.Errorf("sightings (-want +got):\n%s", diff)
	}
}

func TestAwaitSaysWhatIsWrong(t *testing.T) {
	why := errors.New("the reason")
	cases := map[string]func(*statuses) context.Context{
		"when its context ends": func(*statuses) context.Context {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(why)
			return ctx
		},
		"when the watch ends": func(s *statuses) context.Context {
			s.err = why
			close(s.ended)
			return t.Context()
		},
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStatuses()
			s.note(fwuWith("a", v1alpha1.DeviceCounts{}), at(1))
			s.note(fwuWith("b", v1alpha1.DeviceCounts{Failed: 1}), at(2))
			err := s.await(end(s), failed)
			if !errors.Is(err, why) || !strings.Contains(err.Error(), "b: a device failed") {
				t.Errorf("error %v, want one that says what is wrong with b", err)
			}
		})
	}
}
