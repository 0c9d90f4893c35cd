// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"context"
	"slices"
	"time"

	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// quietAfter is for how long nothing may have come of a task before results are asked for while it runs.
	quietAfter = 5 * time.Minute
	// roundsToJudge is in how many rounds counts have to differ, as the platform's figures may lag behind its own pushes;
	// unless the task has ended, and nothing has come of it for a while.
	roundsToJudge = 2
	// maxSweeps is after how many sweeps in a row that found nothing the counts drift.
	maxSweeps = 2
	// maxBroken is after how many sweeps in a row that broke off the counts drift, for as long as they do.
	maxBroken = 10
	// drifterPeriod and endedDrifterPeriod are how far apart a task is asked for whose counts drift, before and after it
	// came to its end: somebody may mend that, or it mends itself.
	drifterPeriod, endedDrifterPeriod = 10 * time.Minute, time.Hour
	// otherTurn is which turn of those that are asked for alone is that of the one that has waited longest of those that
	// do not go before all.
	otherTurn = 4
	// mayComeFor is how long a task that the platform does not know is asked for in every round: it may be about to list
	// it.
	mayComeFor = 10 * time.Minute
)

// getAfter is when a task that is not running is asked for again, and again: somebody may have it tried again by hand.
// After the last one it is not, unless it is seen among the running ones.
//
//nolint:gochecknoglobals // A constant table.
var getAfter = []time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// round compares every followed task with the platform's figures: those that run from the list of running tasks, which
// has the figures of a hundred in a call, the others by a call each. It returns how many calls it made.
func (l *Link) round(ctx context.Context) (calls int, err error) {
	followed, err := l.o.Followed(ctx)
	if err != nil { // who follows what is not known: what was learned stands
		return 0, err
	}
	if l.follow(followed); len(followed) == 0 {
		return 0, nil
	}
	asked := l.o.Clock.Now()
	running, complete, calls, err := l.running(ctx)
	if err != nil {
		return calls, err
	}
	answered := running != nil
	var failure error
	var alone []Followed
	var changed []result.Task
	for _, f := range followed {
		task, listed := running[f.Task.OperationID]
		switch {
		case listed && task.Result.AddsUp():
			l.learn(f, task, asked)
			changed = append(changed, f.Task)
		case l.isGetDue(f, complete, listed): // a list may come without figures
			alone = append(alone, f)
		}
	}
	l.o.Changed(changed)
	for _, f := range l.turns(alone, l.maxGets()) {
		asked := l.o.Clock.Now()
		task, err := l.o.Client.Task(ctx, f.Task.OperationID, platform.PriorityRound)
		calls++
		switch {
		case err == nil, platform.KindOf(err) == platform.NotFound:
			l.learn(f, task, asked)
			answered = true
		case platform.IsAboutRequest(err): // of which the others are not to suffer
			l.noteFailure(f, err, asked)
			failure = err
		default:
			return calls, err
		}
		l.o.Changed([]result.Task{f.Task})
	}
	l.judgeReceiving(len(running) > 0)
	if !answered {
		return calls, failure
	}
	return calls, nil
}

// turns returns so many of the tasks that are asked for alone, as a round may not come to all of them: by rank, and of
// equals what was asked for least recently. But every fourth turn is that of the one that has waited longest of what
// does not go before all: there may always be enough that does.
func (l *Link) turns(alone []Followed, count int) (chosen []Followed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rank := func(f Followed) int { return rankOf(f, l.views[f.Task]) }
	longest := func(a, b Followed) int { return l.triedAt(a).Compare(l.triedAt(b)) }
	byRank := slices.Clone(alone)
	slices.SortStableFunc(byRank, func(a, b Followed) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), longest(a, b)) })
	others := slices.DeleteFunc(slices.Clone(alone), func(f Followed) bool { return rank(f) == 0 })
	slices.SortStableFunc(others, longest)
	has := map[result.Task]bool{}
	take := func(from *[]Followed) bool {
		for len(*from) > 0 {
			f := (*from)[0]
			if *from = (*from)[1:]; !has[f.Task] {
				has[f.Task], chosen = true, append(chosen, f)
				return true
			}
		}
		return false
	}
	for len(chosen) < min(count, len(alone)) {
		if l.gets++; l.gets%otherTurn != 0 || !take(&others) {
			take(&byRank)
		}
	}
	return chosen
}

