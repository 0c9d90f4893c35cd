// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"fwupgrade.io/operator/api/v1alpha1"
)

// Pack makes the entries of a slice from results: one for each task and state, with what its results share in the
// entry instead of in each of them, and of at most v1alpha1.MaxTaskResults results. The same results in any order make
// the same entries: sorted by task and state, and within an entry by receive time and device.
func Pack(results []Result) []v1alpha1.TaskResults {
	normalized := slices.Clone(results)
	sorted := make([]*Result, len(normalized))
	for i := range normalized {
		normalized[i].Normalize()
		sorted[i] = &normalized[i]
	}
	slices.SortFunc(sorted, compareForPacking)

	var entries []v1alpha1.TaskResults
	for start := 0; start < len(sorted); {
		end := start + 1
		for end < len(sorted) && end-start < v1alpha1.MaxTaskResults && shareEntry(sorted[start], sorted[end]) {
			end++
		}
		entries = append(entries, packEntry(sorted[start:end]))
		start = end
	}
	return entries
}

// Unpack yields the results of a slice, normalized: the inverse of Pack. A field that the entry has holds for all its
// results, whatever they have. The strings share the memory of the spec.
func Unpack(spec *v1alpha1.FirmwareUpgradeResultSliceSpec) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		for i := range spec.Tasks {
			entry := &spec.Tasks[i]
			for j := range entry.Results {
				if !yield(unpackResult(entry, &entry.Results[j])) {
					return
				}
			}
		}
	}
}

// Count is how many results a slice has.
func Count(spec *v1alpha1.FirmwareUpgradeResultSliceSpec) int {
	count := 0
	for i := range spec.Tasks {
		count += len(spec.Tasks[i].Results)
	}
	return count
}

func compareTasks(a, b Task) int {
	return cmp.Or(strings.Compare(a.OperationID, b.OperationID), strings.Compare(a.AppID, b.AppID))
}

// compareForPacking orders results by entry, then by arrival. It goes through every field, so that the order of the
// input never shows.
func compareForPacking(a, b *Result) int {
	if c := compareTasks(a.Task, b.Task); c != 0 {
		return c
	}
	if c := cmp.Or(cmp.Compare(rankOf(a.State), rankOf(b.State)), strings.Compare(string(a.State), string(b.State)),
		cmp.Compare(a.ReceivedAt, b.ReceivedAt)); c != 0 {
		return c
	}
	return cmp.Or(
		strings.Compare(a.DeviceID, b.DeviceID),
		strings.Compare(a.SubOperationID, b.SubOperationID),
		strings.Compare(a.TargetVersion, b.TargetVersion),
		strings.Compare(a.SourceVersion, b.SourceVersion),
		strings.Compare(a.CurVersion, b.CurVersion),
		strings.Compare(a.StatusDesc, b.StatusDesc),
		strings.Compare(a.UpgradeTime, b.UpgradeTime),
		cmp.Compare(a.FailedAt, b.FailedAt),
	)
}

func shareEntry(a, b *Result) bool {
	return a.Task == b.Task && a.State == b.State
}

// packEntry makes one entry of at least one result.
func packEntry(results []*Result) v1alpha1.TaskResults {
	shared := results[0].ResultFields
	for _, result := range results[1:] {
		keepShared(&shared, &result.ResultFields)
	}
	entry := v1alpha1.TaskResults{
		AppID:        results[0].AppID,
		OperationID:  results[0].OperationID,
		ResultFields: shared,
		Results:      make([]v1alpha1.DeviceResult, len(results)),
	}
	for i, result := range results {
		entry.Results[i] = packResult(result, &shared)
	}
	return entry
}

func packResult(result *Result, shared *v1alpha1.ResultFields) v1alpha1.DeviceResult {
	packed := v1alpha1.DeviceResult{
		DeviceID:       result.DeviceID,
		SubOperationID: result.SubOperationID,
		ResultFields:   result.ResultFields,
		ReceivedAt:     result.ReceivedAt,
		FailedAt:       result.FailedAt,
	}
	clearShared(&packed.ResultFields, shared)
	if result.State == v1alpha1.StateFailed && result.FailedAt == result.ReceivedAt {
		packed.FailedAt = 0
	}
	return packed
}

func unpackResult(entry *v1alpha1.TaskResults, packed *v1alpha1.DeviceResult) Result {
	result := Result{
		Task:           Task{AppID: entry.AppID, OperationID: entry.OperationID},
		DeviceID:       packed.DeviceID,
		SubOperationID: packed.SubOperationID,
		ResultFields:   packed.ResultFields,
		ReceivedAt:     packed.ReceivedAt,
		FailedAt:       packed.FailedAt,
	}
	overlay(&result.ResultFields, &entry.ResultFields)
	result.Normalize()
	return result
}

// keepShared empties the fields of shared that differ in other.
func keepShared(shared, other *v1alpha1.ResultFields) {
	eachField(shared, other, func(field, otherField *string) {
		if *field != *otherField {
			*field = ""
		}
	})
	if shared.State != other.State {
		shared.State = ""
	}
}

// clearShared empties the fields that shared has.
func clearShared(fields, shared *v1alpha1.ResultFields) {
	eachField(fields, shared, func(field, sharedField *string) {
		if *sharedField != "" {
			*field = ""
		}
	})
	if shared.State != "" {
		fields.State = ""
	}
}

// overlay sets the fields that shared has.
func overlay(fields, shared *v1alpha1.ResultFields) {
	eachField(fields, shared, func(field, sharedField *string) {
		if *sharedField != "" {
			*field = *sharedField
		}
	})
	if shared.State != "" {
		fields.State = shared.State
	}
}

// eachField calls do with every string field of a and of b.
func eachField(a, b *v1alpha1.ResultFields, do func(a, b *string)) {
	do(&a.TargetVersion, &b.TargetVersion)
	do(&a.SourceVersion, &b.SourceVersion)
	do(&a.CurVersion, &b.CurVersion)
	do(&a.StatusDesc, &b.StatusDesc)
	do(&a.UpgradeTime, &b.UpgradeTime)
}
