// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"
	"strings"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// samples names devices of a task for a summary: those of the query first, then the others. However many devices there
// are, it looks at a bounded number of them.
type samples struct {
	task   *taskTally
	keys   keyring
	query  Query
	listed map[string]bool // the devices of the query; nil where there is nothing to be told apart

	inProgress best[InProgressDevice]
	suspect    best[SuspectDevice]
	unexpected best[string]
}

func newSamples(task *taskTally, keys keyring, q Query) *samples {
	s := &samples{task: task, keys: keys, query: q}
	s.inProgress = best[InProgressDevice]{limit: maxSampleDevices, compare: func(a, b InProgressDevice) int {
		return cmp.Or(
			s.compareListed(a.DeviceID, b.DeviceID),
			cmp.Compare(a.ReceivedAt, b.ReceivedAt),
			strings.Compare(a.DeviceID, b.DeviceID),
		)
	}}
	s.suspect = best[SuspectDevice]{limit: maxSampleDevices, compare: func(a, b SuspectDevice) int {
		return cmp.Or(s.compareListed(a.DeviceID, b.DeviceID), strings.Compare(a.DeviceID, b.DeviceID))
	}}
	s.unexpected = best[string]{limit: maxSampleDevices, compare: strings.Compare}
	return s
}

// compareListed sorts devices of the query first.
func (s *samples) compareListed(a, b string) int {
	switch {
	case s.listed[a] == s.listed[b]:
		return 0
	case s.listed[a]:
		return -1
	default:
		return 1
	}
}

// lookUp counts the listed devices that have reported and names the first that have not.
func (s *samples) lookUp() (listed Listed, missing []string) {
	var received result.Span
	for _, device := range s.query.Devices {
		record, known := s.task.devices[s.keys.key(device)]
		if !known {
			if len(missing) < maxMissingDevices {
				missing = append(missing, device)
			}
			continue
		}
		listed.count(record, record.rank == result.RankSucceeded && s.isSuspect(record.versions()))
		received.Include(record.receivedAt)
		received.Include(record.lastReceivedAt())
	}
	listed.FirstReceivedAt, listed.LastReceivedAt = received.First, received.Last
	return listed, missing
}

func (l *Listed) count(record deviceRecord, suspect bool) {
	switch record.rank {
	case result.RankSucceeded:
		l.Succeeded++
		if suspect {
			l.Suspect++
		}
	case result.RankFailed:
		l.Failed++
		if record.retried() {
			l.Retried++
		}
	default:
		l.InProgress++
	}
}

func (s *samples) isSuspect(ref versionsRef) bool {
	return s.task.successes.isSuspect(ref, s.query.TargetVersion)
}

// scan offers devices of every kind that the summary counts.
func (s *samples) scan(summary Summary) {
	if len(s.query.Devices) > 0 && summary.Reported() > 0 {
		s.listed = make(map[string]bool, len(s.query.Devices))
		for _, device := range s.query.Devices {
			s.listed[device] = true
		}
	}
	for _, device := range s.query.Devices { // wherever they are, they are not overlooked
		if record, known := s.task.devices[s.keys.key(device)]; known {
			s.offer(device, record)
		}
	}
	s.scanUnderway()
	s.scanSucceeded(summary)
	if summary.Reported() > summary.Listed.Reported() && s.listed != nil {
		for _, f := range s.task.failures.newest(maxNames) {
			s.offerUnexpected(f.DeviceID)
		}
	}
}

func (s *samples) scanUnderway() {
	for _, device := range s.task.underway[:min(len(s.task.underway), maxScannedDevices)] {
		s.offerUnexpected(device)
		if !s.listed[device] {
			s.offer(device, s.task.devices[s.keys.key(device)])
		}
	}
}

// scanSucceeded looks at devices that are suspect, and at all that succeeded where some may be unexpected.
func (s *samples) scanSucceeded(summary Summary) {
	strangers := s.listed != nil && summary.Succeeded > summary.Listed.Succeeded
	if !strangers && summary.Suspect == 0 {
		return
	}
	left := maxScannedDevices
	for i, pair := range s.task.successes.pairs {
		suspect := s.isSuspect(versionsRef(i)) //nolint:gosec // As versionCounts.open made it.
		if !strangers && !suspect {
			continue
		}
		for _, device := range pair.names[:min(len(pair.names), left)] {
			s.offerUnexpected(device)
			if suspect && !s.listed[device] {
				s.offerSuspect(device, pair.versions)
			}
		}
		left -= min(len(pair.names), left)
	}
}

// offer offers a device to the samples of those in progress and of suspect ones.
func (s *samples) offer(device string, record deviceRecord) {
	switch {
	case isUnderway(record.rank):
		s.inProgress.offer(InProgressDevice{device, stateOf(record.rank), record.receivedAt})
	case record.rank == result.RankSucceeded && s.isSuspect(record.versions()):
		s.offerSuspect(device, s.task.successes.pairs[record.versions()].versions)
	}
}

func (s *samples) offerSuspect(device string, v versions) {
	s.suspect.offer(SuspectDevice{DeviceID: device, TargetVersion: v.target, CurVersion: v.current})
}

func (s *samples) offerUnexpected(device string) {
	if s.listed != nil && !s.listed[device] {
		s.unexpected.offer(device)
	}
}

// stateOf is the state of a rank below a failure; one that is not known by this version is StateUnknown.
func stateOf(rank result.Rank) storage.State {
	switch rank {
	case result.RankIdle:
		return storage.StateIdle
	case result.RankDownloading:
		return storage.StateDownloading
	case result.RankDownloaded:
		return storage.StateDownloaded
	case result.RankUpdating:
		return storage.StateUpdating
	default:
		return StateUnknown
	}
}

// StateUnknown stands for a step that a newer version stored and this one does not know.
const StateUnknown storage.State = "Unknown"
