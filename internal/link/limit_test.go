// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"testing"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/tally"
)

// Who may call more often asks for more in a round, makes rounds sooner, and does not take for too long what would have
// taken more than a day before.
func TestSetCallsPerMinute(t *testing.T) {
	w := newWorld(t, northbound.Options{}, onlyRounds)
	missing := platform.StaResult{Total: 200_000, Success: 200_000}
	for _, c := range []struct {
		calls, gets  int
		round, sweep time.Duration
	}{
		{1, 1, 30 * time.Minute, 2001 * 3 * time.Minute / 2},
		{60, 40, 30 * time.Second, 2001 * time.Minute / 40},
	} {
		w.SetCallsPerMinute(c.calls)
		gets, round, sweep := w.maxGets(), w.stretched(10), w.sweepTakes(missing, tally.Summary{})
		if gets != c.gets || round != c.round || sweep != c.sweep {
			t.Errorf("with %d calls a minute: %d tasks a round, a round of 10 calls lasts %s, a sweep %s", c.calls, gets, round,
				sweep)
		}
	}
}
