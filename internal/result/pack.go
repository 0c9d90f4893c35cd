// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// Pack makes the tables of a slice from results: one for each state. The same results in any order make the same
// tables: sorted by state, and within a table by task, receive time and device.
func Pack(results []Result) []storage.ResultTable {
	return packSorted(sortForPacking(results))
}

// Split packs results into as few slices as it can, in order, each of a Size of at most maxBytes. One that holds a
// single result may exceed that.
func Split(results []Result, maxBytes int) [][]storage.ResultTable {
	var slices [][]storage.ResultTable
	sorted := sortForPacking(results)
	for count := maxBytes / minRowBytes; len(sorted) > 0; {
		count = max(1, min(count, len(sorted)))
		tables := packSorted(sorted[:count])
		if size := Size(tables); size > maxBytes && count > 1 {
			// In proportion, and a little less, so that the second try does it unless the results differ much in size.
			count = min(count-1, count*maxBytes/size*31/32)
			continue
		}
		slices = append(slices, tables)
		sorted = sorted[count:]
		count += count / 8 // the results of the next may be smaller
	}
	return slices
}

// minRowBytes is what a result takes at least in a table, about.
const minRowBytes = 24

// Unpack returns the results of a slice, normalized: the inverse of Pack. The error says what can't be read; everything
// else is returned all the same. The strings share the memory of the tables.
func Unpack(tables []storage.ResultTable) ([]Result, error) {
	var results []Result
	var errs []error
	for i := range tables {
		var err error
		if results, err = appendTable(results, &tables[i]); err != nil {
			errs = append(errs, fmt.Errorf("table %d: %w", i, err))
		}
	}
	return results, errors.Join(errs...)
}

// sortForPacking returns the results normalized and in the order of Pack.
func sortForPacking(results []Result) []*Result {
	normalized := slices.Clone(results)
	sorted := make([]*Result, len(normalized))
	for i := range normalized {
		normalized[i].Normalize()
		sorted[i] = &normalized[i]
	}
	slices.SortFunc(sorted, compareForPacking)
	return sorted
}

func packSorted(sorted []*Result) []storage.ResultTable {
	var tables []storage.ResultTable
	for start := 0; start < len(sorted); {
		end := start + 1
		for end < len(sorted) && sorted[start].State == sorted[end].State {
			end++
		}
		tables = append(tables, newTable(sorted[start:end]))
		start = end
	}
	return tables
}

// CompareTasks orders tasks by OperationID, then AppID.
func CompareTasks(a, b Task) int {
	return cmp.Or(strings.Compare(a.OperationID, b.OperationID), strings.Compare(a.AppID, b.AppID))
}

// compareForPacking orders results by table, task and arrival. It goes through every field, so that the order of the
// input never shows.
func compareForPacking(a, b *Result) int {
	if c := cmp.Or(
		cmp.Compare(RankOf(a.State), RankOf(b.State)),
		cmp.Compare(a.State, b.State), // states that are not known have the same rank
		CompareTasks(a.Task, b.Task),
		cmp.Compare(a.ReceivedAt, b.ReceivedAt),
	); c != 0 {
		return c
	}
	for i := range columns {
		c := &columns[i]
		var order int
		if c.text != nil {
			order = strings.Compare(*c.text(a), *c.text(b))
		} else {
			order = cmp.Compare(*c.time(a), *c.time(b))
		}
		if order != 0 {
			return order
		}
	}
	return 0
}
