// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
)

// callWithin is how long after the intent began to be recorded the platform may be called. Whoever is later stood
// still, and others may have searched for the task by then.
const callWithin = 10 * time.Second

// AnswerWithin is how long a process that is told to stop goes on with waiting for the platform's answer, and storing
// it.
const AnswerWithin = 10 * time.Second

// maxMessageBytes is how much of the platform's text a record has, which has to be stored.
const maxMessageBytes = 512

// storeRetry is how long after a failure the outcome of an attempt is stored again at first, maxStoreRetry at most.
const (
	storeRetry    = time.Second
	maxStoreRetry = time.Minute
)

// attempt records an attempt, calls the platform, and records what came of it, if that is known.
func (c *Creator) attempt(
	ctx context.Context, app *Application, v Verdict, q *Asked, mark func(context.Context, Verdict) error,
) (*attempt, Verdict, error) {
	v.Attempt++
	v.State, v.Reason, v.AttemptTime = v1alpha1.TaskCreating, v1alpha1.ReasonWaiting, c.o.Clock.Now()
	v.Message = "the platform is asked to create the task"
	if err := mark(ctx, v); err != nil {
		return nil, v, err
	}
	began := c.o.Clock.Now()
	intent := c.intentOf(q, &v, began)
	made := &attempt{appID: q.AppID, requestHash: v.RequestHash, number: v.Attempt, intent: intent.Intent}
	switch mine, err := c.recordIntent(ctx, intent); {
	case err != nil:
		return nil, v, err
	case !mine:
		return made, v, nil
	}
	// An outcome alone takes no intent's name: it may be recorded what this attempt came to before it was made.
	switch stored, err := c.o.Ledger.Get(ctx, storage.OutcomeName(v.RequestHash, v.Attempt)); {
	case err == nil:
		made.outcome = stored.Outcome
		return made, v, nil
	case !errors.Is(err, ErrNotFound):
		return made, v, nil // nothing was asked: it is searched for in vain
	}
	outliving, cancel := c.outlive(ctx, AnswerWithin)
	defer cancel()
	operationID, err := app.Platform.CreateTask(outliving, callOf(q.Task), func() error { return c.mayCall(ctx, began) })
	outcome := &storage.TaskOutcome{
		Result: storage.TaskResultCreated, OperationID: operationID, How: storage.TaskAnswered,
	}
	if err != nil {
		if platform.Creation(err) == platform.CreationUnknown {
			c.o.observe(nil)
			return made, v, nil
		}
		outcome = refusalOf(err)
	}
	concluded, err := c.concludeSurely(outliving, q.AppID, v.RequestHash, v.Attempt, outcome)
	if concluded != nil {
		concluded.intent = intent.Intent
	}
	return concluded, v, err
}

// outlive returns a context that ends some time after the one it is of: a process that is told to stop while the
// platform is asked would not know what it did.
func (c *Creator) outlive(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		_ = c.sleep(longer, after)
		cancel()
	})
	return longer, func() {
		stop()
		cancel()
	}
}

func (c *Creator) intentOf(q *Asked, v *Verdict, at time.Time) *Record {
	f := fingerprintOf(q.Task, q.FileVersion)
	intent := &storage.TaskIntent{
		Time: metav1.NewMicroTime(at), Deadline: q.Task.CreateBefore, Nonce: rand.Text(), Holder: c.o.Holder, For: q.For,
		PackageID: q.Task.PackageID, TargetsHash: f.targetsHash, ProbeDevices: f.probes, Groups: f.groups,
		Retries: q.Task.Retries, Run: max(1, q.Task.Run), FileVersion: q.FileVersion,
	}
	if w := q.Task.Window; w != nil {
		intent.Window = &storage.TaskWindow{Start: w.Start, End: w.End}
	}
	return &Record{AppID: q.AppID, RequestHash: v.RequestHash, Attempt: v.Attempt, Intent: intent}
}

