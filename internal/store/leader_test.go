// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// interleavingTimeout bounds each wait for a goroutine of a leader.
const interleavingTimeout = 30 * time.Second

// interleavedLeader is a leader whose requests wait until they are let pass. It does one job at a time.
type interleavedLeader struct {
	t        *testing.T
	store    *testStore
	requests chan *heldRequest
	dead     chan struct{}
	// done is closed when the job is; nil while there is none.
	done chan struct{}
}

// heldRequest is a request that waits.
type heldRequest struct {
	// pass lets it pass; true says that the leader dies before it sees the answer.
	pass     chan bool
	answered chan struct{}
}

func newInterleavedLeader(w *world) *interleavedLeader {
	l := &interleavedLeader{t: w.t, requests: make(chan *heldRequest), dead: make(chan struct{})}
	l.store = newStore(w.t, w.namespace, interceptor.NewClient(k8s, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption,
		) error {
			return l.hold(func() error { return c.Get(ctx, key, obj, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return l.hold(func() error { return c.Create(ctx, obj, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			return l.hold(func() error { return c.Delete(ctx, obj, opts...) })
		},
	}), w.keepUntil)
	l.store.ownSlicesAt = 3 // some tasks get slices of their own, some don't
	l.store.options.RetainRejected = 1000 * time.Hour
	l.store.options.Clock = w.clock
	return l
}

// hold makes a request when it is let pass.
func (l *interleavedLeader) hold(request func() error) error {
	held := &heldRequest{pass: make(chan bool), answered: make(chan struct{})}
	select {
	case l.requests <- held:
	case <-l.dead:
		return errKilled
	}
	unanswered := <-held.pass
	err := request()
	close(held.answered)
	if unanswered {
		<-l.dead
		return errKilled
	}
	return err
}

// begin starts a job.
func (l *interleavedLeader) begin(job func(context.Context) error) {
	done := make(chan struct{})
	l.done = done
	go func() {
		defer close(done)
		err := job(l.t.Context())
		// Another leader may have moved what this one wants to read: then it is to be tried again.
		if err != nil && !errors.Is(err, errKilled) && !errors.Is(err, errNotTold) && !apierrors.IsNotFound(err) {
			l.t.Error(err)
		}
	}()
}

// finish does a job from beginning to end.
func (l *interleavedLeader) finish(job func(context.Context) error) {
	l.begin(job)
	for l.done != nil {
		l.proceed(false)
	}
}

// proceed lets one request pass and returns when it is answered, or when the job is done. The leader sees the answer
// unless it is to die.
func (l *interleavedLeader) proceed(unanswered bool) {
	select {
	case held := <-l.requests:
		held.pass <- unanswered
		<-held.answered
	case <-l.done:
		l.done = nil
	case <-time.After(interleavingTimeout):
		l.t.Fatal("the leader neither asks for anything nor is done")
	}
}

// kill ends the leader, as a crash would: none of its requests is made any more. Killing twice is allowed.
func (l *interleavedLeader) kill() {
	select {
	case <-l.dead:
		return
	default:
	}
	close(l.dead)
	if l.done != nil {
		<-l.done
		l.done = nil
	}
	l.store.close()
}
