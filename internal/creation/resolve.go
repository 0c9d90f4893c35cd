// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"fmt"
	"slices"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
)

const (
	// firstMark is when an attempt without an answer is searched for at first: an answer in time is there by then.
	firstMark = 90 * time.Second
	// lastMark is how long after the grace it is searched for once more, to decide.
	lastMark = time.Minute
	// enoughLooks is how many complete searches have to find nothing before that means something.
	enoughLooks = 3
	// skew is how much earlier than its request a task may seem to be created.
	skew = 2 * time.Minute
	// lookRetry is how soon it is searched again at the latest where the list could not be read, or not to its end.
	lookRetry = 5 * time.Minute
	// maxWitnesses is how many tasks that nobody declared are looked at in one search.
	maxWitnesses = 10
)

// marks are when an attempt is searched for, before the grace is over and once more after it.
func marks(grace time.Duration) []time.Duration {
	all := []time.Duration{
		firstMark, 3 * time.Minute, 6 * time.Minute, 12 * time.Minute, 24 * time.Minute, 48 * time.Minute,
	}
	return append(slices.DeleteFunc(all, func(m time.Duration) bool { return m >= grace }), grace+lastMark)
}

// look is what searches for an attempt found so far, in this process.
type look struct {
	// complete is how many complete searches found nothing.
	complete int
	// candidates are the tasks of which one may be it; similar are those since then that may be for the same devices,
	// but are not quite what was asked for.
	candidates, similar []string
	// turns is how often it was searched.
	turns int
	// stalled says that searching can't tell.
	stalled bool
}

// Decision is what people said about an attempt: the task that it created, or that it created none.
type Decision struct {
	OperationID string
	NotCreated  bool
}

// Resolve searches for what an attempt without an outcome may have created, once, and records what is certain. after is
// when to call it again; 0 is never.
func (c *Creator) Resolve(
	ctx context.Context, app *Application, r *Record, d Decision,
) (after time.Duration, err error) {
	a := &attempt{appID: r.AppID, requestHash: r.RequestHash, number: r.Attempt, intent: r.Intent}
	if d.OperationID != "" {
		return 0, c.settle(ctx, a, &storage.TaskOutcome{
			Result: storage.TaskResultCreated, OperationID: d.OperationID, How: storage.TaskDeclared,
		})
	}
	age := c.o.Clock.Now().Sub(a.intent.Time.Time)
	if age < firstMark { // whoever made it may be asking at this moment
		return firstMark - max(0, age), nil
	}
	if d.NotCreated {
		return 0, c.settle(ctx, a, &storage.TaskOutcome{
			Result: storage.TaskResultAbsent, How: storage.TaskDeclared,
		})
	}
	records, err := c.o.Ledger.All(ctx)
	if err != nil {
		return 0, fmt.Errorf("read what was created so far: %w", err)
	}
	b := bookOf(records)
	if i := slices.IndexFunc(b[a.requestHash], func(x attempt) bool {
		return x.number == a.number && x.outcome != nil
	}); i >= 0 {
		return 0, nil
	}
	seen, err := c.lookFor(ctx, app, a, b)
	if err != nil {
		return min(nextLook(age, c.o.Grace), lookRetry), err
	}
	if len(seen.candidates) == 1 {
		return 0, c.settle(ctx, a, &storage.TaskOutcome{
			Result: storage.TaskResultCreated, OperationID: seen.candidates[0].id, How: seen.candidates[0].how,
		})
	}
	switch looks := c.note(a, seen, age, app.SearchIsProved); {
	case !seen.complete && !seen.unsupported:
		return min(nextLook(age, c.o.Grace), lookRetry), nil
	case age < c.o.Grace || looks.stalled:
		return nextLook(age, c.o.Grace), nil
	case looks.complete < enoughLooks:
		return firstMark, nil
	}
	return 0, c.settle(ctx, a, &storage.TaskOutcome{Result: storage.TaskResultAbsent, How: storage.TaskFound})
}

func (c *Creator) settle(ctx context.Context, a *attempt, outcome *storage.TaskOutcome) error {
	if _, err := c.conclude(ctx, a.appID, a.requestHash, a.number, outcome); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.looks, a.key())
	return nil
}

// candidate is a task that an attempt may have created, and how it was found.
type candidate struct {
	id  string
	how storage.TaskEvidence
}

// sight is what one search for what an attempt may have created saw.
type sight struct {
	candidates []candidate
	// similar are tasks that are not quite what was asked for.
	similar []string
	// complete says that the platform's list was read to its end, unsupported that it has none.
	complete, unsupported bool
}