// rankOf orders what is asked for alone, the least first. What waits for nothing but a comparison goes before all: it
// ends by that. What the platform never knew goes last, however much of it there is: it was mistyped, or is not there
// yet.
func rankOf(f Followed, v *view) int {
	switch {
	case v != nil && v.unknown && !v.known:
		return 4
	case f.Placeholder:
		return 3
	case f.Finished:
		return 2
	case f.Complete && (v == nil || v.judgement == status.NotJudged && !v.unknown):
		return 0
	}
	return 1
}

// triedAt is when a task was asked for last. The caller holds the lock.
func (l *Link) triedAt(f Followed) (at time.Time) {
	if v := l.views[f.Task]; v != nil {
		at = v.triedAt
	}
	return at
}

// maxGets is how many tasks are asked for alone in a round: the rest waits for the next one.
func (l *Link) maxGets() int {
	return max(1, int(time.Duration(l.callsPerMinute.Load())*l.o.Period/(3*time.Minute)))
}

// running lists the tasks that run; nil where there is no list. Complete is false where the list may miss some.
func (l *Link) running(ctx context.Context) (tasks map[string]*platform.Task, complete bool, calls int, err error) {
	tasks, complete = map[string]*platform.Task{}, true
	for _, state := range []platform.TaskStatus{platform.TaskProcessing, platform.TaskWaiting} {
		list, err := l.o.Client.Tasks(ctx, platform.TaskFilter{Status: string(state)}, platform.PriorityRound)
		calls += list.Calls
		switch kind := platform.KindOf(err); {
		case kind == platform.Refused || kind == platform.NotFound || kind == platform.Unsupported:
			return nil, false, calls, nil // without a list every task is asked for alone
		case err != nil:
			return tasks, false, calls, err
		}
		complete = complete && list.Complete
		for i := range list.Tasks {
			if t := &list.Tasks[i]; isRunning(t) {
				tasks[t.OperationID] = t
			}
		}
	}
	return tasks, complete, calls, nil
}

// isGetDue says whether a task of which the list has no figures is asked for alone. One whose end waits for the
// platform is, in every round; so is one that the list may have missed, or has without figures.
func (l *Link) isGetDue(f Followed, listComplete, listed bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views[f.Task]
	switch now := l.o.Clock.Now(); {
	case v != nil && now.Before(v.retryAt):
		return false
	case v == nil, listed, !now.Before(v.due) && v.gets <= len(getAfter):
		return true
	case v.unknown:
		return now.Sub(v.firstAskedAt) < mayComeFor || !f.Finished && now.Sub(v.triedAt) >= drifterPeriod
	case v.judgement == status.Drifting && f.Finished:
		return now.Sub(v.triedAt) >= endedDrifterPeriod
	case v.judgement == status.Drifting:
		return now.Sub(v.triedAt) >= drifterPeriod
	case v.judgement == status.Repairing: // also after the end, which is not good before that is over
		return true
	case v.task != nil && isRunning(v.task): // it ended, or the list is late
		return true
	default:
		return !f.Finished && (v.differs > 0 || !listComplete || f.Complete)
	}
}

// viewOf returns the view of a task that is being asked for. The caller holds the lock.
func (l *Link) viewOf(f Followed, asked time.Time) *view {
	v := l.views[f.Task]
	if v == nil {
		v = &view{repaired: f.Repaired, firstAskedAt: asked}
		l.views[f.Task] = v
	}
	v.triedAt = asked
	return v
}

// noteFailure notes that a task could not be asked for. What was known of it stands, and it is asked for ever less.
func (l *Link) noteFailure(f Followed, err error, asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.viewOf(f, asked)
	v.trouble = messageOf(err)
	v.retryAt = asked.Add(min(l.o.Period<<min(v.failures, maxDoublings), lastRetry))
	v.failures++
}

