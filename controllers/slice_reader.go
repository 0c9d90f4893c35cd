// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// +kubebuilder:rbac:groups=fwupgrade.io,resources=firmwareupgraderesultslices,verbs=get;list;watch;create;delete,namespace=system

// SliceReader reads every stored slice, at start and as they come: it feeds the results into the tally, the rest into
// the index, which keeps small ones until they are compacted and no others. It is a manager.Runnable of the leader and
// the store of a client-go Reflector.
type SliceReader struct {
	client    client.WithWatch
	namespace string
	tally     *upgrade.Tally
	index     *sliceIndex
	// received is called with how many results a slice had that told something new; may be nil. Set once, before Start.
	received func(results int)

	synced   chan struct{}
	syncOnce sync.Once

	mu          sync.Mutex
	subscribers []func([]upgrade.Task)
}

// NewSliceReader returns a reader of the slices in the operator's namespace.
func NewSliceReader(c client.WithWatch, namespace string, tally *upgrade.Tally, index *sliceIndex) *SliceReader {
	return &SliceReader{client: c, namespace: namespace, tally: tally, index: index, synced: make(chan struct{})}
}

// Start reads until the context ends.
func (r *SliceReader) Start(ctx context.Context) error {
	logger := ctrl.LoggerFrom(ctx).WithName("slice-reader")
	reflector := cache.NewReflectorWithOptions(
		cache.ToListWatcherWithWatchListSemantics(r.listWatch(), r.client), &v1alpha1.FirmwareUpgradeResultSlice{}, r,
		cache.ReflectorOptions{Name: "slices", Logger: &logger})
	reflector.RunWithContext(ctx)
	return nil
}

// Subscribe calls changed with the tasks whose summary a slice changed, and at least once with all tasks when the slices
// stored at the start have been read. Calls are one at a time.
func (r *SliceReader) Subscribe(changed func([]upgrade.Task)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subscribers = append(r.subscribers, changed)
	select {
	case <-r.synced: // its publication was missed
		changed(r.tally.All())
	default:
	}
}

// WaitForSync returns when all slices that were stored at the start have been read.
func (r *SliceReader) WaitForSync(ctx context.Context) error {
	select {
	case <-r.synced:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read the stored slices: %w", ctx.Err())
	}
}

func (r *SliceReader) listWatch() *cache.ListWatch {
	options := func(o metav1.ListOptions) *client.ListOptions {
		return &client.ListOptions{Namespace: r.namespace, Raw: &o}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if o.ResourceVersion == "0" {
				o.ResourceVersion = "" // what a cache has may be older than what was counted
			}
			list := &v1alpha1.FirmwareUpgradeResultSliceList{}
			return list, r.client.List(ctx, list, options(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return r.client.Watch(ctx, &v1alpha1.FirmwareUpgradeResultSliceList{}, options(o))
		},
	}
}

// Transformer makes the Reflector hand every slice of a stream over as it arrives, and keep only what the index needs
// until the stream is complete. Joining twice changes nothing, so that a stream which breaks off may begin anew.
func (r *SliceReader) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		slice, ok := obj.(*v1alpha1.FirmwareUpgradeResultSlice)
		if !ok { // transformed before
			return obj, nil
		}
		return r.take(slice), nil
	}
}

// Add implements cache.ReflectorStore.
func (r *SliceReader) Add(obj any) error {
	slice, ok := obj.(*v1alpha1.FirmwareUpgradeResultSlice)
	if !ok {
		return fmt.Errorf("read a slice: unexpected %T", obj)
	}
	r.take(slice)
	return nil
}

// take hands a slice over. The index goes first: a task that the tally knows and the index does not has lost its slices.
func (r *SliceReader) take(slice *v1alpha1.FirmwareUpgradeResultSlice) *storedSlice {
	stored, results := newStoredSlice(slice)
	if stored.unreadable != nil {
		ctrl.Log.WithName("slice-reader").Error(stored.unreadable, "Could not read all of a slice, its other results count", "slice", slice.Name)
	}
	select {
	case <-r.synced:
		r.index.add(stored)
		changed := r.tally.Add(results)
		if len(changed) > 0 && r.received != nil {
			r.received(len(results))
		}
		r.publish(changed)
	default: // everything is published in the end
		r.index.put(stored)
		r.tally.Add(results)
	}
	return stored
}

// Update implements cache.ReflectorStore. Slices are immutable, but their labels are not.
func (r *SliceReader) Update(obj any) error { return r.Add(obj) }

// Delete implements cache.ReflectorStore. The tally forgets nothing: compaction has stored the results elsewhere, and
// retention tells the tally itself.
func (r *SliceReader) Delete(obj any) error {
	slice, ok := obj.(metav1.Object)
	if !ok {
		return fmt.Errorf("read a deleted slice: unexpected %T", obj)
	}
	r.index.remove(slice.GetName(), slice.GetUID())
	return nil
}

// Replace implements cache.ReflectorStore: the complete list, already transformed where it was streamed.
func (r *SliceReader) Replace(list []any, _ string) error {
	stored := make([]*storedSlice, 0, len(list))
	for _, obj := range list {
		o, err := r.Transformer()(obj)
		if err != nil {
			return err
		}
		s, ok := o.(*storedSlice)
		if !ok {
			return fmt.Errorf("read a slice: unexpected %T", obj)
		}
		stored = append(stored, s)
	}
	r.index.replace(stored)
	r.syncOnce.Do(func() {
		r.tally.Seal()
		close(r.synced)
		r.index.announce(stored)
	})
	r.publish(r.tally.All())
	return nil
}

// Resync implements cache.ReflectorStore; there is nothing to resync.
func (r *SliceReader) Resync() error { return nil }

func (r *SliceReader) publish(changed []upgrade.Task) {
	if len(changed) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.subscribers {
		s(changed)
	}
}
