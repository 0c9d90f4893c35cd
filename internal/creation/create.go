// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

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

// Platform is what the platform does for creations, as *platform.Client.
type Platform interface {
	CreateTask(ctx context.Context, r platform.TaskRequest, ready func() error) (operationID string, err error)
	Tasks(ctx context.Context, f platform.TaskFilter, p platform.Priority) (platform.TaskList, error)
	Task(ctx context.Context, operationID string, p platform.Priority) (*platform.Task, error)
	Status() platform.Status
}

// Application is one whose tasks are created.
type Application struct {
	ID string
	// Platform is the connection to it.
	Platform Platform
	// Witnesses returns the tasks of the application that nobody declared, of which something was first heard since a
	// time.
	Witnesses func(since time.Time) []string
	// SearchIsProved says that the platform's list was seen to show a task that was created, of devices or of groups as
	// the one that is searched for.
	SearchIsProved bool
}

// Options of a Creator.
type Options struct {
	// Ledger has what was done so far.
	Ledger Ledger
	// Clock is the time.
	Clock clock.WithTicker
	// Holder names this process in records.
	Holder string
	// Leads says whether nobody else leads for certain.
	Leads func() bool
	// Grace is how long an attempt of which nothing was found counts as perhaps made.
	Grace time.Duration
	// Observe is told each outcome that is recorded, and nil for an attempt whose answer did not come; nil: nobody is.
	Observe func(*storage.TaskOutcome)
}

func (o *Options) observe(outcome *storage.TaskOutcome) {
	if o.Observe != nil {
		o.Observe(outcome)
	}
}

// Creator creates tasks. Safe for concurrent use.
type Creator struct {
	o Options

	mu sync.Mutex
	// busy are the applications of which a task is being created: the next one looks at what this one did.
	busy  map[string]bool
	looks map[string]look
	// concluded are outcomes that this process recorded and the cache may not have yet, by the request: an attempt whose
	// answer came is not to look like one without.
	concluded map[string][]Record
}

// New returns a Creator.
func New(o Options) *Creator {
	return &Creator{o: o, busy: map[string]bool{}, looks: map[string]look{}, concluded: map[string][]Record{}}
}

// take begins a creation of an application, if there is none.
func (c *Creator) take(appID string) (taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[appID] {
		return false
	}
	c.busy[appID] = true
	return true
}

func (c *Creator) release(appID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, appID)
}

// Known says how far the creation of a task is, by a cache of the records. begin says that something is to be done:
// Restore is to be called where the verdict has an operationId, else Create.
func (c *Creator) Known(q *Asked) (v Verdict, begin bool, err error) {
	hash := Hash(q.AppID, q.Task)
	records, err := c.o.Ledger.Cached(hash)
	if err != nil {
		return Verdict{}, false, err
	}
	v, begin = c.judge(q, bookOf(c.withConcluded(hash, records))[hash])
	return v, begin, nil
}

// withConcluded adds what this process recorded to what a cache has.
func (c *Creator) withConcluded(hash string, cached []Record) []Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.concluded[hash] = slices.DeleteFunc(c.concluded[hash], func(r Record) bool {
		return slices.ContainsFunc(cached, func(x Record) bool { return Name(&x) == Name(&r) })
	})
	all := append(cached, c.concluded[hash]...)
	if len(c.concluded[hash]) == 0 {
		delete(c.concluded, hash)
	}
	return all
}

// Create has the platform create a task, unless that was done, may have been done, or need not be done. mark is called
// before anything is recorded, with what the FirmwareUpgrade's status is to say; it fails where the FirmwareUpgrade is
// not what was asked for any more.
func (c *Creator) Create(
	ctx context.Context, app *Application, q *Asked, mark func(context.Context, Verdict) error,
) (Verdict, error) {
	if !c.take(app.ID) {
		v, begin, err := c.Known(q)
		if err != nil || !begin {
			return v, err
		}
		return waiting(v, "another task of the application is being created", lookAgain/6), nil
	}
	defer c.release(app.ID)
	records, err := c.o.Ledger.All(ctx)
	if err != nil {
		return Verdict{}, fmt.Errorf("read what was created so far: %w", err)
	}
	b := bookOf(records)
	attempts := b[Hash(q.AppID, q.Task)]
	v, begin := c.judge(q, attempts)
	if !begin {
		return v, nil
	}
	if len(records) >= MaxRecords {
		return waiting(v, fmt.Sprintf("there are %d records of creations, the most there may be; those of requests "+
			"that no FirmwareUpgrade makes any more may be removed (kubectl get fwrec -A)", len(records)), lookHourly), nil
	}
	next, free, v, err := c.lookFirst(ctx, app, v, q, b)
	if err == nil && free {
		next, v, err = c.attempt(ctx, app, v, q, mark)
	}
	if err != nil || next == nil {
		return v, err
	}
	v, _ = c.judge(q, append(attempts, *next))
	return v, nil
}

