// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// storedSlice is what the leader remembers of a slice: enough to choose slices for compaction and retention.
type storedSlice struct {
	// ObjectMeta holds name, UID and creation time, and makes the Reflector take it for an object.
	metav1.ObjectMeta
	// tasks are the tasks it has results of, each once, and resultsOf how many of each.
	tasks     []upgrade.Task
	resultsOf []int
	// sorted says that it is the product of compaction and holds one task.
	sorted bool
	// results, rejected and released are how many of each it has.
	results, rejected, released int
	// lastRejection is why its last rejected notification could not be used.
	lastRejection string
	// releases are its released tasks.
	releases []v1alpha1.ReleasedTask
	// lastReceivedAt is when the newest of its results arrived, in microseconds since 1970.
	lastReceivedAt int64
	// bytes is about how large it is.
	bytes int
	// spec is what it holds, where that is kept for compaction: small mixed slices, until there are maxInputBytes of them.
	spec *v1alpha1.FirmwareUpgradeResultSliceSpec
	// retired says that this process has deleted it, which the watch has not told yet. Guarded by the index.
	retired bool
	// unreadable says what of it can't be read, nil if all can. Another version may: it is neither compacted nor removed.
	unreadable error
}

// newStoredSlice returns what is to be remembered of a slice, and its results.
func newStoredSlice(s *v1alpha1.FirmwareUpgradeResultSlice) (info *storedSlice, results []upgrade.Result) {
	results, err := upgrade.Unpack(&s.Spec)
	info = &storedSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, UID: s.UID,
			ResourceVersion: s.ResourceVersion, CreationTimestamp: s.CreationTimestamp,
		},
		sorted:   s.Labels[v1alpha1.LabelTask] != "",
		results:  len(results),
		rejected: len(s.Spec.Rejected), released: len(s.Spec.Released),
		releases:   s.Spec.Released,
		bytes:      upgrade.Size(s.Spec.Tables) + rejectedBytes(s.Spec.Rejected),
		unreadable: err,
	}
	if n := len(s.Spec.Rejected); n > 0 {
		info.lastRejection = s.Spec.Rejected[n-1].Reason
	}
	seen := map[upgrade.Task]int{}
	for i := range results {
		info.lastReceivedAt = max(info.lastReceivedAt, results[i].ReceivedAt, results[i].LastReceivedAt)
		n, ok := seen[results[i].Task]
		if !ok {
			task := upgrade.Task{AppID: strings.Clone(results[i].AppID), OperationID: strings.Clone(results[i].OperationID)}
			n = len(info.tasks)
			seen[task] = n
			info.tasks, info.resultsOf = append(info.tasks, task), append(info.resultsOf, 0)
		}
		info.resultsOf[n]++
	}
	if info.mixed() && !info.large() {
		info.spec = &s.Spec
	}
	return info, results
}

func rejectedBytes(rejected []v1alpha1.RejectedNotification) int {
	bytes := 0
	for i := range rejected {
		bytes += len(rejected[i].Reason) + len(rejected[i].Body)
	}
	return bytes
}

// mixed says whether the slice holds results of any tasks: from the webhook, or gathered.
func (s *storedSlice) mixed() bool { return !s.sorted && len(s.tasks) > 0 && s.unreadable == nil }

// fresh says whether the slice is one that compaction has not made yet.
func (s *storedSlice) fresh() bool { return s.mixed() && !strings.HasPrefix(s.Name, mergedPrefix) }

// ofOneTask says whether the slice is one that compaction made for a task.
func (s *storedSlice) ofOneTask() bool { return s.sorted && len(s.tasks) == 1 && s.unreadable == nil }

// large says whether the slice is as large as compaction makes it.
func (s *storedSlice) large() bool { return s.bytes >= smallSlice }
