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

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// statuses follows the FirmwareUpgrades of a namespace by one watch, because reading them again and again would be a
// load beside the one that is measured. It notes when each version was seen.
type statuses struct {
	api       client.WithWatch
	namespace string
	cancel    context.CancelFunc
	ended     chan struct{} // closed when the watch has ended
	err       error         // why it ended; read after ended was closed

	mu     sync.Mutex // guards what follows
	latest map[string]*v1alpha1.FirmwareUpgrade
	seen   []sighting
	waits  *awaited // nil while nobody waits
}

// awaited is what await waits for.
type awaited struct {
	problemOf func(*v1alpha1.FirmwareUpgrade) string
	problems  map[string]string // by name
	done      chan struct{}     // closed when there is no problem
}

// followStatuses reads the FirmwareUpgrades and follows them until it is stopped or ctx ends.
func followStatuses(ctx context.Context, api client.WithWatch, namespace string) (*statuses, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &statuses{
		api: api, namespace: namespace, cancel: cancel, ended: make(chan struct{}),
		latest: map[string]*v1alpha1.FirmwareUpgrade{},
	}
	from, err := s.list(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(s.ended)
		for s.err == nil {
			if s.err = s.watch(ctx, from); s.err == nil {
				from, s.err = s.list(ctx)
			}
		}
	}()
	return s, nil
}

// stop ends the watch.
func (s *statuses) stop() {
	s.cancel()
	<-s.ended
}

// list reads all FirmwareUpgrades and returns from where to watch them.
func (s *statuses) list(ctx context.Context) (resourceVersion string, err error) {
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := s.api.List(ctx, list, client.InNamespace(s.namespace)); err != nil {
		return "", fmt.Errorf("list FirmwareUpgrades: %w", err)
	}
	for i := range list.Items {
		s.note(&list.Items[i], time.Now())
	}
	return list.ResourceVersion, nil
}

// watch notes what changes until the watch ends, as watches do, or with an error when ctx ends.
func (s *statuses) watch(ctx context.Context, from string) error {
	watcher, err := s.api.Watch(ctx, &v1alpha1.FirmwareUpgradeList{}, client.InNamespace(s.namespace),
		&client.ListOptions{Raw: watchFrom(from)})
	if err != nil {
		return fmt.Errorf("watch FirmwareUpgrades: %w", err)
	}
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case event, open := <-watcher.ResultChan():
			fwu, ok := event.Object.(*v1alpha1.FirmwareUpgrade)
			if !open || !ok || event.Type == watch.Error {
				return context.Cause(ctx) // nil: they have to be read anew
			}
			if event.Type != watch.Deleted {
				s.note(fwu, time.Now())
			}
		}
	}
}

// note takes a version that was seen at a time.
func (s *statuses) note(fwu *v1alpha1.FirmwareUpgrade, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest[fwu.Name] = fwu
	d := fwu.Status.Devices
	s.seen = append(s.seen, sighting{operationID: fwu.Spec.OperationID, at: at, devices: d.Succeeded + d.Failed + d.InProgress})
	if s.waits != nil {
		s.judge(fwu)
	}
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
