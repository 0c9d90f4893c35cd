// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

// model is the tally as one would write it without regard to memory or time: all results of each device.
type model map[result.Task]map[string][]result.Result

func modelOf(results []result.Result) model {
	m := model{}
	for _, r := range results {
		r.ReceivedAt = max(r.ReceivedAt, 1)
		r.StatusDesc = strings.ReplaceAll(r.StatusDesc, "\r\n", "\n")
		if m[r.Task] == nil {
			m[r.Task] = map[string][]result.Result{}
		}
		m[r.Task][r.DeviceID] = append(m[r.Task][r.DeviceID], r)
	}
	return m
}

// modelDevice is what the results of one device amount to.
type modelDevice struct {
	best     result.Result
	failedAt int64
}

func deviceOf(results []result.Result) modelDevice {
	states := resulttest.States()
	best := slices.MaxFunc(results, func(a, b result.Result) int {
		return cmp.Or(
			slices.Index(states, a.State)-slices.Index(states, b.State),
			cmp.Compare(a.ReceivedAt, b.ReceivedAt),
			cmp.Compare(a.Digest(), b.Digest()),
		)
	})
	var failures []int64
	for _, r := range results {
		if r.State == storage.StateFailed {
			failures = append(failures, r.ReceivedAt)
		}
		if r.FailedAt != 0 && (r.State == storage.StateFailed || r.State == storage.StateSucceeded) {
			failures = append(failures, r.FailedAt)
		}
	}
	device := modelDevice{best: best}
	if len(failures) > 0 {
		device.failedAt = slices.Min(failures)
	}
	return device
}

func (m model) devices(task result.Task) map[string]modelDevice {
	devices := map[string]modelDevice{}
	for id, results := range m[task] {
		devices[id] = deviceOf(results)
	}
	return devices
}

// target is what most of the devices that decide were to get.
func (m model) target(task result.Task, q tally.Query) string {
	counts := map[string]int{}
	for id, d := range m.devices(task) {
		if d.best.State == storage.StateSucceeded && (len(q.Devices) == 0 || slices.Contains(q.Devices, id)) {
			counts[d.best.TargetVersion]++
		}
	}
	delete(counts, "")
	targets := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(b, a))
	})
	return cmp.Or(append([]string{q.TargetVersion}, targets...)...)
}

func (m model) summary(task result.Task, q tally.Query) tally.Summary {
	q.TargetVersion = m.target(task, q)
	var s tally.Summary
	var failed []result.Result
	for _, d := range m.devices(task) {
		if d.failedAt != 0 {
			s.Failures++
		}
		switch d.best.State {
		case storage.StateSucceeded:
			s.Succeeded++
			if d.failedAt != 0 {
				s.Recovered++
			}
			if isSuspect(d.best, q.TargetVersion) {
				s.Suspect++
			}
		case storage.StateFailed:
			s.Failed++
			failed = append(failed, d.best)
		default:
			s.InProgress++
		}
	}
	for _, results := range m[task] {
		for _, r := range results {
			for _, at := range []int64{r.ReceivedAt, r.FirstReceivedAt, r.LastReceivedAt} {
				if at != 0 && (s.FirstReceivedAt == 0 || at < s.FirstReceivedAt) {
					s.FirstReceivedAt = at
				}
				s.LastReceivedAt = max(s.LastReceivedAt, at)
			}
		}
	}
	slices.SortFunc(failed, func(a, b result.Result) int {
		return cmp.Or(cmp.Compare(b.ReceivedAt, a.ReceivedAt), cmp.Compare(a.DeviceID, b.DeviceID))
	})
	s.Causes = modelCauses(failed)
	for _, r := range failed[:min(20, len(failed))] {
		s.FailedDevices = append(s.FailedDevices, tally.FailedDevice{
			DeviceID: r.DeviceID, SubOperationID: r.SubOperationID, Cause: tally.Cause(r.StatusDesc),
			CurVersion: r.CurVersion, ReceivedAt: r.ReceivedAt,
		})
	}
	s.Listed, s.Missing = m.listed(task, q)
	m.addSamples(&s, task, q)
	return s
}

