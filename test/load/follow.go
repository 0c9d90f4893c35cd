// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// follower follows the objects of one kind in a namespace by one watch, because reading them again and again would be a
// load beside the one that is measured.
type follower struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when the watch has ended
	err    error         // why it ended; read after ended was closed
}

// follow reads the objects and follows them until it is stopped or ctx ends. It calls note with every version that it
// sees, in order, from one goroutine at a time.
func follow(ctx context.Context, api client.WithWatch, namespace string, list client.ObjectList,
	note func(client.Object, time.Time)) (*follower, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel, ended: make(chan struct{})}
	from, err := listOnce(ctx, api, namespace, list, note)
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(f.ended)
		for f.err == nil {
			if f.err = watchOnce(ctx, api, namespace, list, from, note); f.err == nil {
				from, f.err = listOnce(ctx, api, namespace, list, note)
			}
		}
	}()
	return f, nil
}

// stop ends the watch.
func (f *follower) stop() {
	f.cancel()
	<-f.ended
}

// listOnce reads all objects and returns from where to watch them.
func listOnce(ctx context.Context, api client.Client, namespace string, list client.ObjectList,
	note func(client.Object, time.Time)) (resourceVersion string, err error) {
	if err := api.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return "", fmt.Errorf("list %T: %w", list, err)
	}
	now := time.Now()
	err = meta.EachListItem(list, func(object runtime.Object) error {
		note(object.DeepCopyObject().(client.Object), now) // the next list is read into the same memory
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read %T: %w", list, err)
	}
	return list.GetResourceVersion(), nil
}

// watchOnce notes what changes until the watch ends, as watches do, or with an error when ctx ends.
func watchOnce(ctx context.Context, api client.WithWatch, namespace string, list client.ObjectList, from string,
	note func(client.Object, time.Time)) error {
	watcher, err := api.Watch(ctx, list, client.InNamespace(namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from}})
	if err != nil {
		return fmt.Errorf("watch %T: %w", list, err)
	}
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case event, open := <-watcher.ResultChan():
			object, ok := event.Object.(client.Object)
			if !open || !ok || event.Type == watch.Error {
				return context.Cause(ctx) // nil: they have to be read anew
			}
			if event.Type != watch.Deleted {
				note(object, time.Now())
			}
		}
	}
}
