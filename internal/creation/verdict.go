// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"fmt"
	"strings"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

const (
	// firstBackoff and lastBackoff bound how long after a refusal the platform is asked again: 1, 2, 4, 8, 10 minutes.
	firstBackoff = time.Minute
	lastBackoff  = 10 * time.Minute
	// maxAbsent is after how many attempts in a row that nothing came of people are asked.
	maxAbsent = 3
	// lookAgain is when a creation that waits for something is looked at again, if nothing tells sooner.
	lookAgain = time.Minute
	// lookHourly is when what only people can decide is looked at again: the platform may have changed.
	lookHourly = time.Hour
)

// Asked is what a FirmwareUpgrade asks for.
type Asked struct {
	AppID string
	Task  *v1alpha1.TaskRequest
	// FileVersion is the version of the package, empty where nobody said.
	FileVersion string
	// For is the FirmwareUpgrade, and Since when it was created.
	For   storage.ObjectReference
	Since time.Time
	// Reason is that of the condition TaskCreated, as it stands, and OperationID the task that the status names already.
	Reason, OperationID string
}

// Verdict is how far the creation of a task is.
type Verdict struct {
	State v1alpha1.TaskState
	// Reason is that of the condition TaskCreated.
	Reason      string
	RequestHash string
	// OperationID is the task, where the state is Created.
	OperationID string
	// Attempt is the newest attempt, and AttemptTime when it was recorded; 0 and zero before the first.
	Attempt     int32
	AttemptTime time.Time
	// Message says what happened and what to do, in a sentence that stays the same as long as nothing changes.
	Message string
	// After is when to look again; 0 is never, but when something changed.
	After time.Duration
}

// judge says what the records of a request mean, and whether something is to begin: Restore where there is an
// operationId, else an attempt.
func (c *Creator) judge(q *Asked, attempts []attempt) (v Verdict, begin bool) {
	v.RequestHash = Hash(q.AppID, q.Task)
	newest := last(attempts)
	if newest != nil {
		v.Attempt = newest.number
		v.AttemptTime = newest.time()
	}
	if made := newestCreated(attempts); made != nil {
		return created(v, made), false
	}
	if q.OperationID != "" {
		v.State, v.Reason, v.OperationID = v1alpha1.TaskCreated, v1alpha1.ReasonCreated, q.OperationID
		v.Message = "the status names the task, and the records of creations do not; that is being recorded"
		return v, true
	}
	if a := undecidedOf(attempts); a != nil {
		return c.unclear(v, q, a), false
	}
	now := c.o.Clock.Now()
	if newest != nil && newest.outcome.Result == storage.TaskResultRefused && newest.outcome.Code != "" {
		v.State, v.Reason = v1alpha1.TaskRefused, v1alpha1.ReasonTaskRefused
		v.Message = sentence(newest.outcome.Message) + " (error code " + newest.outcome.Code +
			"). Correct spec.task or, if the platform was corrected, increase spec.task.run"
		return v, false
	}
	if newest != nil && newest.outcome.Result == storage.TaskResultExists {
		return exists(v, newest), false
	}
	if n := inARow(attempts, storage.TaskResultAbsent); n >= maxAbsent {
		v.State, v.Reason = v1alpha1.TaskUncertain, v1alpha1.ReasonCreationUncertain
		v.Message = fmt.Sprintf("nothing came of %d attempts in a row, and the platform gave no reason: look there. "+
			"To go on, replace spec.task by the operationId, or increase spec.task.run", n)
		return v, false
	}
	if !now.Before(q.Task.CreateBefore.Time) {
		v.State, v.Reason = v1alpha1.TaskExpired, v1alpha1.ReasonCreationExpired
		v.Message = "no task was created before spec.task.createBefore, " + instant(q.Task.CreateBefore.Time) +
			". To have one created, move that time"
		return v, false
	}
	if newest != nil && newest.outcome.Result == storage.TaskResultRefused {
		n := inARow(attempts, storage.TaskResultRefused)
		if again := newest.outcome.Time.Add(backoff(n)); now.Before(again) {
			return waiting(v, "the task is not created yet: "+sentence(newest.outcome.Message)+"; it is asked again",
				again.Sub(now)), false
		}
	}
	return v, true
}

