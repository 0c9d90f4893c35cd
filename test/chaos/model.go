// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// stored is what the slices hold of each device of each task, joined.
type stored map[result.Task]map[string]result.Result

// joinSlices reads the slices.
func joinSlices(slices []storage.ResultSlice) (stored, error) {
	all := stored{}
	for i := range slices {
		results, err := result.Unpack(slices[i].Tables)
		if err != nil {
			return nil, fmt.Errorf("slice %s: %w", slices[i].Name, err)
		}
		for _, r := range results {
			devices := all[r.Task]
			if devices == nil {
				devices = map[string]result.Result{}
				all[r.Task] = devices
			}
			if before, known := devices[r.DeviceID]; known {
				r = result.Join(before, r)
			} else {
				r.Normalize()
			}
			devices[r.DeviceID] = r
		}
	}
	return all, nil
}

// checkStored compares what is stored of a task with the answers: what was answered 200 has to be there, and what was
// never pushed must not be.
func checkStored(l *life, devices map[string]known, have map[string]result.Result) []string {
	var problems []string
	for id, k := range devices {
		r, there := have[id]
		switch {
		case l.purged && k.phase == 0:
			// A push that got no answer, or 503, may be stored for as long as the API server and its etcd hang.
			if there && k.unclear.Before(l.deleted.Add(-lateWrite)) {
				problems = append(problems, fmt.Sprintf("%s was purged and is stored: %s", id, r.State))
			}
		case there:
			if problem := k.contradiction(r); problem != "" {
				problems = append(problems, fmt.Sprintf("%s: %s", id, problem))
			}
		case k.certain.any():
			problems = append(problems, fmt.Sprintf("LOST %s: was answered 200 (%b) and is not stored", id, k.certain))
		}
	}
	for id := range have {
		if _, pushed := devices[id]; !pushed {
			problems = append(problems, fmt.Sprintf("%s is stored and was never pushed", id))
		}
	}
	return problems
}

// lateWrite is how long after a push that got no clear answer it may still be stored, while faults strike.
const lateWrite = time.Minute

// contradiction says how a stored result can't have come from what was pushed; empty where it can.
func (k known) contradiction(r result.Result) string {
	may := k.certain | k.possible
	failure := may.has(reportFailure)
	switch rank := result.RankOf(r.State); {
	case rank == result.RankSucceeded && !may.success():
		return "is stored as succeeded, which was never pushed"
	case rank != result.RankSucceeded && k.certain.success():
		return "LOST: a success was answered 200, and it is stored as " + string(r.State)
	case rank == result.RankFailed && !failure:
		return "is stored as failed, which was never pushed"
	case rank < result.RankFailed && k.certain.has(reportFailure):
		return "LOST: a failure was answered 200, and it is stored as " + string(r.State)
	case r.FailedAt != 0 && !failure:
		return "is stored with a failure, which was never pushed"
	case r.FailedAt == 0 && k.certain.has(reportFailure):
		return "LOST: its failure was answered 200"
	case rank < result.RankFailed && rank < k.certain.step():
		return "LOST: a later step was answered 200, and it is stored as " + string(r.State)
	case rank < result.RankFailed && rank > may.step():
		return "is stored as " + string(r.State) + ", which was never pushed"
	case rank == result.RankSucceeded && r.CurVersion != targetVersion && !may.has(reportSuspect),
		rank == result.RankSucceeded && r.CurVersion == targetVersion && !may.has(reportSuccess):
		return "is stored with version " + r.CurVersion + ", which was never pushed"
	}
	return ""
}

// step is the rank of the last step among the reports.
func (r reports) step() result.Rank {
	switch {
	case r.has(reportUpdating):
		return result.RankUpdating
	case r.has(reportDownloading):
		return result.RankDownloading
	}
	return result.RankUnknown
}

// count counts the devices of a task as a status has to, for a spec.
func count(spec v1alpha1.FirmwareUpgradeSpec, have map[string]result.Result) v1alpha1.DeviceCounts {
	c := v1alpha1.DeviceCounts{}
	listed := int64(0)
	for id, r := range have {
		switch result.RankOf(r.State) {
		case result.RankSucceeded:
			c.Succeeded++
			if r.FailedAt != 0 {
				c.Recovered++
			}
			if r.CurVersion != targetVersion { // also where the spec names none: it is what most of them name
				c.Suspect++
			}
		case result.RankFailed:
			c.Failed++
		default:
			c.InProgress++
		}
		if slices.Contains(spec.Devices, id) {
			listed++
		}
	}
	reported := int64(len(have))
	switch {
	case len(spec.Devices) > 0:
		c.Expected = int64(len(spec.Devices))
		c.Pending, c.Unexpected = c.Expected-listed, reported-listed
	case spec.ExpectedDevices != nil:
		c.Expected = *spec.ExpectedDevices
		c.Pending, c.Unexpected = max(0, c.Expected-reported), max(0, reported-c.Expected)
	default:
		c.Expected = reported
	}
	return c
}

// bounds are the least and the greatest counts that the answers allow, for a task whose results are gone.
func bounds(devices map[string]known, phase int) (least, greatest v1alpha1.DeviceCounts) {
	for _, k := range devices {
		if k.phase != phase {
			continue
		}
		may := k.certain | k.possible
		if k.certain.success() {
			least.Succeeded++
		} else if k.certain.has(reportFailure) && !may.success() {
			least.Failed++
		}
		if may.success() {
			greatest.Succeeded++
		}
		if may.has(reportFailure) {
			greatest.Failed++
		}
	}
	return least, greatest
}