// recordIntent stores the intent of an attempt. mine says that it did, and nobody else: that this process may call the
// platform. Where the answer does not come the record is read until it is known.
func (c *Creator) recordIntent(ctx context.Context, r *Record) (mine bool, err error) {
	for {
		err := c.o.Ledger.Create(ctx, r)
		if err == nil {
			return true, nil
		}
		stored, getErr := c.o.Ledger.Get(ctx, Name(r))
		switch {
		case getErr == nil:
			return stored.Intent != nil && stored.Intent.Nonce == r.Intent.Nonce, nil
		case !c.isInTime(r.Intent.Time.Time):
			return false, fmt.Errorf("record the intent: %w", err) // it may be there: then it is searched for
		}
		if err := c.sleep(ctx, storeRetry); err != nil {
			return false, err
		}
	}
}

// errTooLate is why the platform was not called.
var errTooLate = errors.New("this process stood still, or may not lead any more: it asks no more")

// mayCall says whether the platform may be called for an intent that began to be recorded at a time.
func (c *Creator) mayCall(ctx context.Context, began time.Time) error {
	if ctx.Err() != nil || !c.isInTime(began) || !c.o.Leads() {
		return errTooLate
	}
	return nil
}

// isInTime goes by the monotonic clock and by the wall clock: the former stands still with a suspended machine, the
// latter may be set.
func (c *Creator) isInTime(began time.Time) bool {
	now := c.o.Clock.Now()
	wall := now.Round(0).Sub(began.Round(0))
	return now.Sub(began) < callWithin && wall < callWithin && wall > -callWithin
}

// refusalOf is the outcome of an attempt that certainly created nothing.
func refusalOf(err error) *storage.TaskOutcome {
	outcome := &storage.TaskOutcome{
		Result: storage.TaskResultRefused, How: storage.TaskAnswered,
		Message: result.Shorten(messageOf(err), maxMessageBytes),
	}
	if failure, ok := errors.AsType[*platform.Error](err); ok && platform.Creation(err) == platform.CreationRefused {
		outcome.Code = failure.Code
	}
	return outcome
}

// messageOf is what an error of the platform says, which stays the same as long as nothing changes.
func messageOf(err error) string {
	if failure, ok := errors.AsType[*platform.Error](err); ok {
		return failure.Message
	}
	return err.Error()
}

// conclude records what came of an attempt. Another process may have recorded something else: then that is what came of
// it.
func (c *Creator) conclude(
	ctx context.Context, appID, requestHash string, number int32, outcome *storage.TaskOutcome,
) (*attempt, error) {
	outcome.Time = metav1.NewMicroTime(c.o.Clock.Now())
	r := &Record{AppID: appID, RequestHash: requestHash, Attempt: number, Outcome: outcome}
	err := c.o.Ledger.Create(ctx, r)
	if errors.Is(err, ErrExists) {
		var stored *Record
		if stored, err = c.o.Ledger.Get(ctx, Name(r)); err == nil {
			r = stored
		}
	}
	if err != nil {
		return nil, fmt.Errorf("record what came of an attempt: %w", err)
	}
	if r.Outcome == outcome {
		c.o.observe(outcome)
	}
	c.mu.Lock()
	c.concluded[requestHash] = append(c.concluded[requestHash], *r)
	c.mu.Unlock()
	return &attempt{appID: appID, requestHash: requestHash, number: number, outcome: r.Outcome}, nil
}

// concludeSurely records what the platform answered, which nobody else knows, until it is recorded or the context ends.
func (c *Creator) concludeSurely(
	ctx context.Context, appID, requestHash string, number int32, outcome *storage.TaskOutcome,
) (*attempt, error) {
	for wait := storeRetry; ; wait = min(2*wait, maxStoreRetry) {
		made, err := c.conclude(ctx, appID, requestHash, number, outcome)
		if err == nil {
			return made, nil
		}
		logr.FromContextOrDiscard(ctx).Error(err, "Could not record the platform's answer to a creation, will try again",
			"request", requestHash, "attempt", number, "result", outcome.Result, "operationId", outcome.OperationID)
		if err := c.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (c *Creator) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.o.Clock.After(d):
		return nil
	}
}
