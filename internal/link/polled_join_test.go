// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

// joinStart is when the upgrade begins of which TestPolledJoin tells.
var joinStart = time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)

// history is what happened to a device on the platform: attempts, each of which but the last failed. A push of each
// may arrive, some time later and up to twice.
type history struct {
	device   string
	attempts []attempt
}

type attempt struct {
	status  platform.SubTaskStatus
	began   time.Time
	ended   time.Time
	detail  string
	version string // that the device says it has when it succeeded
	// arrivals are when pushes of the result arrive, steps, when those of a step of the attempt do.
	arrivals, steps []time.Time
}

func drawHistory(n int) *rapid.Generator[history] {
	return rapid.Custom(func(t *rapid.T) history {
		h := history{device: fmt.Sprintf("d%d", n)}
		at := joinStart
		minutes := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most*60_000).Draw(t, name)) * time.Millisecond
		}
		for range rapid.IntRange(1, 3).Draw(t, "attempts") {
			a := attempt{began: at.Add(time.Minute)}
			a.ended = a.began.Add(time.Minute + minutes("takes", 30))
			a.status = rapid.SampledFrom([]platform.SubTaskStatus{
				platform.SubTaskFailed, platform.SubTaskFailed, platform.SubTaskSucceeded, platform.SubTaskStopped,
			}).Draw(t, "status")
			if a.status == platform.SubTaskFailed {
				a.detail = rapid.SampledFrom([]string{"Invalid URI", "Out of memory", ""}).Draw(t, "detail")
			}
			a.version = rapid.SampledFrom([]string{"1.6", "1.6", "1.3"}).Draw(t, "version")
			for range rapid.IntRange(0, 2).Draw(t, "pushes") {
				a.arrivals = append(a.arrivals, a.ended.Add(time.Millisecond+minutes("late", 20)))
			}
			if rapid.Bool().Draw(t, "reports a step") {
				a.steps = append(a.steps, a.began.Add(time.Second))
			}
			h.attempts = append(h.attempts, a)
			if a.status != platform.SubTaskFailed {
				break
			}
			at = a.ended
		}
		return h
	})
}

var joinTask = result.Task{AppID: "app", OperationID: "op"}

// pushes are the notifications that arrive. A stopped device causes none.
func (h history) pushes() (all []result.Result) {
	for n, a := range h.attempts {
		r := result.Result{Task: joinTask, DeviceID: h.device, SubOperationID: fmt.Sprintf("s%d", n)}
		for _, at := range a.steps {
			r.State, r.ReceivedAt = storage.StateDownloading, at.UnixMicro()
			all = append(all, r)
		}
		switch a.status {
		case platform.SubTaskSucceeded:
			r.State, r.TargetVersion, r.CurVersion = storage.StateSucceeded, "1.6", a.version
		case platform.SubTaskFailed:
			r.State, r.StatusDesc = storage.StateFailed, a.detail
		default:
			continue
		}
		for _, at := range a.arrivals {
			r.ReceivedAt = at.UnixMicro()
			all = append(all, r)
		}
	}
	for i := range all {
		all[i].Normalize()
	}
	return all
}

// subTask is what the platform says at a time; its times are in whole seconds, and its clock may be behind.
func (h history) subTask(at time.Time, behind time.Duration) platform.SubTask {
	s := platform.SubTask{DeviceID: h.device, Status: platform.SubTaskWaiting}
	for n, a := range h.attempts {
		if at.Before(a.began) {
			break
		}
		s = platform.SubTask{DeviceID: h.device, SubOperationID: fmt.Sprintf("s%d", n), Status: platform.SubTaskProcessing}
		if !at.Before(a.ended) {
			s.Status, s.DetailInfo, s.StopTime = a.status, a.detail, a.ended.Add(-behind).Truncate(time.Second)
		}
	}
	return s
}

// reader is a leader: it has read some of what is stored, and asks the platform for what it lacks by that.
type reader struct {
	link *Link
	read int
}

func newReader(clk *clocktesting.FakeClock) *reader {
	store := &memory{Tally: tally.New()}
	return &reader{link: &Link{o: Options{Store: store, Clock: virtualOf(clk)}}}
}

