// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/status"
)

// view is what is known of the platform's view of a task.
type view struct {
	// task is what the platform answered; nil where it did not yet, or does not know the task. It is known where it ever
	// knew it.
	task           *platform.Task
	unknown, known bool
	// askedAt is when the call began that brought this.
	askedAt time.Time
	// triedAt is when it was asked for last, with an answer or not; failures is how often in a row there was none, trouble
	// why, and retryAt when it is asked for again at the earliest.
	triedAt  time.Time
	failures int
	trouble  string
	retryAt  time.Time
	// firstAskedAt is when it was asked for first.
	firstAskedAt time.Time
	// gets is how often in a row the task was asked for alone and was not running, due when it is asked for again.
	gets int
	due  time.Time

	// differs is in how many rounds in a row the counts differed.
	differs int
	// differsSince is when that was seen first.
	differsSince time.Time
	// swept is how many sweeps came to their end and found nothing, since the counts were equal or one found something.
	swept int
	// missing is how many results were missing in the last round.
	missing int64
	// broken is how many sweeps in a row broke off and found nothing, brokenBy why the last one did.
	broken   int
	brokenBy string
	// sweep is the one that was begun and has not ended, sweepAt when the next one is at the earliest, where the last one
	// found nothing.
	sweep     *sweep
	sweepAt   time.Time
	judgement status.Judgement
	note      string
	// doubtful says that another look soon tells more: the counts of a task that has ended differ, and it is not judged,
	// or its results were asked for.
	doubtful bool
	// repaired is how many results had to be asked for, uncounted the devices whose results were stored and are missing
	// all the same, unusable how many sub-tasks the last sweep saw with an id that no notification could have.
	repaired  int64
	uncounted map[string]struct{}
	unusable  int
}

// take takes what the platform answered, nil where it does not know the task, and keeps what is needed of it: a task
// may have thousands of targets. Figures that don't add up, as they lag or were not given, do not replace those that
// did.
func (v *view) take(task *platform.Task, asked time.Time) {
	v.unknown, v.known = task == nil, v.known || task != nil
	switch {
	case task == nil:
		v.task, v.askedAt = nil, asked
	case v.task != nil && v.task.Result.AddsUp() && !task.Result.AddsUp():
		v.task.Status = task.Status
	default:
		v.task, v.askedAt = &platform.Task{
			OperationID: task.OperationID, CreateTime: task.CreateTime, Status: task.Status, FileVersion: task.FileVersion,
			Result: task.Result,
		}, asked
	}
}

// endSweep notes that a sweep came to its end.
func (v *view) endSweep(callsPerMinute int64, period time.Duration) {
	switch {
	case v.sweep == nil:
		return
	case v.sweep.found:
		v.swept, v.sweepAt = 0, time.Time{}
		if v.judgement == status.Drifting { // asking helps, so that the next round is to say what is missing still
			v.judgement, v.note = status.Repairing, ""
		}
	case v.sweep.asked > 0: // else what was missing came by itself
		v.swept++
		v.unusable = v.sweep.unusable
		v.sweepAt = v.triedAt.Add(sweepAgainAfter(v.swept, v.sweep.asked, callsPerMinute, period))
	}
	v.sweep, v.broken = nil, 0
}

// tell writes down what is known.
func (v *view) tell(p *status.Platform) {
	p.Unknown, p.AskedAt, p.Judgement, p.Note = v.unknown, v.askedAt, v.judgement, v.note
	if p.Trouble == "" && v.trouble != "" { // of this task alone
		p.Trouble, p.AnsweredAt = v.trouble, v.askedAt
	}
	if v.task == nil {
		return
	}
	r := v.task.Result
	p.Figures = &v1alpha1.PlatformStatus{
		ObservedTime: metav1.Time{Time: v.askedAt.UTC().Truncate(time.Second)},
		State:        stateOf(v.task.Status),
		Total:        r.Total, Waiting: r.Wait, Processing: r.Processing, Succeeded: r.Success,
		Failed: failed(r), Stopped: r.Stop, Repaired: v.repaired,
	}
}

// failed is how many devices failed or timed out, without those that were stopped.
func failed(r platform.StaResult) int64 { return max(0, r.Failed()-r.Stop) }

// stateOf is the platform's state in the words of the API. What is not documented is Unknown.
func stateOf(s platform.TaskStatus) v1alpha1.PlatformState {
	switch s {
	case platform.TaskWaiting:
		return v1alpha1.PlatformWaiting
	case platform.TaskProcessing:
		return v1alpha1.PlatformProcessing
	case platform.TaskSucceeded:
		return v1alpha1.PlatformSucceeded
	case platform.TaskFailed:
		return v1alpha1.PlatformFailed
	case platform.TaskStopped:
		return v1alpha1.PlatformStopped
	}
	return v1alpha1.PlatformUnknown
}

// isRunning says whether the platform still works on a task. One that failed may be tried again, and is then running.
func isRunning(t *platform.Task) bool {
	return t.Status == platform.TaskWaiting || t.Status == platform.TaskProcessing
}
