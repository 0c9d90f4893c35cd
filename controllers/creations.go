// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
)

// creations are how far the creation of each task is that a FirmwareUpgrade asks for. The task's reconciler finds it
// out, and the status's writes it down, as it is the only writer. Safe for concurrent use.
type creations struct {
	// changed takes FirmwareUpgrades whose creation went on, again those that are to be looked at by the task's
	// reconciler.
	changed, again chan event.GenericEvent

	mu    sync.Mutex
	known map[types.NamespacedName]known
	// searches are what of applications' lists of tasks was seen to show what was created.
	searches map[searched]v1alpha1.SearchStatus
}

// searched is a way in which an application's tasks are searched for: by devices, or by what the groups are of.
type searched struct {
	appID  string
	groups bool
}

// known is how far the creation is that one generation of a FirmwareUpgrade asks for.
type known struct {
	uid        types.UID
	generation int64
	verdict    creation.Verdict
}

func newCreations() *creations {
	return &creations{
		changed: make(chan event.GenericEvent), again: make(chan event.GenericEvent),
		known: map[types.NamespacedName]known{}, searches: map[searched]v1alpha1.SearchStatus{},
	}
}

// set notes how far the creation of a FirmwareUpgrade's task is, and has that written down.
func (c *creations) set(ctx context.Context, fwu *v1alpha1.FirmwareUpgrade, v creation.Verdict) error {
	v.After = 0
	next := known{uid: fwu.UID, generation: fwu.Generation, verdict: v}
	c.mu.Lock()
	old := c.known[client.ObjectKeyFromObject(fwu)]
	c.known[client.ObjectKeyFromObject(fwu)] = next
	c.mu.Unlock()
	if old == next {
		return nil
	}
	return send(ctx, c.changed, fwu)
}

// lookAgain has the task's reconciler look at a FirmwareUpgrade. It alone does, and at each by one worker at a time, so
// that nothing older is written over what is newer.
func (c *creations) lookAgain(ctx context.Context, object types.NamespacedName) error {
	return send(ctx, c.again, &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: object.Namespace, Name: object.Name},
	})
}

func send(ctx context.Context, to chan<- event.GenericEvent, object client.Object) error {
	select {
	case to <- event.GenericEvent{Object: object}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// of returns how far the creation is that a FirmwareUpgrade asks for, nil where what its status says is all that is
// known. What was found out of another request, or what depended on more of the spec than the request, does not hold
// for a spec that changed since: that is still to be looked at.
func (c *creations) of(fwu *v1alpha1.FirmwareUpgrade) *status.Creation {
	if fwu.Spec.Task == nil {
		return nil
	}
	hash := creation.Hash(fwu.Spec.AppID, fwu.Spec.Task)
	c.mu.Lock()
	of, ok := c.known[client.ObjectKeyFromObject(fwu)]
	c.mu.Unlock()
	switch v := of.verdict; {
	case ok && of.uid == fwu.UID && v.RequestHash == hash && (of.generation == fwu.Generation || !dependsOnMore(v.State)):
		return asStatus(v)
	case fwu.Status.Task != nil && fwu.Status.Task.RequestHash == hash &&
		(fwu.Status.ObservedGeneration == fwu.Generation || !dependsOnMore(fwu.Status.Task.State)):
		return nil
	}
	return asStatus(creation.Verdict{
		State: v1alpha1.TaskWaiting, Reason: v1alpha1.ReasonWaiting, RequestHash: hash,
		Message: "the operator is about to look how far the task is",
	})
}

// dependsOnMore says whether a state follows from more of a spec than the request: from createBefore, or from
// targetVersion.
func dependsOnMore(state v1alpha1.TaskState) bool {
	return state == v1alpha1.TaskExpired || state == v1alpha1.TaskWaiting
}

func asStatus(v creation.Verdict) *status.Creation {
	of := &status.Creation{
		TaskStatus: v1alpha1.TaskStatus{
			State: v.State, RequestHash: v.RequestHash, Attempt: v.Attempt,
			Message: result.Shorten(v.Message, maxConditionBytes),
		},
		Reason: v.Reason, OperationID: v.OperationID,
	}
	if !v.AttemptTime.IsZero() {
		of.AttemptTime = &metav1.Time{Time: v.AttemptTime.UTC().Truncate(time.Second)}
	}
	return of
}

func (c *creations) forget(object types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, object)
}

// noteSearch notes that an application's list of tasks was seen to show what was created.
func (c *creations) noteSearch(appID string, groups bool, s v1alpha1.SearchStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.searches[searched{appID, groups}] = s
}

// search returns when that was seen at the endpoint that the application has now; nil where it was not. That the list
// shows tasks of devices says nothing of those of groups.
func (c *creations) search(app *v1alpha1.IoTApplication, groups bool) *v1alpha1.SearchStatus {
	stored := app.Status.Search
	if groups {
		stored = app.Status.GroupSearch
	}
	c.mu.Lock()
	noted := c.searches[searched{app.Spec.AppID, groups}]
	c.mu.Unlock()
	for _, s := range []*v1alpha1.SearchStatus{stored, &noted} {
		if s != nil && s.Endpoint == endpointOf(app) && !s.VerifiedTime.IsZero() {
			return s
		}
	}
	return nil
}

func endpointOf(app *v1alpha1.IoTApplication) string { return app.Spec.Northbound.Endpoint }
