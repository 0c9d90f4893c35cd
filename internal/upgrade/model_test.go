// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade_test

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// model is the tally as one would write it without regard to memory or time: all results of each device.
type model map[upgrade.Task]map[string][]upgrade.Result

func modelOf(results []upgrade.Result) model {
	m := model{}
	for _, r := range results {
		r.ReceivedAt = max(r.ReceivedAt, 1)
		r.StatusDesc = strings.ReplaceAll(r.StatusDesc, "\r\n", "\n")
		if m[r.Task] == nil {
			m[r.Task] = map[string][]upgrade.Result{}
		}
		m[r.Task][r.DeviceID] = append(m[r.Task][r.DeviceID], r)
	}
	return m
}

// modelDevice is what the results of one device amount to.
type modelDevice struct {
	best     upgrade.Result
	failedAt int64
}

func deviceOf(results []upgrade.Result) modelDevice {
	best := slices.MaxFunc(results, func(a, b upgrade.Result) int {
		return cmp.Or(
			slices.Index(states, a.State)-slices.Index(states, b.State),
			cmp.Compare(a.ReceivedAt, b.ReceivedAt),
			cmp.Compare(a.Digest(), b.Digest()),
		)
	})
	var failures []int64
	for _, r := range results {
		if r.State == v1alpha1.StateFailed {
			failures = append(failures, r.ReceivedAt)
		}
		if r.FailedAt != 0 && (r.State == v1alpha1.StateFailed || r.State == v1alpha1.StateSucceeded) {
			failures = append(failures, r.FailedAt)
		}
	}
	device := modelDevice{best: best}
	if len(failures) > 0 {
		device.failedAt = slices.Min(failures)
	}
	return device
}

func (m model) devices(task upgrade.Task) map[string]modelDevice {
	devices := map[string]modelDevice{}
	for id, results := range m[task] {
		devices[id] = deviceOf(results)
	}
	return devices
}

func (m model) summary(task upgrade.Task, q upgrade.Query) upgrade.Summary {
	var s upgrade.Summary
	var failed []upgrade.Result
	for _, d := range m.devices(task) {
		if d.failedAt != 0 {
			s.Failures++
		}
		switch d.best.State {
		case v1alpha1.StateSucceeded:
			s.Succeeded++
			if d.failedAt != 0 {
				s.Recovered++
			}
			if isSuspect(d.best, q.TargetVersion) {
				s.Suspect++
			}
		case v1alpha1.StateFailed:
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
	slices.SortFunc(failed, func(a, b upgrade.Result) int {
		return cmp.Or(cmp.Compare(b.ReceivedAt, a.ReceivedAt), cmp.Compare(a.DeviceID, b.DeviceID))
	})
	s.Reasons = modelReasons(failed)
	for _, r := range failed[:min(20, len(failed))] {
		s.FailedDevices = append(s.FailedDevices, v1alpha1.FailedDevice{
			DeviceID: r.DeviceID, SubOperationID: r.SubOperationID, Reason: upgrade.Reason(r.StatusDesc),
			CurVersion: r.CurVersion, ReceivedAt: metav1.NewTime(time.Unix(r.ReceivedAt/1_000_000, 0)),
		})
	}
	if len(m[task]) > 0 {
		m.lookUp(task, q.Devices, &s)
	}
	return s
}

func (m model) lookUp(task upgrade.Task, devices []string, s *upgrade.Summary) {
	for i, device := range devices {
		if slices.Contains(devices[:i], device) {
			continue
		}
		if m[task][device] != nil {
			s.Known++
		} else if len(s.Missing) < 20 {
			s.Missing = append(s.Missing, device)
		}
	}
}

func isSuspect(r upgrade.Result, wanted string) bool {
	if wanted == "" {
		return r.CurVersion != "" && r.TargetVersion != "" && r.CurVersion != r.TargetVersion
	}
	return r.CurVersion != "" && r.CurVersion != wanted || r.TargetVersion != "" && r.TargetVersion != wanted
}

// modelReasons groups failures, which are sorted with the newest first.
func modelReasons(failed []upgrade.Result) []v1alpha1.ReasonCount {
	var reasons []v1alpha1.ReasonCount
	add := func(reason, device string) {
		i := slices.IndexFunc(reasons, func(r v1alpha1.ReasonCount) bool { return r.Reason == reason })
		if i < 0 {
			i = len(reasons)
			reasons = append(reasons, v1alpha1.ReasonCount{Reason: reason})
		}
		reasons[i].Count++
		if len(reasons[i].Devices) < 3 {
			reasons[i].Devices = append(reasons[i].Devices, device)
		}
	}
	for _, r := range failed {
		add(upgrade.Reason(r.StatusDesc), r.DeviceID)
	}
	slices.SortFunc(reasons, func(a, b v1alpha1.ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	if len(reasons) <= 10 {
		return reasons
	}
	top := slices.Clone(reasons[:10])
	reasons = nil
	for _, r := range failed {
		reason := upgrade.Reason(r.StatusDesc)
		if !slices.ContainsFunc(top, func(t v1alpha1.ReasonCount) bool { return t.Reason == reason }) {
			add(upgrade.ReasonOther, r.DeviceID)
		}
	}
	return append(top, reasons...)
}
