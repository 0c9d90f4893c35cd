// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"fwupgrade.io/operator/api/v1alpha1"
)

// barCells is how long a bar is.
const barCells = 40

// bar draws the devices as a bar: succeeded, failed, in progress, pending. It never looks better than it is: whatever
// is not zero has a cell, and the bar is full only when all are done.
func (l look) bar(c v1alpha1.DeviceCounts) string {
	counts := []int64{c.Succeeded, c.Failed, c.InProgress, c.Pending}
	signs := []string{"█", "▓", "▒", "░"}
	if !l.unicode {
		signs = []string{"#", "x", ">", "."}
	}
	colours := []string{green, red, yellow, grey}
	var b strings.Builder
	for i, cells := range divide(counts, barCells) {
		b.WriteString(l.paint(colours[i], strings.Repeat(signs[i], cells)))
	}
	return "[" + b.String() + "]"
}

// divide divides cells among counts in proportion, rounded down, but gives each count that is not zero one at least.
// What rounding leaves goes to the last of the counts that are not zero, the one farthest from done.
func divide(counts []int64, cells int) []int {
	parts := make([]int, len(counts))
	total, last := int64(0), 0
	for i, n := range counts {
		total += n
		if n > 0 {
			last = i
		}
	}
	if total == 0 {
		parts[len(parts)-1] = cells
		return parts
	}
	left := cells
	for i, n := range counts {
		if n > 0 {
			parts[i] = max(1, int(float64(n)/float64(total)*float64(cells)))
			left -= parts[i]
		}
	}
	parts[last] += left
	for i := range parts { // a last one that got less than nothing takes from the largest
		if parts[i] < 1 && counts[i] > 0 {
			largest := 0
			for j := range parts {
				if parts[j] > parts[largest] {
					largest = j
				}
			}
			parts[largest] -= 1 - parts[i]
			parts[i] = 1
		}
	}
	return parts
}

// percent is how much is done, rounded down, so that 100 means all.
func percent(done, of int64) int64 {
	if of <= 0 {
		return 0
	}
	return min(done, of) * 100 / of
}
