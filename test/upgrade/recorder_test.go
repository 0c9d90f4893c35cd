// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// recorder watches every FirmwareUpgrade from the beginning to the end, and finds changes that nothing explains: counts
// that shrink, and verdicts that change while what they judge does not.
type recorder struct {
	work sync.WaitGroup

	mu       sync.Mutex
	last     map[types.UID]*v1alpha1.FirmwareUpgrade
	problems []string
}

func record(t *testing.T, k8s client.WithWatch) *recorder {
	t.Helper()
	r := &recorder{last: map[types.UID]*v1alpha1.FirmwareUpgrade{}}
	ctx, cancel := context.WithCancel(context.Background())
	r.work.Go(func() {
		for ctx.Err() == nil { // a watch ends when the CRD is applied
			_ = r.follow(ctx, k8s)
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Cleanup(func() {
		cancel()
		r.work.Wait()
	})
	return r
}

// follow lists, and then watches until the watch ends.
func (r *recorder) follow(ctx context.Context, k8s client.WithWatch) error {
	list := &v1alpha1.FirmwareUpgradeList{}
	if err := k8s.List(ctx, list); err != nil {
		return err
	}
	for i := range list.Items {
		r.observe(&list.Items[i])
	}
	from := &metav1.ListOptions{ResourceVersion: list.ResourceVersion}
	watcher, err := k8s.Watch(ctx, list, &client.ListOptions{Raw: from})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	for change := range watcher.ResultChan() {
		if fwu, ok := change.Object.(*v1alpha1.FirmwareUpgrade); ok && change.Type != watch.Deleted {
			r.observe(fwu)
		}
	}
	return nil
}

func (r *recorder) observe(now *v1alpha1.FirmwareUpgrade) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.last[now.UID]; before != nil && now.DeletionTimestamp.IsZero() {
		if problem := unexplained(before, now); problem != "" {
			at := time.Now().Format(time.TimeOnly)
			r.problems = append(r.problems, fmt.Sprintf("%s %s/%s: %s", at, now.Namespace, now.Name, problem))
		}
	}
	r.last[now.UID] = now
}

// unexplained compares two statuses of a FirmwareUpgrade, one after the other.
func unexplained(before, now *v1alpha1.FirmwareUpgrade) string {
	b, n := before.Status.Devices, now.Status.Devices
	if n.Succeeded < b.Succeeded || n.Succeeded+n.Failed < b.Succeeded+b.Failed ||
		n.Succeeded+n.Failed+n.InProgress < b.Succeeded+b.Failed+b.InProgress {
		return fmt.Sprintf("devices went from %+v to %+v", b, n)
	}
	if before.Status.ObservedGeneration != now.Generation || b != n {
		return ""
	}
	ready := apimeta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionReady)
	if now.Spec.Placeholder && ready != nil && ready.Reason == v1alpha1.ReasonAwaitingTask {
		return "" // somebody declared its task
	}
	if bv, nv := verdict(before), verdict(now); bv != nv {
		return fmt.Sprintf("with the same devices %s became %s", bv, nv)
	}
	return ""
}

// verdict is what a gate looks at.
func verdict(fwu *v1alpha1.FirmwareUpgrade) string {
	out := string(fwu.Status.Phase)
	for _, name := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionStalled, v1alpha1.ConditionFinished, v1alpha1.ConditionDegraded,
	} {
		if c := apimeta.FindStatusCondition(fwu.Status.Conditions, name); c != nil {
			out += fmt.Sprintf(" %s=%s(%s)", name, c.Status, c.Reason)
		}
	}
	return out
}

// check holds that nothing was found so far.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, problem := range r.problems {
		t.Error(problem)
	}
	r.problems = nil
}
