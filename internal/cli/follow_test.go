// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/wrappers"
)

// passingClock passes as long as somebody waits for.
type passingClock struct{ *clocktesting.FakeClock }

func (c passingClock) After(d time.Duration) <-chan time.Time {
	c.Step(d)
	return hurriedClock(c).After(d)
}

// unwatchable is a client whose watches are refused.
type unwatchable struct {
	client.WithWatch
	err error
}

func (c unwatchable) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	return nil, c.err
}

// An API server that starts refuses for a while what it granted before. Who has no right is told so at once, and who
// lost it after some minutes.
func TestRefusalsPass(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID))
	of := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "firmwareupgrades"}
	missing := apierrors.NewNotFound(of, "")
	missing.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeUnexpectedServerResponse}}
	for name, refusal := range map[string]error{
		"forbidden":    apierrors.NewForbidden(of, "", errors.New("RBAC: role not found")),
		"unauthorized": apierrors.NewUnauthorized("no"),
		"missing kind": missing,
	} {
		run := func(c client.WithWatch, enough func() bool) (time.Duration, error) {
			passing := passingClock{clocktesting.NewFakeClock(now)}
			follower := &follower{client: c, options: named(f.namespace, "meters"), clock: passing, lost: func(error) {}}
			err := follower.run(t.Context(), func([]*v1alpha1.FirmwareUpgrade) (bool, error) { return enough(), nil })
			return passing.Since(now), err
		}
		// refusedTill is a client that is refused from its second list until a list.
		refusedTill := func(last int) client.WithWatch {
			lists := 0
			return &flakyClient{WithWatch: k8s, list: func() error {
				if lists++; lists >= 2 && lists <= last {
					return refusal
				}
				return nil
			}}
		}
		looks := 0
		if _, err := run(refusedTill(100), func() bool { looks++; return looks > 1 }); err != nil {
			t.Errorf("%s: it gave up: %v", name, err)
		}
		never := func() bool { return false }
		if took, err := run(refusedTill(1000), never); err == nil || took < refusedPatience || took > 2*refusedPatience {
			t.Errorf("%s: it gave up after %s: %v", name, took, err)
		}
		for what, c := range map[string]client.WithWatch{
			"list":  &flakyClient{WithWatch: k8s, list: func() error { return refusal }},
			"watch": unwatchable{k8s, refusal},
		} {
			if took, err := run(c, never); err == nil || took > 0 {
				t.Errorf("%s at the first %s: it gave up after %s: %v", name, what, took, err)
			}
		}
	}
}

// Only refusals one after the other are counted.
func TestRefusalsAreForgotten(t *testing.T) {
	passing := clocktesting.NewFakeClock(now)
	refused := refusals{clock: passing}
	refused.granted()
	no := apierrors.NewUnauthorized("no")
	for range 3 {
		for _, err := range []error{no, errors.New("connection refused")} {
			if refused.areFinal(err) {
				t.Errorf("after %s %v is final", passing.Since(now), err)
			}
			passing.Step(refusedPatience - time.Second)
		}
	}
	if !refused.areFinal(apierrors.NewBadRequest("no")) {
		t.Error("a bad request may be asked again")
	}
}