// learn takes what the platform answered about a task, nil where it does not know it, and judges the difference.
func (l *Link) learn(f Followed, task *platform.Task, asked time.Time) {
	sum, last := l.o.Store.Summary(f.Task, tally.Query{}), l.o.Store.LastReceived(f.Task)
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.viewOf(f, asked)
	v.failures, v.retryAt, v.trouble = 0, time.Time{}, ""
	v.take(task, asked)
	if asked.After(l.answeredAt) {
		l.answeredAt = asked
	}
	switch {
	case task != nil && isRunning(task):
		v.gets, v.due = 0, time.Time{}
	case !asked.Before(v.due): // what was asked for before it was due is no look of these
		v.due = asked.Add(getAfter[min(v.gets, len(getAfter)-1)])
		v.gets++
	}
	if task != nil {
		l.receiving.look(f.Task, last)
	}
	if task != nil && task.Result.AddsUp() { // else they lag, or were not given: nothing follows
		if v.judge(f, sum, asked.Sub(last) >= quietAfter, l.o.Period) && !asked.Before(v.sweepAt) {
			l.judgeRepair(f.Task, v, sum)
		}
		v.doubtful = v.differs > 0 && !isRunning(task) && v.judgement != status.Drifting && v.broken == 0 && v.swept == 0
	}
}

// judge says what the difference between the counts and the figures means. Quiet says that nothing has come for a
// while, period how far apart rounds are. It returns whether missing results are to be asked for.
func (v *view) judge(f Followed, sum tally.Summary, quiet bool, period time.Duration) (asks bool) {
	r := v.task.Result
	succeeded, failed := r.Success-sum.Succeeded, r.Failed()-sum.Failed
	v.note = ""
	if succeeded == 0 && failed == 0 {
		v.differs, v.swept, v.broken, v.sweep, v.judgement = 0, 0, 0, nil, status.NotJudged
		return false
	}
	if v.differs++; v.differs == 1 {
		v.differsSince = v.askedAt
	}
	missing := max(0, succeeded) + max(0, failed)
	if v.swept >= maxSweeps && missing > v.missing { // others are missing than those that could not be found
		v.swept, v.sweepAt = maxSweeps-1, time.Time{}
	}
	v.missing = missing
	ended := !isRunning(v.task)
	// The platform tries failed devices again: these count as failed until they succeed.
	retries := succeeded == 0 && failed < 0 && -failed <= r.Wait+r.Processing
	switch {
	case !ended && !quiet && !f.Complete, v.differs < roundsToJudge && (!ended || !quiet), retries:
		v.judgement = status.NotJudged
	case missing == 0:
		if v.judgement != status.Drifting && v.askedAt.Sub(v.differsSince) < period { // they may be late still
			v.judgement = status.NotJudged
			return false
		}
		v.judgement = status.Drifting
		v.note = "more was reported than the platform counts: its figures are late, a sub-task was deleted, or somebody " +
			"else pushes to the callback"
	case v.swept >= maxSweeps:
		v.judgement = status.Drifting
		v.note = "asking for every result did not help: compare with the platform's list of sub-tasks" + v.leftOut()
		return true // what was late may be there
	case v.broken >= maxBroken:
		v.judgement = status.Drifting
		v.note = "asking for the missing results fails again and again: " + v.brokenBy
		return true
	default:
		v.judgement = status.Repairing
		return true
	}
	return false
}

// judgeRepair has the missing results asked for, unless that would take more than a day. The caller holds the lock.
func (l *Link) judgeRepair(task result.Task, v *view, sum tally.Summary) {
	if takes := l.sweepTakes(v.task.Result, sum); takes > maxSweepTime {
		v.judgement = status.Drifting
		v.note = "asking for the missing results would take " + takes.Round(time.Hour).String() +
			": raise spec.callsPerMinute of the IoTApplication, if the platform allows more calls"
		return
	}
	if l.o.Store.IsFull() && v.judgement == status.Repairing {
		v.note = noRoomNote
	}
	l.sweeps.want(task)
}

// judgeReceiving says in the State whether results come by push.
func (l *Link) judgeReceiving(running bool) {
	l.update(func(s *State) { s.Receiving = l.receiving.condition(running) })
}
