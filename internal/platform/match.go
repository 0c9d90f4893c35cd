// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"maps"
	"strings"
	"time"

	"fwupgrade.io/operator/internal/result"
)

// Matches says whether a task is what a request asks for, of a package with this fileVersion; empty: of any. The
// platform does not tell the package itself, nor who created the task. What it leaves out does not speak against the
// task where it is the default, or a name beside others: who takes another's task for his own has a wave that was not
// asked for like this, but who does not know his own creates a second one.
func (t Task) Matches(r TaskRequest, fileVersion string) bool {
	return t.Targets.match(r.Targets) && t.Policy.Matches(r.Start, r.End, r.Retries) &&
		agree(t.FileVersion, fileVersion)
}

// match says whether targets of the platform are those of a request: the same devices, or the same groups, in whatever
// order and however often.
func (t Targets) match(asked Targets) bool {
	return sameNames(t.Devices, asked.Devices) && sameNames(t.DeviceGroups, asked.DeviceGroups) &&
		agree(t.DeviceType, asked.DeviceType) && agree(t.Model, asked.Model) &&
		agree(t.ManufacturerName, asked.ManufacturerName)
}

func sameNames(a, b []string) bool { return maps.Equal(setOf(a), setOf(b)) }

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// agree says whether a name of the platform, as it may be shown, is the one that was asked for, where both are given.
func agree(told, asked string) bool {
	return told == "" || asked == "" || told == result.Shorten(asked, maxTextBytes)
}

// Matches says whether a policy is what a request asks for: the window to the second, both times zero for at once; and
// how often failed devices are tried again.
func (p Policy) Matches(start, end time.Time, retries int) bool {
	return p.matchesWindow(start, end) && p.matchesRetries(int64(retries))
}

// matchesWindow takes no execution for the one that fits the times. What a task says of times that is executed at once
// is no window.
func (p Policy) matchesWindow(start, end time.Time) bool {
	if start.IsZero() && end.IsZero() {
		return strings.EqualFold(p.ExecuteType, executeNow) ||
			p.ExecuteType == "" && p.StartTime.IsZero() && p.EndTime.IsZero()
	}
	return (strings.EqualFold(p.ExecuteType, executeCustom) || p.ExecuteType == "") &&
		sameSecond(p.StartTime, start) && sameSecond(p.EndTime, end)
}

func sameSecond(a, b time.Time) bool { return a.Unix() == b.Unix() }

// matchesRetries takes a number without the word that there are retries for their number, and the word without a number
// for any.
func (p Policy) matchesRetries(retries int64) bool {
	switch {
	case p.Retry && p.RetryTimes == 0:
		return retries > 0
	case p.Retry:
		return p.RetryTimes == retries
	}
	return retries == 0 || p.RetryTimes == retries
}
