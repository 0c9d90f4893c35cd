// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"slices"
	"time"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

const (
	// missingAfter is for how long results have to be lost before pushes are missing.
	missingAfter = 15 * time.Minute
	// manyLost is how many lost results need not be farther apart.
	manyLost = 10
)

// receiving is whether results come by push. What was asked for looks like a push once it is stored, so that this
// process remembers what it stored: what is newer than that came by push.
type receiving struct {
	now func() time.Time
	// polled is, for each task, when the newest result counts as received that was asked for.
	polled map[result.Task]time.Time
	// pushedAt is when the newest push arrived, beganAt when this began to look.
	pushedAt, beganAt time.Time
	// lost are the results that had to be asked for and ended since the newest push: when they ended, the oldest first,
	// and of more than manyLost the newest. lostSince is when the first of them was asked for.
	lost      []time.Time
	lostSince time.Time
	// wasMissing says that pushes were missing when an earlier process looked, and none came since.
	wasMissing bool
	// after is missingAfter; shorter in tests, as rounds are.
	after time.Duration
}

func newReceiving(o Options) receiving {
	r := receiving{
		now: o.Clock.Now, polled: map[result.Task]time.Time{}, beganAt: o.Clock.Now(), wasMissing: o.WasMissing,
		after: missingAfter,
	}
	if o.Period > 0 {
		r.after = min(r.after, time.Duration(float64(missingAfter)*o.Period.Seconds()/RoundPeriod.Seconds()))
	}
	return r
}

// look notes when the newest result of a task arrived. At first look nobody knows whether that one was asked for by an
// earlier process, unless it arrived since this one began: nothing is asked for before the first look.
func (r *receiving) look(task result.Task, last time.Time) {
	newestPolled, looked := r.polled[task]
	if !looked {
		r.polled[task] = time.Time{}
		if (r.wasMissing || len(r.lost) > 0) && !last.After(r.beganAt) { // an old result proves nothing
			r.polled[task] = last
			return
		}
	}
	if last.After(newestPolled) && last.After(r.pushedAt) {
		r.pushed(last)
	}
}

// pushed notes a push: what ended before it is no sign that none comes.
func (r *receiving) pushed(at time.Time) {
	r.pushedAt, r.wasMissing = at, false
	r.lost = slices.DeleteFunc(r.lost, func(ended time.Time) bool { return !ended.After(at) })
	if at.After(r.lostSince) {
		r.lostSince = at
	}
}

// repaired notes results that were asked for, and when the devices ended by the platform's clock, which is ahead by an
// offset.
func (r *receiving) repaired(task result.Task, results []result.Result, ended []time.Time, offset time.Duration) {
	if newest, looked := r.polled[task]; looked { // else nobody follows it any more
		for i := range results {
			if at := time.UnixMicro(results[i].ReceivedAt); at.After(newest) {
				newest = at
			}
		}
		r.polled[task] = newest
	}
	before, now := len(r.lost), r.now()
	for _, stopped := range ended {
		at := stopped.Add(-offset)
		switch {
		case stopped.IsZero(), at.After(now): // nobody knows when, or it can't be
			at = now
		case at.Before(r.beganAt):
			at = r.beganAt
		}
		if at.After(r.pushedAt) {
			r.lost = append(r.lost, at)
		}
	}
	if before == 0 {
		r.lostSince = now
	}
	slices.SortFunc(r.lost, time.Time.Compare)
	r.lost = r.lost[max(0, len(r.lost)-manyLost):]
}

// missing says whether so much had to be asked for since the last push that none can be on its way: results that ended
// missingAfter apart, or many, the first of which was asked for so long ago. That a single push is lost, or the last
// few of many, is no sign of it, nor that the last one came days ago.
func (r *receiving) missing() bool {
	n := len(r.lost)
	if n == 0 {
		return r.wasMissing
	}
	return r.wasMissing || r.lost[n-1].Sub(r.lost[0]) >= r.after || n == manyLost && r.now().Sub(r.lostSince) >= r.after
}

// isMissing says whether pushes are missing.
func (l *Link) isMissing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.receiving.missing()
}

// condition is what to say of it.
func (r *receiving) condition(running bool) Condition {
	switch {
	case r.missing():
		return isFalse(v1alpha1.ReasonPushesMissing, "results had to be asked for, and none came by push since "+
			since(r.pushedAt)+": check that the platform reaches the callback (docs/connect.md)")
	case running && !r.pushedAt.IsZero():
		return isTrue(v1alpha1.ReasonPushesArrive, "")
	}
	return isTrue(v1alpha1.ReasonNothingRuns, "")
}

func since(at time.Time) string {
	if at.IsZero() {
		return "the operator began to look"
	}
	return at.UTC().Format(time.RFC3339)
}