func virtualOf(clk *clocktesting.FakeClock) *virtualClock {
	return &virtualClock{FakeClock: clk, waits: map[*virtualTimer]time.Time{}}
}

// modelOf counts as people would: a device succeeded if the platform says so, else it failed if it ever did. Suspect is
// one whose push of success names another version than the target.
func modelOf(histories []history) (sum tally.Summary) {
	for _, h := range histories {
		succeeded, suspect := false, false
		for _, a := range h.attempts {
			if succeeded = a.status == platform.SubTaskSucceeded; succeeded {
				suspect = a.version != "1.6" && len(a.arrivals) > 0
			}
		}
		switch {
		case succeeded:
			sum.Succeeded++
		default:
			sum.Failed++
		}
		if suspect {
			sum.Suspect++
		}
	}
	return sum
}

// Pushes that are lost, doubled and late, and results that two leaders asked for at any time, who may not have read
// what the other one stored, in any order and with compactions between: after a last sweep they add up to what the
// platform says. The push of a success, which says more, is kept; what failed has a cause of the platform's; and who
// asks again stores nothing.
func TestPolledJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var histories []history
		for n := range rapid.IntRange(1, 4).Draw(t, "devices") {
			histories = append(histories, drawHistory(n).Draw(t, "history"))
		}
		behind := time.Duration(rapid.IntRange(0, 7200).Draw(t, "clock behind")) * time.Second
		of := &platform.Task{OperationID: joinTask.OperationID, FileVersion: "1.6", CreateTime: joinStart.Add(-behind)}
		clk := clocktesting.NewFakeClock(joinStart)
		leaders := []*reader{newReader(clk), newReader(clk)}
		pending := pushesOf(histories)
		var stored [][]storage.ResultTable
		lagged := false // somebody asked who had not read all
		sweep := func(l *reader) (added int) {
			var subTasks []platform.SubTask
			for _, h := range histories {
				subTasks = append(subTasks, h.subTask(clk.Now(), behind))
			}
			lacking, _ := l.link.lacking(of, joinTask, subTasks)
			if len(lacking) > 0 {
				stored = append(stored, result.Pack(lacking))
				l.link.o.Store.(*memory).Add(lacking)
			}
			return len(lacking)
		}
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			clk.Step(time.Duration(rapid.IntRange(0, 3000).Draw(t, "seconds")) * time.Second)
			pending = arrive(&stored, pending, clk.Now())
			l := rapid.SampledFrom(leaders).Draw(t, "leader")
			switch rapid.SampledFrom([]string{"read", "sweep", "compact", "restart"}).Draw(t, "what") {
			case "read":
				for _, tables := range stored[min(l.read, len(stored)):] {
					l.link.o.Store.(*memory).Add(resulttest.Unpack(t, tables))
				}
				l.read = len(stored)
			case "sweep":
				lagged = lagged || l.read < len(stored)
				sweep(l)
			case "compact":
				stored = resulttest.Compact(t, stored)
				for _, l := range leaders { // what was read stays read, and reading again does no harm
					l.read = 0
				}
			case "restart":
				*l = *newReader(clk)
			}
		}
		clk.SetTime(joinStart.Add(12 * time.Hour))
		pending = arrive(&stored, pending, clk.Now())
		last := newReader(clk)
		for _, tables := range rapid.Permutation(stored).Draw(t, "order") {
			last.link.o.Store.(*memory).Add(resulttest.Unpack(t, tables))
		}
		sweep(last)
		if again := sweep(last); again > 0 || len(pending) > 0 {
			t.Fatalf("asking again stores %d results", again)
		}
		all := tally.New()
		for _, tables := range rapid.Permutation(stored).Draw(t, "order of slices") {
			all.Add(resulttest.Unpack(t, tables))
		}
		got, want := all.Summary(joinTask, tally.Query{TargetVersion: "1.6"}), modelOf(histories)
		if got.Succeeded != want.Succeeded || got.Failed != want.Failed || got.InProgress != 0 ||
			got.Suspect != want.Suspect {
			t.Fatalf("counted %+v, true is %+v, of %+v", got, want, histories)
		}
		if got.Retried > 0 && !lagged && !areTriedAgain(histories) {
			t.Fatalf("%d devices seem to be tried again, of %+v", got.Retried, histories)
		}
		checkCauses(t, histories, got)
		if diff := cmp.Diff(got, last.link.o.Store.Summary(joinTask, tally.Query{TargetVersion: "1.6"})); diff != "" {
			t.Fatalf("the leader counts otherwise than what is stored (-stored +leader):\n%s", diff)
		}
	})
}

