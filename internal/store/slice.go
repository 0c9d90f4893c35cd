// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/base64"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// storedSlice is what the leader remembers of a slice: enough to choose slices for compaction, retention and purges.
type storedSlice struct {
	// ObjectMeta holds name, UID, resource version and creation time, and makes the Reflector take it for an object.
	metav1.ObjectMeta
	// tasks are the tasks it has results of, each once.
	tasks []heldTask
	// results is how many results it has.
	results int
	// singleTask says that compaction made it for the one task that its label names.
	singleTask bool
	// rejected are its rejected notifications, without their bodies.
	rejected []rejection
	// rejectedStored is when the webhook stored these, in microseconds since 1970-01-01 UTC; 0 where compaction has
	// moved them, and that does not matter.
	rejectedStored int64
	// releases are its records of released tasks.
	releases []storage.Release
	// bytes is about how large it is.
	bytes int
	// cached is what it holds, where compaction is about to need it: see index.insert.
	cached *storage.ResultSlice
	// unreadable says what of it can't be read, nil if all can. Another version may: it is neither rewritten nor
	// removed.
	unreadable error
	// unreadOperations are the operationIds that what can't be read may be of; "" stands for any.
	unreadOperations []string
}

// heldTask is a task that a slice has results of.
type heldTask struct {
	result.Task
	// results is how many the slice has of the task.
	results int
	// received are when the first and the last of these results count as received: see receivedAt.
	received result.Span
}

// rejection is a rejected notification, without its body.
type rejection struct {
	// receivedAt is when it arrived, in microseconds since 1970-01-01 UTC.
	receivedAt int64
	// reason is why it could not be used.
	reason string
}

// receivedAt is when a result counts as received for retention and purges: when the last notification arrived that went
// into it.
func receivedAt(r *result.Result) int64 { return max(r.ReceivedAt, r.LastReceivedAt) }

// newStoredSlice returns what is to be remembered of a slice, and its results.
func newStoredSlice(s *storage.ResultSlice) (stored *storedSlice, results []result.Result) {
	results, err := result.Unpack(s.Tables)
	stored = &storedSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, UID: s.UID,
			ResourceVersion: s.ResourceVersion, CreationTimestamp: s.CreationTimestamp,
		},
		results:    len(results),
		singleTask: s.Labels[storage.LabelTask] != "",
		releases:   s.Releases,
		bytes:      result.Size(s.Tables),
		unreadable: err,
	}
	if err != nil {
		for i := range s.Tables {
			stored.unreadOperations = append(stored.unreadOperations, strings.Clone(s.Tables[i].OperationID))
		}
	}
	for i := range s.Rejected {
		r := &s.Rejected[i]
		stored.rejected = append(stored.rejected, rejection{
			receivedAt: r.ReceiveTime.UnixMicro(), reason: strings.Clone(r.Reason),
		})
		stored.bytes += len(r.Reason) + len(r.Body) + base64.StdEncoding.EncodedLen(len(r.RawBody))
	}
	stored.rejectedStored = rejectedStored(s)
	seen := map[result.Task]int{}
	for i := range results {
		r := &results[i]
		n, known := seen[r.Task]
		if !known {
			task := result.Task{AppID: strings.Clone(r.AppID), OperationID: strings.Clone(r.OperationID)}
			n = len(stored.tasks)
			seen[task] = n
			stored.tasks = append(stored.tasks, heldTask{Task: task})
		}
		stored.tasks[n].results++
		stored.tasks[n].received.Include(receivedAt(r))
	}
	if stored.isMultiTask() && !stored.isLarge() {
		stored.cached = &storage.ResultSlice{Tables: s.Tables, Rejected: s.Rejected, Releases: s.Releases}
	}
	return stored, results
}

// hidesFrom says whether something that can't be read may be a result of a task that was received until a time, in
// microseconds since 1970-01-01 UTC.
func (s *storedSlice) hidesFrom(task result.Task, until int64) bool {
	if s.unreadable == nil ||
		!slices.ContainsFunc(s.unreadOperations, func(id string) bool { return id == "" || id == task.OperationID }) {
		return false
	}
	held := s.held(task)
	return held == nil || held.received.First <= until
}

// isMultiTask says whether the slice holds results of any tasks: as the webhook stored them, or as compaction gathered
// them.
func (s *storedSlice) isMultiTask() bool {
	return !s.singleTask && len(s.tasks) > 0 && s.unreadable == nil
}

// isOfOneTask says whether the slice is one that compaction made for a task.
func (s *storedSlice) isOfOneTask() bool {
	return s.singleTask && len(s.tasks) == 1 && s.unreadable == nil
}

// isLarge says whether the slice is as large as compaction makes it.
func (s *storedSlice) isLarge() bool { return s.bytes >= smallSlice }

// hasOnlyRejected says whether the slice holds rejected notifications and nothing else.
func (s *storedSlice) hasOnlyRejected() bool {
	return len(s.rejected) > 0 && len(s.tasks)+len(s.releases) == 0 && s.unreadable == nil
}

// hasOnlyReleases says whether the slice holds records of released tasks and nothing else, and nothing is left to do
// about them.
func (s *storedSlice) hasOnlyReleases() bool {
	return len(s.releases) > 0 && len(s.tasks)+len(s.rejected) == 0 && s.unreadable == nil && !s.isPurge()
}

// purge is the state of the purge that the slice is the record of; empty where it is of none.
func (s *storedSlice) purge() storage.PurgeState {
	if len(s.releases) != 1 {
		return ""
	}
	return s.releases[0].Purge
}

func (s *storedSlice) isPurge() bool { return s.purge() != "" }

// held returns what the slice holds of a task; nil if it holds none.
func (s *storedSlice) held(task result.Task) *heldTask {
	for i := range s.tasks {
		if s.tasks[i].Task == task {
			return &s.tasks[i]
		}
	}
	return nil
}

// rejectedSpan are when the first and the last of its rejected notifications arrived.
func (s *storedSlice) rejectedSpan() result.Span {
	var span result.Span
	for _, r := range s.rejected {
		span.Include(r.receivedAt)
	}
	return span
}

// taskOf is the task that a record of a release names.
func taskOf(r *storage.Release) result.Task {
	return result.Task{AppID: r.AppID, OperationID: r.OperationID}
}