// lookFor searches for the tasks that an attempt may have created: in the platform's list, and among those of which
// results came.
func (c *Creator) lookFor(ctx context.Context, app *Application, a *attempt, b book) (sight, error) {
	f := fingerprintOfIntent(a.intent)
	found, err := search(ctx, app, &f, b, platform.PriorityResolve)
	if err != nil {
		return sight{}, err
	}
	seen := sight{complete: found.complete && !found.unsupported, unsupported: found.unsupported}
	isOlder := func(t *platform.Task) bool {
		at := createTime(app, t)
		return !at.IsZero() && at.Before(a.intent.Time.Add(-skew))
	}
	add := func(t *platform.Task, how storage.TaskEvidence) {
		if !isOlder(t) && !slices.ContainsFunc(seen.candidates, func(x candidate) bool { return x.id == t.OperationID }) {
			seen.candidates = append(seen.candidates, candidate{id: t.OperationID, how: how})
		}
	}
	for i := range found.tasks {
		add(&found.tasks[i], storage.TaskFound)
	}
	for i := range found.similar {
		if t := &found.similar[i]; !isOlder(t) {
			seen.similar = append(seen.similar, t.OperationID)
		}
	}
	before, _ := c.seen(a)
	for _, id := range turnOf(app.Witnesses(a.intent.Time.Time), before.turns) {
		if b.owner(id) != "" {
			continue
		}
		t, err := app.Platform.Task(ctx, id, platform.PriorityResolve)
		switch {
		case platform.KindOf(err) == platform.NotFound:
		case err != nil:
			return sight{}, err
		case f.matches(t):
			add(t, storage.TaskWitnessed)
		}
	}
	return seen, nil
}

// turnOf are the witnesses that are looked at in one search: others in each, where there are many.
func turnOf(witnesses []string, turn int) []string {
	turns := max(1, (len(witnesses)+maxWitnesses-1)/maxWitnesses)
	from := turn % turns * maxWitnesses
	return witnesses[from:min(len(witnesses), from+maxWitnesses)]
}

// note notes what a search saw. Past the grace it can't tell where anything is there that may be it, or where the list
// can't be relied on.
func (c *Creator) note(a *attempt, seen sight, age time.Duration, proved bool) look {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.looks[a.key()]
	of.turns++
	of.candidates, of.similar = nil, seen.similar
	for _, x := range seen.candidates {
		of.candidates = append(of.candidates, x.id)
	}
	isEmpty := len(seen.candidates) == 0 && len(seen.similar) == 0
	switch {
	case !isEmpty:
		of.complete = 0
	case seen.complete:
		of.complete++
	}
	of.stalled = age >= c.o.Grace && (!isEmpty || !seen.complete || !proved)
	c.looks[a.key()] = of
	return of
}

// seen returns what searches found so far, and whether there were any.
func (c *Creator) seen(a *attempt) (seen look, looked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, looked = c.looks[a.key()]
	return seen, looked
}

// key is by what an attempt without an outcome is known, also from one that got its name when somebody removed it.
func (a *attempt) key() string { return a.intent.Nonce }

// nextLook is when an attempt of this age is searched for again.
func nextLook(age, grace time.Duration) time.Duration {
	for _, mark := range marks(grace) {
		if mark > age {
			return mark - age
		}
	}
	return lookHourly
}

// Shown looks whether the platform's list shows a task that the platform said to have created: only where that was seen
// once, it means something that the list does not show another one. after is when to call it again; 0 is never.
func (c *Creator) Shown(
	ctx context.Context, app *Application, intent, outcome *Record,
) (lag time.Duration, shown bool, after time.Duration, err error) {
	lag = c.o.Clock.Now().Sub(outcome.Outcome.Time.Time)
	if lag > c.o.Grace {
		return 0, false, 0, nil
	}
	f := fingerprintOfIntent(intent.Intent)
	found, err := search(ctx, app, &f, book{}, platform.PriorityResolve)
	if err != nil {
		return 0, false, max(shownPeriod, lag), err
	}
	if slices.ContainsFunc(found.tasks, func(t platform.Task) bool {
		return t.OperationID == outcome.Outcome.OperationID
	}) {
		return lag, true, 0, nil
	}
	return 0, false, max(shownPeriod, lag), nil
}

// shownPeriod is how soon a created task is looked for in the list, then ever later.
const shownPeriod = 5 * time.Second
