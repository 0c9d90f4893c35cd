// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// +kubebuilder:rbac:groups=storage.fwupgrade.io,resources=resultslices,verbs=get;list;watch;create;delete,namespace=system

// reader is the ReflectorStore that takes every stored slice, at the start and as they come, into the index.
type reader struct{ *Store }

// read lists and watches the slices until the context ends.
func (s *Store) read(ctx context.Context) {
	logger := ctrl.LoggerFrom(ctx).WithName("reader")
	reflector := cache.NewReflectorWithOptions(
		cache.ToListWatcherWithWatchListSemantics(s.listWatch(), s.client), &storage.ResultSlice{}, reader{s},
		cache.ReflectorOptions{Name: "slices", Logger: &logger})
	reflector.RunWithContext(ctx)
}

func (s *Store) listWatch() *cache.ListWatch {
	options := func(o metav1.ListOptions) *client.ListOptions {
		return &client.ListOptions{Namespace: s.options.Namespace, Raw: &o}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if o.ResourceVersion == "0" {
				o.ResourceVersion = "" // what a cache has may be older than what was counted
			}
			list := &storage.ResultSliceList{}
			return list, s.client.List(ctx, list, options(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return s.client.Watch(ctx, &storage.ResultSliceList{}, options(o))
		},
	}
}

// Transformer makes the Reflector hand every slice of a stream over as it arrives, and keep only what tells it from
// others until the stream is complete. Joining twice changes nothing, so that a stream which breaks off may begin anew.
func (r reader) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		slice, ok := obj.(*storage.ResultSlice)
		if !ok { // transformed before
			return obj, nil
		}
		r.take(slice)
		return &metav1.ObjectMeta{Namespace: slice.Namespace, Name: slice.Name, UID: slice.UID}, nil
	}
}

// Add implements cache.ReflectorStore.
func (r reader) Add(obj any) error {
	slice, ok := obj.(*storage.ResultSlice)
	if !ok {
		return fmt.Errorf("read a slice: unexpected %T", obj)
	}
	r.index.told(slice.ResourceVersion)
	r.take(slice)
	return nil
}

// Update implements cache.ReflectorStore. Slices are immutable, but their labels are not.
func (r reader) Update(obj any) error { return r.Add(obj) }

// take hands a slice over to the index, which most slices that this process created are in already.
func (r reader) take(slice *storage.ResultSlice) {
	if r.index.knows(slice.Name, slice.UID, slice.ResourceVersion) {
		return
	}
	stored, results := newStoredSlice(slice)
	if stored.unreadable != nil {
		ctrl.Log.WithName("store").Error(stored.unreadable, "Could not read all of a slice, its other results count",
			"slice", slice.Name)
	}
	r.received.Add(int64(len(results)))
	r.publish(r.index.add(stored, results))
}

// Delete implements cache.ReflectorStore. What compaction and purges delete is no news; when somebody else deleted a
// slice, its tasks are counted anew.
func (r reader) Delete(obj any) error {
	slice, ok := obj.(metav1.Object)
	if !ok {
		return fmt.Errorf("read a deleted slice: unexpected %T", obj)
	}
	r.index.told(slice.GetResourceVersion())
	if r.index.removed(slice.GetName(), slice.GetUID()) {
		r.wakeRecount()
	}
	return nil
}

// Replace implements cache.ReflectorStore: the complete list, already handed over where it was streamed.
func (r reader) Replace(list []any, version string) error {
	listed := make(map[types.UID]struct{}, len(list))
	for _, obj := range list {
		transformed, err := r.Transformer()(obj)
		if err != nil {
			return err
		}
		slice, ok := transformed.(metav1.Object)
		if !ok {
			return fmt.Errorf("read a slice: unexpected %T", obj)
		}
		listed[slice.GetUID()] = struct{}{}
	}
	if r.index.replace(listed, version) {
		r.wakeRecount()
	}
	r.syncOnce.Do(func() {
		r.index.tally.Seal()
		close(r.synced)
	})
	return nil
}

// Resync implements cache.ReflectorStore; there is nothing to resync.
func (r reader) Resync() error { return nil }