func (a *attempt) time() time.Time {
	if a.intent != nil {
		return a.intent.Time.Time
	}
	return a.outcome.Time.Time
}

func newestCreated(attempts []attempt) *attempt {
	for i := len(attempts) - 1; i >= 0; i-- {
		if attempts[i].created() {
			return &attempts[i]
		}
	}
	return nil
}

func created(v Verdict, a *attempt) Verdict {
	v.State, v.Reason, v.OperationID = v1alpha1.TaskCreated, v1alpha1.ReasonCreated, a.outcome.OperationID
	v.Attempt, v.AttemptTime = a.number, a.time()
	switch {
	case a.outcome.How == storage.TaskAnswered:
		v.Message = "the platform created the task"
	case a.outcome.How == storage.TaskDeclared:
		v.Message = "the task was declared to be that of this request"
	case a.intent == nil:
		v.Reason = v1alpha1.ReasonAdopted
		v.Message = "the platform had a task like this already, which is taken"
	default:
		v.Message = "the platform created the task, though its answer did not come"
	}
	return v
}

// unclear says how the search for what may have been created goes.
func (c *Creator) unclear(v Verdict, q *Asked, a *attempt) Verdict {
	v.State, v.Reason = v1alpha1.TaskUncertain, v1alpha1.ReasonResolving
	v.Attempt, v.AttemptTime = a.number, a.time()
	asked, until := instant(a.intent.Time.Time), a.intent.Time.Add(c.o.Grace+lastMark)
	decide := "To decide, replace spec.task by the operationId, or increase spec.task.run if there is none"
	if a.intent.For.UID != q.For.UID { // it was asked for by another FirmwareUpgrade, perhaps one that this one replaced
		decide = "To follow it, replace spec.task by the operationId; from " + instant(a.intent.Time.Add(c.o.Grace)) +
			" on, increase spec.task.run if there is none"
	}
	may := "the platform may have created a task at " + asked
	seen, looked := c.seen(a)
	switch {
	case len(seen.candidates) > 1:
		v.Reason = v1alpha1.ReasonCreationUncertain
		v.Message = may + ", and has several like it: " + listed(seen.candidates) + ". " + decide
	case looked && seen.stalled && len(seen.similar) > 0:
		v.Reason = v1alpha1.ReasonCreationUncertain
		v.Message = may + ". Of those since then these may be it, of another version, policy or other devices than were " +
			"asked for: " + listed(seen.similar) + ". " + decide
	case looked && seen.stalled, !looked && q.Reason == v1alpha1.ReasonCreationUncertain:
		v.Reason = v1alpha1.ReasonCreationUncertain
		v.Message = may + ", and its list of tasks can't tell. " + decide
	case c.o.Clock.Now().Before(until):
		v.Message = may + ". It is searched for until " + instant(until) + ", and asked for again if there is none; " +
			"nobody has to act. " + decide
	default:
		v.Message = may + ". The platform could not be asked often enough by " + instant(until) +
			", and is still searched. " + decide
	}
	return v
}

func waiting(v Verdict, why string, after time.Duration) Verdict {
	v.State, v.Reason, v.Message, v.After = v1alpha1.TaskWaiting, v1alpha1.ReasonWaiting, why, after
	return v
}

// backoff is how long after so many refusals in a row the platform is asked again.
func backoff(refusals int) time.Duration {
	return min(firstBackoff<<min(max(0, refusals-1), 8), lastBackoff)
}

// sentence is a text of the platform to which more is added.
func sentence(text string) string { return strings.TrimRight(text, ". ") }

// listed names the first of some ids.
func listed(ids []string) string {
	const most = 3
	var named []string
	for _, id := range ids[:min(len(ids), most)] {
		named = append(named, shortID(id))
	}
	if len(ids) > most {
		return strings.Join(named, ", ") + fmt.Sprintf(" and %d more", len(ids)-most)
	}
	return strings.Join(named, ", ")
}

// shortID is an id as it is shown beside others: what is to be done has to fit into a message as well.
func shortID(id string) string { return result.Shorten(id, 100) }
