// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import "time"

const (
	// roundsBetweenSweeps is how many rounds later results are asked for again that were not found: the list of sub-tasks
	// may lag some minutes behind the figures.
	roundsBetweenSweeps = 3
	// driftShare is the part of the calls that asking for the results of a drift may take, without waiting longer than to
	// the next look.
	driftShare = 100
	// maxDriftApart is how far apart the sweeps of a drift are at most.
	maxDriftApart = 24 * time.Hour
)

// sweepAgainAfter is how long after the last look the results of a task are asked for again, after so many sweeps in a
// row that found nothing, the last one with so many pages. A drift is asked for at each look, as what was late may be
// there; but where that takes many pages it is ever less often, until it is once a day.
func sweepAgainAfter(swept, pages int, callsPerMinute int64, period time.Duration) time.Duration {
	if swept < maxSweeps {
		return roundsBetweenSweeps * period
	}
	apart := time.Duration(driftShare*pages) * time.Minute / time.Duration(max(1, callsPerMinute))
	if apart <= drifterPeriod {
		return drifterPeriod
	}
	return min(apart<<min(swept-maxSweeps, maxDoublings), maxDriftApart)
}
