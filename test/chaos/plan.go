// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// kind is what becomes of a task and its FirmwareUpgrade.
type kind string

const (
	kindDeclared   kind = "declared"   // before the first device reports
	kindListed     kind = "listed"     // with spec.devices; others report, too
	kindUndeclared kind = "undeclared" // never
	kindLate       kind = "late"       // after the operator has made a placeholder
	kindRecreated  kind = "recreated"  // deleted and created anew under the same name, twice
	kindRenamed    kind = "renamed"    // the new one is created first, then the old one is deleted
	kindMoved      kind = "moved"      // the namespace is deleted, another one declares the task
	kindPurged     kind = "purged"     // deleted with its results, then declared anew for further devices
	kindArchived   kind = "archived"   // its results are removed by retention as soon as it has finished
	kindOpen       kind = "open"       // some devices never end
	kindQuiet      kind = "quiet"      // nobody says how many devices there are
	kindOverdue    kind = "overdue"    // some devices never end, and the deadline passes
)

// kindShare is a kind with how many of 100 tasks are of it.
type kindShare struct {
	kind  kind
	share int
}

// kinds are all of them.
//
//nolint:gochecknoglobals // A constant table.
var kinds = []kindShare{
	{kindDeclared, 20}, {kindListed, 8}, {kindUndeclared, 10}, {kindLate, 10}, {kindRecreated, 10}, {kindRenamed, 8},
	{kindMoved, 6}, {kindPurged, 8}, {kindArchived, 6}, {kindOpen, 6}, {kindQuiet, 4}, {kindOverdue, 4},
}

// rightClock says whether the notifications of such tasks go to the webhook whose clock is right, because when they
// arrived decides what must become of the task.
func (k kind) rightClock() bool {
	return k == kindPurged || k == kindArchived || k == kindQuiet || k == kindOverdue
}

// report is what a notification says.
type report int

const (
	reportDownloading report = iota
	reportUpdating
	reportFailure
	reportSuccess
	reportSuspect // a success with another version than the target
)

func (r report) ends() bool { return r >= reportFailure }

// planned is one notification. It is pushed after: so long after its phase of the task began.
type planned struct {
	device string
	report report
	sub    int // the number of the sub-task: a failed device is tried again under another one
	phase  int
	after  time.Duration
	// insist says that it is pushed until it is answered 200, as the platform's older pages say, not once only.
	insist bool
}

// task is the plan of one upgrade task.
type task struct {
	number    int
	kind      kind
	operation string
	// start is when it begins, counted from the beginning of the epoch; length how long its devices report.
	start, length time.Duration
	// devices are those that the spec expects, of the first phase and, of a purged task, of the second one.
	devices [2][]string
	// stray are devices that report although the spec does not list them.
	stray []string
	// maxFailed is the failure policy; negative where there is none.
	maxFailed int
	reports   []planned // in the order in which they fall due
	// wave is what a task has that comes from Git; nil for others.
	wave *wave
}

const targetVersion = "2.0"

// causes are what failing devices say: documented by the platform, with ids and codes in them, and hostile.
//
//nolint:gochecknoglobals // A constant table.
var causes = []string{
	"Device Abnormal is not online", "Waiting for report device firmware version timeout", "HTTP 404", "HTTP 503",
	"error 0x11 of device %s", "下载失败: 错误码：4", "=cmd|' /C calc'!A0", "\x1b[2Jcleared\r\n", "",
}

// plan makes the tasks of an epoch: pushes on average rate notifications a second for a duration.
func plan(rng *rand.Rand, prefix string, duration time.Duration, rate float64) []*task {
	var tasks []*task
	for budget := int(rate * duration.Seconds()); budget > 0; {
		t := planTask(rng, prefix, len(tasks), duration)
		tasks = append(tasks, t)
		budget -= len(t.reports)
	}
	return tasks
}

func planTask(rng *rand.Rand, prefix string, number int, duration time.Duration) *task {
	t := &task{number: number, kind: drawKind(rng, kinds), maxFailed: -1}
	t.operation = fmt.Sprintf("%s-%03d-%s", prefix, number, t.kind)
	// The last third of the time is left for tasks to end in.
	t.start = time.Duration(rng.Float64() * 0.5 * float64(duration))
	t.length = time.Duration((0.1 + 0.35*rng.Float64()) * float64(duration))
	if rng.IntN(2) == 0 {
		t.maxFailed = rng.IntN(12)
	}
	size := 5 + rng.IntN(60)
	if rng.IntN(8) == 0 {
		size = 300 + rng.IntN(300)
	}
	phases := 1
	if t.kind == kindPurged {
		phases = 2
	}
	for phase := range phases {
		for i := range size {
			device := fmt.Sprintf("%s-d%d-%04d", t.operation, phase, i)
			t.devices[phase] = append(t.devices[phase], device)
			t.addDevice(rng, device, phase)
		}
	}
	if t.kind == kindListed {
		for i := range 1 + rng.IntN(5) {
			device := fmt.Sprintf("%s-stray-%d", t.operation, i)
			t.stray = append(t.stray, device)
			t.addDevice(rng, device, 0)
		}
	}
	slices.SortStableFunc(t.reports, func(a, b planned) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.after, b.after))
	})
	return t
}

func drawKind(rng *rand.Rand, kinds []kindShare) kind {
	at := rng.IntN(100)
	for _, k := range kinds {
		if at -= k.share; at < 0 {
			return k.kind
		}
	}
	return kindDeclared
}

// addDevice plans what one device reports: some steps, perhaps a failure, perhaps a success after that; some of it
// twice, and some of it out of order.
func (t *task) addDevice(rng *rand.Rand, device string, phase int) {
	at := time.Duration(rng.Float64() * float64(t.length))
	add := func(r report, sub int) {
		p := planned{device: device, report: r, sub: sub, phase: phase, after: at, insist: rng.IntN(10) < 8}
		t.reports = append(t.reports, p)
		if rng.IntN(25) == 0 { // a duplicate, also long after
			p.after += time.Duration(rng.Float64() * 10 * float64(time.Second))
			t.reports = append(t.reports, p)
		}
		at += time.Duration(rng.Float64() * 3 * float64(time.Second))
		if rng.IntN(20) == 0 { // overtaken by what the device reports next
			at = max(0, at-4*time.Second)
		}
	}
	if rng.IntN(3) == 0 {
		add(reportDownloading, 0)
	}
	if rng.IntN(4) == 0 {
		add(reportUpdating, 0)
	}
	if t.neverEnds() && rng.IntN(8) == 0 {
		return // silent, or in progress for ever
	}
	switch fate := rng.IntN(100); {
	case fate < 6:
		add(reportFailure, 0)
	case fate < 12 && t.kind != kindArchived: // the platform tries again; what is archived counts nothing any more
		add(reportFailure, 0)
		if rng.IntN(2) == 0 {
			add(reportDownloading, 1)
		}
		add(reportSuccess, 1)
	case fate < 13:
		add(reportSuspect, 0)
	default:
		add(reportSuccess, 0)
	}
}

func (t *task) neverEnds() bool { return t.kind == kindOpen || t.kind == kindOverdue }
