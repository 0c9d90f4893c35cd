// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
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
