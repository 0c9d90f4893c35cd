// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"time"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// missingAfter is for how long no push may have come, where results had to be asked for, before pushes are missing.
const missingAfter = 15 * time.Minute

// receiving is whether results come by push. What was asked for looks like a push once it is stored, so that this
// process remembers what it stored: what is newer than that came by push.
type receiving struct {
	now func() time.Time
	// polled is, for each task, when the newest result counts as received that was asked for.
	polled map[result.Task]time.Time
	// pushedAt is when the newest push arrived; askedSince is when a result had to be asked for first since then, zero
	// where none had; beganAt is when this began to look.
	pushedAt, askedSince, beganAt time.Time
	// after is missingAfter; shorter in tests, as rounds are.
	after time.Duration
}

func newReceiving(o Options) receiving {
	r := receiving{now: o.Clock.Now, polled: map[result.Task]time.Time{}}
	if r.after = missingAfter; o.Period > 0 {
		r.after = min(r.after, time.Duration(float64(missingAfter)*o.Period.Seconds()/RoundPeriod.Seconds()))
	}
	if r.beganAt = r.now(); o.WasMissing { // and are until one comes
		r.beganAt = r.beganAt.Add(-r.after)
		r.askedSince = r.beganAt
	}
	return r
}

// look notes when the newest result of a task arrived. At first look nobody knows whether that one was asked for by an
// earlier process.
func (r *receiving) look(task result.Task, last time.Time) {
	newestPolled, looked := r.polled[task]
	if !looked {
		r.polled[task] = time.Time{}
		if !r.askedSince.IsZero() { // pushes were missing: an old result proves nothing
			r.polled[task] = last
			return
		}
	}
	if last.After(newestPolled) && last.After(r.pushedAt) {
		if r.pushedAt = last; last.After(r.askedSince) {
			r.askedSince = time.Time{}
		}
	}
}

// repaired notes results that were asked for.
func (r *receiving) repaired(task result.Task, results []result.Result) {
	if r.askedSince.IsZero() {
		r.askedSince = r.now()
	}
	for i := range results {
		if at := time.UnixMicro(results[i].ReceivedAt); at.After(r.polled[task]) {
			r.polled[task] = at
		}
	}
}

// missing says whether results had to be asked for and none came by push for missingAfter, before that or since: that a
// single push is lost is no sign of it, nor that the last one came days ago.
func (r *receiving) missing() bool {
	since := r.askedSince
	for _, at := range []time.Time{r.pushedAt, r.beganAt} {
		if at.After(since) {
			since = at
		}
	}
	return !r.askedSince.IsZero() && r.now().Sub(since) >= r.after
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