// Restore records the task that a status names although no record does, once the platform says that there is such a
// task: the records were lost, or are older than the status, as in a backup. It may be called for whatever Known says
// that there is an operationId of and that something is to begin. Without app, which is nil where the application is
// not connected, nothing is recorded yet.
func (c *Creator) Restore(ctx context.Context, app *Application, q *Asked) (Verdict, error) {
	records, err := c.o.Ledger.All(ctx)
	if err != nil {
		return Verdict{}, fmt.Errorf("read what was created so far: %w", err)
	}
	attempts := bookOf(records)[Hash(q.AppID, q.Task)]
	v, begin := c.judge(q, attempts)
	if !begin || v.OperationID == "" {
		return v, nil
	}
	if app == nil {
		v.After = lookAgain
		return v, nil
	}
	switch _, err := app.Platform.Task(ctx, q.OperationID, platform.PriorityResolve); {
	case platform.KindOf(err) == platform.NotFound:
		v.State, v.Reason, v.OperationID, v.After = v1alpha1.TaskUncertain, v1alpha1.ReasonCreationUncertain, "", lookHourly
		v.Message = "the status names the task " + q.OperationID + ", which neither the records of creations nor the " +
			"platform know. Replace spec.task by the operationId of the right one, or increase spec.task.run to have another " +
			"one created"
		return v, nil
	case err != nil:
		v.After = lookAgain
		return v, nil //nolint:nilerr // The task is followed all the same.
	}
	number := v.Attempt + 1
	if a := undecidedOf(attempts); a != nil {
		number = a.number
	}
	made, err := c.conclude(ctx, q.AppID, v.RequestHash, number, &storage.TaskOutcome{
		Result: storage.TaskResultCreated, OperationID: q.OperationID, How: storage.TaskDeclared,
	})
	if err != nil {
		return v, err
	}
	v, _ = c.judge(q, append(attempts, *made))
	return v, nil
}

// lookFirst looks whether the platform has the task already. It returns free if not, an attempt that was concluded if
// it was taken, and neither if the verdict says what is to be waited for.
func (c *Creator) lookFirst(
	ctx context.Context, app *Application, v Verdict, q *Asked, b book,
) (taken *attempt, free bool, _ Verdict, err error) {
	like := fingerprintOf(q.Task, q.FileVersion)
	for _, a := range b.undecided() {
		if f := fingerprintOfIntent(a.intent); a.appID == q.AppID && f.meets(&like) {
			return nil, false, waiting(v, "at "+instant(a.intent.Time.Time)+" a task like this was asked for, for "+
				a.intent.For.Namespace+"/"+a.intent.For.Name+", and whether it was created is being found out, until "+
				instant(a.intent.Time.Add(c.o.Grace+lastMark))+" if the platform's list can tell", lookAgain), nil
		}
	}
	found, err := search(ctx, app, &like, b, platform.PriorityCreate)
	switch {
	case err != nil:
		v = waiting(v, "the platform's list of tasks can't be read: "+messageOf(err), lookAgain)
		return nil, false, v, nil
	case found.unsupported && app.SearchIsProved: // it has one: what answers there may be something before the platform
		return nil, false, waiting(v,
			"the platform says that it has no list of tasks, of which it had one; it is asked again", lookAgain), nil
	case !found.complete && !found.unsupported:
		return nil, false, waiting(v, "the platform's list of tasks was not complete; it is read again", lookAgain), nil
	}
	var running, finished []string
	isCurrent := func(t *platform.Task) bool { return !isFinished(t) || createTime(app, t).After(q.Since) }
	for i := range found.tasks {
		if t := &found.tasks[i]; isCurrent(t) {
			running = append(running, t.OperationID)
		} else {
			finished = append(finished, t.OperationID)
		}
	}
	for i := range found.similar { // it may be the one where targetVersion is not the platform's
		if t := &found.similar[i]; like.matchesButVersion(t) && isCurrent(t) {
			finished = append(finished, shortID(t.OperationID)+" (of version "+t.FileVersion+", not "+q.FileVersion+")")
		}
	}
	if len(running) == 1 {
		taken, err := c.conclude(ctx, q.AppID, v.RequestHash, v.Attempt+1, &storage.TaskOutcome{
			Result: storage.TaskResultCreated, OperationID: running[0], How: storage.TaskFound,
		})
		return taken, false, v, err
	}
	if why := whyNot(q, b, running, finished, found.owned); why != "" {
		taken, err := c.conclude(ctx, q.AppID, v.RequestHash, v.Attempt+1, &storage.TaskOutcome{
			Result: storage.TaskResultExists, How: storage.TaskFound, Message: result.Shorten(why, maxMessageBytes),
		})
		return taken, false, v, err
	}
	return nil, true, v, nil
}

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