// areTriedAgain says whether the platform tried any device again.
func areTriedAgain(histories []history) bool {
	return slices.ContainsFunc(histories, func(h history) bool { return len(h.attempts) > 1 })
}

func pushesOf(histories []history) (all []result.Result) {
	for _, h := range histories {
		all = append(all, h.pushes()...)
	}
	return all
}

// arrive stores the pushes that have arrived until now, and returns the others.
func arrive(stored *[][]storage.ResultTable, pending []result.Result, now time.Time) (left []result.Result) {
	var arrived []result.Result
	for _, r := range pending {
		if r.ReceivedAt > now.UnixMicro() {
			left = append(left, r)
		} else {
			arrived = append(arrived, r)
		}
	}
	if len(arrived) > 0 {
		*stored = append(*stored, result.Pack(arrived))
	}
	return left
}

// checkCauses holds that each device that failed has the cause of one of its failures, or was stopped, and that the
// causes add up.
func checkCauses(t *rapid.T, histories []history, sum tally.Summary) {
	known := map[string]map[string]bool{}
	for _, h := range histories {
		known[h.device] = map[string]bool{}
		for _, a := range h.attempts {
			text := a.detail
			if a.status == platform.SubTaskStopped {
				text = stoppedDesc
			}
			known[h.device][tally.Cause(text)] = true
		}
	}
	var causes int64
	for _, c := range sum.Causes {
		causes += c.Count
	}
	for _, d := range sum.FailedDevices {
		if !known[d.DeviceID][d.Cause] {
			t.Fatalf("%s failed for %q, the platform says %v", d.DeviceID, d.Cause, known[d.DeviceID])
		}
	}
	if causes != sum.Failed {
		t.Fatalf("the causes add up to %d of %d", causes, sum.Failed)
	}
}

// A result that was asked for has the time at which the platform says that it ended, where that can be.
func TestPolledTimes(t *testing.T) {
	created, now := joinStart, joinStart.Add(time.Hour)
	for name, c := range map[string]struct{ stop, want time.Time }{
		"as it stands":               {created.Add(time.Minute), created.Add(time.Minute)},
		"none":                       {time.Time{}, now},
		"after now":                  {now.Add(time.Second), now},
		"before the task's creation": {created.Add(-time.Second), now},
		"now":                        {now, now},
	} {
		s := &platform.SubTask{DeviceID: "d", SubOperationID: "s", Status: platform.SubTaskFailed, StopTime: c.stop}
		r, ended := resultOf(&platform.Task{CreateTime: created}, joinTask, s, now)
		if !ended || r.ReceivedAt != c.want.UnixMicro() || r.FailedAt != r.ReceivedAt {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Only what ended is a result, and only of a device.
func TestPolledStates(t *testing.T) {
	for status, want := range map[platform.SubTaskStatus]storage.State{
		platform.SubTaskWaiting: "", platform.SubTaskProcessing: "", "unheard": "", "": "",
		platform.SubTaskSucceeded: storage.StateSucceeded, platform.SubTaskFailed: storage.StateFailed,
		platform.SubTaskStopped: storage.StateFailed,
	} {
		for _, device := range []string{"d", ""} {
			s := &platform.SubTask{DeviceID: device, Status: status, DetailInfo: "why"}
			r, ended := resultOf(&platform.Task{FileVersion: "1.6"}, joinTask, s, joinStart)
			if ended != (want != "" && device != "") || ended && r.State != want {
				t.Errorf("%q of device %q: %v, %+v", status, device, ended, r)
			}
			if ended && r.CurVersion != "" {
				t.Errorf("a result that was asked for says which version the device has: %+v", r)
			}
		}
	}
}
