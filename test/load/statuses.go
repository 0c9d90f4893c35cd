// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// statuses follows the FirmwareUpgrades of a namespace. It notes when each version was seen.
type statuses struct {
	*follower

	mu     sync.Mutex // guards what follows
	latest map[string]*v1alpha1.FirmwareUpgrade
	seen   []sighting
	waits  *awaited // nil while nobody waits
}

// sighting is one version of a task's status, as the watch brought it.
type sighting struct {
	operationID string
	// at is when it was seen, and devices is how many devices it counts as having reported.
	at      time.Time
	devices int64
	// tells is which news are in it.
	tells news
}

// awaited is what await waits for.
type awaited struct {
	problemOf func(*v1alpha1.FirmwareUpgrade) string
	problems  map[string]string // by name
	done      chan struct{}     // closed when there is no problem
}

// followStatuses reads the FirmwareUpgrades and follows them until it is stopped or ctx ends.
func followStatuses(ctx context.Context, api client.WithWatch, namespace string) (_ *statuses, err error) {
	s := &statuses{latest: map[string]*v1alpha1.FirmwareUpgrade{}}
	s.follower, err = follow(ctx, api, namespace, &v1alpha1.FirmwareUpgradeList{},
		func(object client.Object, at time.Time) {
			if fwu, ok := object.(*v1alpha1.FirmwareUpgrade); ok {
				s.note(fwu, at)
			}
		})
	return s, err
}

// note takes a version that was seen at a time.
func (s *statuses) note(fwu *v1alpha1.FirmwareUpgrade, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest[fwu.Name] = fwu
	d := fwu.Status.Devices
	s.seen = append(s.seen, sighting{
		operationID: fwu.Spec.OperationID, at: at, devices: d.Succeeded + d.Failed + d.InProgress, tells: newsIn(fwu),
	})
	if s.waits != nil {
		s.judge(fwu)
	}
}

// newsIn returns which news are in a status.
func newsIn(fwu *v1alpha1.FirmwareUpgrade) news {
	var n news
	if d := fwu.Status.Devices; d.Failed+d.Recovered > 0 {
		n |= newsFailure
	}
	if meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionDegraded) {
		n |= newsDegraded
	}
	if meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionFinished) {
		n |= newsFinished
	}
	return n
}

// judge asks whether what is waited for has come. The caller has locked mu.
func (s *statuses) judge(fwus ...*v1alpha1.FirmwareUpgrade) {
	w := s.waits
	for _, fwu := range fwus {
		if problem := w.problemOf(fwu); problem != "" {
			w.problems[fwu.Name] = problem
		} else {
			delete(w.problems, fwu.Name)
		}
	}
	if len(w.problems) == 0 {
		close(w.done)
		s.waits = nil
	}
}

// sightings returns what was seen so far, in order.
func (s *statuses) sightings() []sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// await returns when the function finds nothing wrong with the newest version of any FirmwareUpgrade. When ctx or the
// watch ends before, the error says what is wrong with one of them. One may wait at a time.
func (s *statuses) await(ctx context.Context, problemOf func(*v1alpha1.FirmwareUpgrade) string) error {
	w := &awaited{problemOf: problemOf, problems: map[string]string{}, done: make(chan struct{})}
	s.mu.Lock()
	s.waits = w
	s.judge(slices.Collect(maps.Values(s.latest))...)
	s.mu.Unlock()

	var err error
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.ended:
		err = s.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = nil
	for name, problem := range w.problems {
		return fmt.Errorf("wait for FirmwareUpgrades: %w; %d are not as they have to be; one of them, %s: %s",
			err, len(w.problems), name, problem)
	}
	return err
}
