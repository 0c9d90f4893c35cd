// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"strings"
	"time"

	"fwupgrade.io/operator/internal/result"
)

// The platform does not tell the package of a task, nor who created it: a task is recognised by its targets, its policy
// and the version of its package. What the platform leaves out does not speak against the task where it is the default,
// or a name beside others: who takes another's task for his own has a wave that was not asked for like this, but who
// does not know his own creates a second one.

// AreOfKind says whether the devices of targets are what was asked for, as far as both say it.
func (t Targets) AreOfKind(deviceType, model, manufacturerName string) bool {
	return Agrees(t.DeviceType, deviceType) && Agrees(t.Model, model) && Agrees(t.ManufacturerName, manufacturerName)
}

// Agrees says whether a name of the platform, as it may be shown, is the one that was asked for, where both are given.
func Agrees(told, asked string) bool {
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