// addSamples names devices of every kind, the listed ones first.
func (m model) addSamples(s *tally.Summary, task result.Task, q tally.Query) {
	devices := m.devices(task)
	ids := slices.Sorted(maps.Keys(devices))
	listedFirst := func(a, b string) int {
		in := func(id string) int { return map[bool]int{true: 0, false: 1}[slices.Contains(q.Devices, id)] }
		return in(a) - in(b)
	}
	for _, id := range ids {
		switch best := devices[id].best; {
		case best.State == storage.StateSucceeded && isSuspect(best, q.TargetVersion):
			s.SuspectDevices = append(s.SuspectDevices, tally.SuspectDevice{
				DeviceID: id, TargetVersion: best.TargetVersion, CurVersion: best.CurVersion,
			})
		case best.State != storage.StateSucceeded && best.State != storage.StateFailed:
			d := tally.InProgressDevice{DeviceID: id, State: best.State, ReceivedAt: best.ReceivedAt}
			if best.State == "Unheard" {
				d.State = tally.StateUnknown
			}
			s.InProgressDevices = append(s.InProgressDevices, d)
		}
		if len(q.Devices) > 0 && !slices.Contains(q.Devices, id) {
			s.Unexpected = append(s.Unexpected, id)
		}
	}
	slices.SortStableFunc(s.SuspectDevices, func(a, b tally.SuspectDevice) int {
		return listedFirst(a.DeviceID, b.DeviceID)
	})
	slices.SortStableFunc(s.InProgressDevices, func(a, b tally.InProgressDevice) int {
		return cmp.Or(listedFirst(a.DeviceID, b.DeviceID), cmp.Compare(a.ReceivedAt, b.ReceivedAt))
	})
	s.SuspectDevices = s.SuspectDevices[:min(20, len(s.SuspectDevices))]
	s.InProgressDevices = s.InProgressDevices[:min(20, len(s.InProgressDevices))]
	s.Unexpected = s.Unexpected[:min(20, len(s.Unexpected))]
}

func (m model) listed(task result.Task, q tally.Query) (listed tally.Listed, missing []string) {
	devices := m.devices(task)
	for _, id := range q.Devices {
		d, reported := devices[id]
		if reported {
			at := d.best.ReceivedAt
			if listed.FirstReceivedAt == 0 || at < listed.FirstReceivedAt {
				listed.FirstReceivedAt = at
			}
			listed.LastReceivedAt = max(listed.LastReceivedAt, at)
		}
		switch {
		case !reported:
			missing = append(missing, id)
		case d.best.State == storage.StateSucceeded:
			listed.Succeeded++
			if isSuspect(d.best, q.TargetVersion) {
				listed.Suspect++
			}
		case d.best.State == storage.StateFailed:
			listed.Failed++
		default:
			listed.InProgress++
		}
	}
	return listed, missing[:min(20, len(missing))]
}

func isSuspect(r result.Result, wanted string) bool {
	if wanted == "" {
		return r.CurVersion != "" && r.TargetVersion != "" && r.CurVersion != r.TargetVersion
	}
	return r.CurVersion != "" && r.CurVersion != wanted || r.TargetVersion != "" && r.TargetVersion != wanted
}

// exampleOf is the text of a failure, unless it is the cause itself.
func exampleOf(cause string, r result.Result) string {
	if text := result.Clean(r.StatusDesc, 256); text != cause && cause != tally.CauseOther {
		return text
	}
	return ""
}

// modelCauses groups failures, which are sorted with the newest first.
func modelCauses(failed []result.Result) []tally.CauseCount {
	var causes []tally.CauseCount
	add := func(cause string, r result.Result) {
		i := slices.IndexFunc(causes, func(r tally.CauseCount) bool { return r.Cause == cause })
		if i < 0 {
			i = len(causes)
			causes = append(causes, tally.CauseCount{Cause: cause, Example: exampleOf(cause, r)})
		}
		causes[i].Count++
		if len(causes[i].Devices) < 3 {
			causes[i].Devices = append(causes[i].Devices, r.DeviceID)
		}
	}
	for _, r := range failed {
		add(tally.Cause(r.StatusDesc), r)
	}
	slices.SortFunc(causes, func(a, b tally.CauseCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cause, b.Cause))
	})
	if len(causes) <= 10 {
		return causes
	}
	top := slices.Clone(causes[:10])
	causes = nil
	for _, r := range failed {
		cause := tally.Cause(r.StatusDesc)
		if !slices.ContainsFunc(top, func(t tally.CauseCount) bool { return t.Cause == cause }) {
			add(tally.CauseOther, r)
		}
	}
	return append(top, causes...)
}
