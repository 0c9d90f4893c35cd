// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/wrappers"
)

// figures are the platform's, of so many devices, asked for at a time.
func figures(succeeded, failed, processing int64, at time.Time) *Platform {
	return &Platform{AskedAt: at, Figures: &v1alpha1.PlatformStatus{
		ObservedTime: metav1.Time{Time: at}, State: v1alpha1.PlatformProcessing,
		Total: succeeded + failed + processing, Succeeded: succeeded, Failed: failed, Processing: processing,
	}}
}

func judgedAs(p *Platform, j Judgement) *Platform {
	p.Judgement = j
	return p
}

func totalOf(p *Platform, total int64) *Platform {
	p.Figures.Total = total
	return p
}

// late are figures that don't add up to their total.
func late(p *Platform) *Platform {
	p.Figures.Total++
	return p
}

// silentSince says that the platform answered last at a time, and can't be reached since.
func silentSince(p *Platform, at time.Time) *Platform {
	p.Trouble, p.AnsweredAt = "no route", at
	return p
}

// synced is the condition Synced in one word.
func synced(st v1alpha1.FirmwareUpgradeStatus) string {
	c := condition(st, v1alpha1.ConditionSynced)
	if c.Reason == "" {
		return ""
	}
	return string(c.Status) + "=" + c.Reason
}

func TestPlatform(t *testing.T) {
	before, after := last.Add(-time.Second), last.Add(time.Second)
	now := last.Add(2 * time.Second)
	cases := map[string]struct {
		fwu    *wrappers.FirmwareUpgrade
		seen   tally.Summary
		says   *Platform
		at     time.Time
		want   string
		synced string
		again  time.Time
	}{
		"no application is connected": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), at: now,
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "",
		},
		"another application is connected": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: &Platform{NotConnected: true}, at: now,
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "Unknown=NoApplication",
		},
		"equal, asked after the end": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: figures(3, 0, 0, after), at: now,
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "True=CountsEqual",
		},
		"equal, asked before the end": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: figures(3, 0, 0, before), at: now,
			want: "Running 3/3 Reconciling=Running", synced: "True=CountsEqual", again: first.Add(48 * time.Hour),
		},
		"equal, asked before the end, and it is not its turn for long": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: figures(3, 0, 0, before), at: last.Add(time.Hour),
			want: "Running 3/3 Reconciling=Running", synced: "True=CountsEqual", again: first.Add(48 * time.Hour),
		},
		"more than the platform counted before the end, and it is not its turn for long": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: figures(2, 0, 1, before), at: last.Add(time.Hour),
			want: "Running 3/3 Reconciling=Running", synced: "Unknown=Running", again: first.Add(48 * time.Hour),
		},
		"not asked yet, and it is not its turn for long": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: &Platform{}, at: last.Add(time.Hour),
			want: "Running 3/3 Reconciling=Running", synced: "Unknown=Running", again: first.Add(48 * time.Hour),
		},
		"equal, asked before the end, and then silent": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), at: last.Add(20 * time.Minute),
			says: silentSince(figures(3, 0, 0, before), last.Add(15*time.Minute)),
			want: "Running 3/3 Reconciling=Running", synced: "True=CountsEqual", again: last.Add(25 * time.Minute),
		},
		"equal, asked before the end, and then silent for too long": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), at: last.Add(25 * time.Minute),
			says: silentSince(figures(3, 0, 0, before), last.Add(15*time.Minute)),
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "True=CountsEqual",
		},
		"the platform is silent": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: &Platform{Trouble: "no route"}, at: now,
			want: "Running 3/3 Reconciling=Running", synced: "Unknown=PlatformUnreachable", again: last.Add(comparePatience),
		},
		"the platform is silent for too long": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: &Platform{Trouble: "no route"},
			at:   last.Add(comparePatience),
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "Unknown=PlatformUnreachable",
		},
		"the platform is never asked": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: &Platform{Trouble: "not allowed", NeverAsked: true}, at: now,
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "Unknown=PlatformUnreachable",
		},
		"the platform still has devices": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: figures(3, 0, 2, after), at: now,
			want: "Running 3/3 Reconciling=Running", synced: "True=CountsEqual", again: first.Add(48 * time.Hour),
		},
		"the platform still has devices that are not meant": {
			fwu: made().Devices("a", "b", "c"), seen: listed(summary(3, 0, 0), 3), says: figures(3, 0, 2, after), at: now,
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "True=CountsEqual",
		},
		"the platform says how many there are": {
			fwu: made(), seen: summary(3, 0, 0), says: figures(3, 0, 1, after), at: now,
			want: "Running 3/4 Reconciling=Running", synced: "True=CountsEqual", again: first.Add(48 * time.Hour),
		},
		"the platform says that these are all": {
			fwu: made(), seen: summary(4, 0, 0), says: figures(4, 0, 0, after), at: now,
			want: "Succeeded 4/4 Ready=Succeeded Finished=Succeeded", synced: "True=CountsEqual",
		},
		"a lost failure": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: judgedAs(figures(3, 1, 0, after), Repairing), at: now,
			want: "Running 3/3 Reconciling=Repairing", synced: "False=Repairing", again: first.Add(48 * time.Hour),
		},
		"not judged yet": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: figures(2, 1, 0, after), at: now,
			want: "Running 3/3 Reconciling=Running", synced: "Unknown=Running", again: first.Add(48 * time.Hour),
		},
		"a lost failure that was not brought until the deadline": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: judgedAs(figures(3, 1, 0, after), Repairing),
			at:   first.Add(48 * time.Hour),
			want: "Stalled 3/3 Stalled=Repairing Finished=Succeeded", synced: "False=Repairing",
		},
		"figures that do not add up for long": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: totalOf(figures(3, 0, 0, after), 4),
			at:   last.Add(comparePatience),
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded", synced: "Unknown=Running",
		},
		"figures that do not add up": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: totalOf(figures(3, 0, 0, after), 4), at: now,
			want: "Running 3/3 Reconciling=Running", synced: "Unknown=Running", again: last.Add(comparePatience),
		},
		"no figures at all": {
			fwu: made().Expected(3), says: figures(0, 0, 0, after), at: created.Add(time.Minute),
			want: "Pending 0/3 Reconciling=Pending", synced: "Unknown=Running",
		},
		"forged successes": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: judgedAs(figures(2, 1, 0, after), Drifting), at: now,
			want: "Stalled 3/3 Stalled=Drift", synced: "False=Drift", again: first.Add(48 * time.Hour),
		},
		"forged successes at the deadline": {
			fwu: made().Expected(3), seen: summary(3, 0, 0), says: judgedAs(figures(2, 1, 0, after), Drifting),
			at:   first.Add(48 * time.Hour),
			want: "Stalled 3/3 Stalled=Drift Finished=Succeeded", synced: "False=Drift",
		},
		"repaired since it was judged": {
			fwu: made().Expected(4), seen: summary(3, 1, 0), says: judgedAs(figures(3, 1, 0, after), Repairing), at: now,
			want: "PartiallySucceeded 4/4 Stalled=PartiallySucceeded Finished=PartiallySucceeded", synced: "True=CountsEqual",
		},
		"a broken policy while results are asked for": {
			fwu: made().Expected(4).MaxFailed("0", 0), seen: summary(2, 1, 0),
			says: judgedAs(figures(3, 1, 0, after), Repairing), at: now,
			want:   "Running 3/4 Stalled=FailurePolicyBroken Degraded=FailurePolicyBroken",
			synced: "False=Repairing", again: first.Add(48 * time.Hour),
		},
		"a task that may come yet": {
			fwu: made().Expected(3), says: &Platform{Unknown: true}, at: created.Add(unknownPatience - time.Second),
			want: "Pending 0/3 Reconciling=Pending", synced: "Unknown=TaskUnknown", again: created.Add(unknownPatience),
		},
		"a task that does not exist": {
			fwu: made().Expected(3), says: &Platform{Unknown: true}, at: created.Add(unknownPatience),
			want: "Stalled 0/3 Stalled=TaskUnknown", synced: "Unknown=TaskUnknown", again: created.Add(48 * time.Hour),
		},
		"a task that the only application of the namespace does not know": {
			fwu: made().Expected(3), says: &Platform{Unknown: true, Guessed: true}, at: created.Add(unknownPatience),
			want: "Pending 0/3 Reconciling=Pending", synced: "Unknown=TaskUnknown", again: created.Add(48 * time.Hour),
		},
		"a deleted task with results": {
			fwu: made().Expected(3), seen: summary(1, 0, 0), says: &Platform{Unknown: true}, at: created.Add(time.Hour),
			want: "Running 1/3 Reconciling=Running", synced: "Unknown=TaskUnknown", again: first.Add(48 * time.Hour),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Obj()
			st, again := Compute(fwu, fwu.Status, Observation{
				Task: testTask, Summary: c.seen, Platform: c.says, Now: c.at, Failures: tally.New(),
			})
			if got := told(st); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := synced(st); got != c.synced {
				t.Errorf("Synced: got %s, want %s", got, c.synced)
			}
			if !c.again.IsZero() && !again.Equal(c.again) {
				t.Errorf("again: got %s, want %s", again, c.again)
			}
			if st.Phase == v1alpha1.PhaseStalled && st.Reason == "" {
				t.Error("the reason is empty")
			}
		})
	}
}

// An end that was told stays told; that the counts are wrong closes the gate all the same, and opens it when they are
// right again. Nothing else opens it: neither that nobody can be asked, nor a new link that was not judged by yet.
func TestDriftAfterTheEnd(t *testing.T) {
	after := last.Add(time.Second)
	const (
		ready     = "Succeeded 3/3 Ready=Succeeded Finished=Succeeded"
		drifts    = "Stalled 3/3 Stalled=Drift Finished=Succeeded"
		repairing = "Running 3/3 Reconciling=Repairing Finished=Succeeded"
	)
	testSteps(t, made().Expected(3).Obj(), summary(3, 0, 0), []comparison{
		{says: figures(3, 0, 0, after), want: ready},
		{says: judgedAs(figures(2, 1, 0, after), Drifting), want: drifts},
		{says: &Platform{Trouble: "the platform was not called yet"}, want: drifts},
		{says: &Platform{Trouble: "IoTApplication meters is not connected"}, want: drifts},
		{says: &Platform{}, want: drifts},
		{says: &Platform{Trouble: "--platform-hosts does not list it", NeverAsked: true}, want: drifts},
		{says: figures(2, 1, 0, after), want: drifts}, // by a new link, once
		{says: late(figures(3, 0, 0, after)), want: drifts},
		{says: &Platform{Unknown: true, AskedAt: after}, want: drifts},
		{says: judgedAs(figures(4, 0, 0, after), Repairing), want: repairing},
		{says: &Platform{Trouble: "the platform was not called yet"}, want: repairing},
		{says: figures(4, 0, 0, after), want: repairing},
		{says: &Platform{Unknown: true, AskedAt: after}, want: drifts}, // nothing can be asked for any more
		{says: figures(3, 0, 0, after), want: ready},
		{says: &Platform{Trouble: "the platform was not called yet"}, want: ready},
		{says: judgedAs(figures(2, 1, 0, after), Drifting), want: drifts},
		{says: &Platform{NotConnected: true}, want: ready}, // its IoTApplication was deleted
		{says: figures(2, 1, 0, after), want: ready},
		{says: judgedAs(figures(2, 1, 0, after), Drifting), want: drifts},
		{says: nil, want: ready},
	})
}

// An upgrade whose counts are known to be wrong does not finish for want of somebody to ask, however long ago the last
// result came, and however often its spec changes.
func TestDriftBeforeTheEnd(t *testing.T) {
	long := last.Add(time.Hour)
	const drifts, repairing = "Stalled 3/3 Stalled=Drift", "Running 3/3 Reconciling=Repairing"
	testSteps(t, made().Expected(3).Obj(), summary(3, 0, 0), []comparison{
		{says: judgedAs(figures(2, 1, 0, long), Drifting), at: long, want: drifts},
		{says: &Platform{Trouble: "the platform was not called yet"}, at: long, want: drifts},
		{says: &Platform{}, at: long, changed: true, want: drifts},
		{says: figures(2, 1, 0, long), at: long, want: drifts},
		{says: judgedAs(figures(4, 0, 0, long), Repairing), at: long, want: repairing},
		{says: &Platform{Trouble: "the Secret is gone"}, at: long, want: repairing},
		{says: figures(4, 0, 0, long), at: long, changed: true, want: repairing},
		{says: figures(3, 0, 0, long), at: long, want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded"},
	})
}

// How many devices there are is known by the platform's figures, also while these can't be had; and what it still has
// to upgrade is waited for.
func TestFiguresAreRecalled(t *testing.T) {
	quiet := last.Add(25 * time.Hour)
	const running, equal = "Running 990/1000 Reconciling=Running", "True=CountsEqual"
	testSteps(t, made().Obj(), summary(990, 0, 0), []comparison{
		{says: figures(990, 0, 10, last), at: last, want: running, synced: equal},
		{says: &Platform{Trouble: "the platform was not called yet"}, at: quiet, want: running, synced: equal},
		{says: &Platform{}, at: quiet, changed: true, want: running, synced: equal},
	})
}

// Silence withholds an end for ten minutes from when somebody could ask: a leader that is new has not asked yet.
func TestPatienceBeginsWithTheLink(t *testing.T) {
	since := last.Add(time.Hour)
	says := &Platform{Trouble: "the platform was not called yet", Since: since}
	testSteps(t, made().Expected(3).Obj(), summary(3, 0, 0), []comparison{
		{says: says, at: since, want: "Running 3/3 Reconciling=Running", again: since.Add(comparePatience)},
		{says: says, at: since.Add(comparePatience), want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded"},
	})
}

// An upgrade that lost its task is compared with nothing, and finds what was known of it when it has the task again.
func TestSyncedWithoutTheTask(t *testing.T) {
	testSteps(t, made().Expected(4).Obj(), summary(3, 0, 0), []comparison{
		{says: figures(3, 0, 1, last), want: "Running 3/4 Reconciling=Running", synced: "True=CountsEqual"},
		{lost: true, want: "Stalled 3/4 Stalled=NotPermitted", synced: "Unknown=NotPermitted"},
		{says: judgedAs(figures(2, 1, 1, last), Drifting), want: "Stalled 3/4 Stalled=Drift", synced: "False=Drift"},
		{lost: true, want: "Stalled 3/4 Stalled=NotPermitted", synced: "False=Drift"},
		{says: &Platform{}, want: "Stalled 3/4 Stalled=Drift", synced: "False=Drift"},
	})
}

// comparison is what the platform says at a time, and what follows.
type comparison struct {
	says *Platform
	at   time.Time // last, and a second, where it is not set
	// changed says that the spec was changed before, lost that the task can't be claimed any more.
	changed, lost bool

	want, synced string
	again        time.Time
}

// testSteps computes a status from the one before.
func testSteps(t *testing.T, fwu *v1alpha1.FirmwareUpgrade, seen tally.Summary, steps []comparison) {
	t.Helper()
	for n, s := range steps {
		if s.at.IsZero() {
			s.at = last.Add(time.Second)
		}
		if s.changed {
			fwu.Generation++
		}
		observed := Observation{Task: testTask, Summary: seen, Platform: s.says, Now: s.at, Failures: tally.New()}
		if s.lost {
			observed.Claim = claim.Claim{Reason: v1alpha1.ReasonNotPermitted, Message: "nobody permits it"}
		}
		st, again := Compute(fwu, fwu.Status, observed)
		if got := told(st); got != s.want {
			t.Errorf("step %d, %+v: got  %s\nwant %s", n, s.says, got, s.want)
		}
		if got := synced(st); s.synced != "" && got != s.synced {
			t.Errorf("step %d, %+v: Synced: got %s, want %s", n, s.says, got, s.synced)
		}
		if !s.again.IsZero() && !again.Equal(s.again) {
			t.Errorf("step %d, %+v: again: got %s, want %s", n, s.says, again, s.again)
		}
		if s.says == nil && !s.lost && (st.Platform != nil || synced(st) != "") {
			t.Errorf("without an application the status still has %+v, %s", st.Platform, synced(st))
		}
		fwu.Status = st
	}
}

// Results that had to be asked for are told of once, when the counts are equal again; more of them are told of again,
// also after the application was connected anew, when they are counted from zero.
func TestRepairIsTold(t *testing.T) {
	fwu := made().Expected(9).Obj()
	says := func(repaired int64, j Judgement) *Platform {
		p := judgedAs(figures(3, 0, 0, last), j)
		p.Figures.Repaired = repaired
		return p
	}
	unfinished := says(1, NotJudged)
	unfinished.Figures.Total, unfinished.Figures.Processing = 9, 6
	var got []string
	delivered := int64(0)
	for _, step := range []struct {
		succeeded int64
		says      *Platform
	}{
		{2, says(0, Repairing)},
		{2, says(1, Repairing)}, // another one is still missing
		{3, unfinished},         // more may be missed
		{3, says(2, NotJudged)},
		{3, says(2, NotJudged)},
		{3, says(3, NotJudged)},
		{3, nil},
		{3, says(1, NotJudged)},
	} {
		st, _ := Compute(fwu, fwu.Status, Observation{
			Task: testTask, Summary: summary(step.succeeded, 0, 0), Platform: step.says, Now: last, Failures: tally.New(),
			Delivered: delivered,
		})
		for _, e := range st.OperatorState.Outbox {
			if e.Reason == EventResultsRepaired {
				got = append(got, e.Note)
			}
		}
		delivered, fwu.Status = st.OperatorState.Sequence, st
	}
	const rest = " had to be asked for, as no push brought them; the counts equal the platform's figures now"
	if diff := cmp.Diff([]string{"2 results" + rest, "1 result" + rest, "1 result" + rest}, got); diff != "" {
		t.Errorf("Events (-want +got):\n%s", diff)
	}
}

// failedOf has the listed devices fail that failed.
func failedOf(s tally.Summary) tally.Summary {
	s = listed(s, 0)
	s.Listed.Failed = s.Failed
	return s
}

// listed says that so many of a summary's devices that ended are listed ones.
func listed(s tally.Summary, succeeded int64) tally.Summary {
	s.Listed = tally.Listed{
		Succeeded: succeeded, FirstReceivedAt: s.FirstReceivedAt, LastReceivedAt: s.LastReceivedAt,
	}
	return s
}

// Once an upgrade waits for nothing else, the platform is asked: where a device failed, when it has settled, and not
// before.
func TestComparisonIsWantedAtTheEnd(t *testing.T) {
	settled := last.Add(time.Minute)
	fwu := made().Expected(3).Settle(time.Minute).Obj()
	for _, c := range []struct {
		says *Platform
		at   time.Time
		want bool
	}{
		{says: figures(2, 1, 0, last.Add(time.Second)), at: last.Add(2 * time.Second), want: false},
		{says: figures(2, 1, 0, last.Add(time.Second)), at: settled, want: true},
		{says: &Platform{}, at: settled, want: true},
		{says: figures(2, 1, 0, settled.Add(time.Second)), at: settled.Add(time.Second), want: false}, // it has ended
		{says: figures(2, 1, 1, settled.Add(time.Second)), at: settled.Add(time.Second), want: false}, // one is awaited
		{says: judgedAs(figures(1, 2, 0, last), Drifting), at: settled, want: false},
		{says: &Platform{Unknown: true}, at: settled, want: false},
		{says: &Platform{NotConnected: true}, at: settled, want: false},
		{says: nil, at: settled, want: false},
	} {
		seen := Observation{Task: testTask, Summary: summary(2, 1, 0), Platform: c.says, Now: c.at, Failures: tally.New()}
		next, _ := Compute(fwu, fwu.Status, seen)
		if got := WantsComparison(fwu, next, seen); got != c.want {
			t.Errorf("%+v at %s: got %v", c.says, c.at, got)
		}
	}
}

// What Synced says while no difference is known goes to and fro as devices report: that is progress. A difference is
// news.
func TestWorthOfSynced(t *testing.T) {
	fwu := made().Expected(5).Obj()
	of := func(sum tally.Summary, says *Platform) v1alpha1.FirmwareUpgradeStatus {
		st, _ := Compute(fwu, fwu.Status, Observation{
			Task: testTask, Summary: sum, Platform: says, Now: last, Failures: tally.New(),
		})
		return st
	}
	equal, late := of(summary(3, 0, 0), figures(3, 0, 2, last)), of(summary(4, 0, 0), figures(3, 0, 2, last))
	silent := of(summary(4, 0, 0), &Platform{Trouble: "no route"})
	repairs := of(summary(4, 0, 0), judgedAs(figures(5, 0, 0, last), Repairing))
	for _, c := range []struct {
		name string
		a, b v1alpha1.FirmwareUpgradeStatus
		want Worth
	}{
		{"a push", equal, late, Progress},
		{"a round", late, equal, Progress},
		{"an outage", late, silent, Progress},
		{"a difference", late, repairs, News},
		{"no difference any more", repairs, late, News},
	} {
		if got := Compare(c.a, c.b); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// REASON names what somebody has to act on, and not that results are asked for beside it.
func TestReasonBesideRepairs(t *testing.T) {
	says := judgedAs(figures(3, 1, 0, last), Repairing)
	for _, c := range []struct {
		fwu  *wrappers.FirmwareUpgrade
		at   time.Time
		want string
	}{
		{fwu: made().Expected(4), at: last, want: "Repairing (1)"},
		{fwu: made().Expected(4).MaxFailed("0", 0), at: last, want: "FailurePolicyBroken: Invalid URI (1)"},
		{fwu: made().Expected(5), at: first.Add(48 * time.Hour), want: "DeadlineExceeded: 2 never reported"},
	} {
		fwu := c.fwu.Obj()
		st, _ := Compute(fwu, fwu.Status, Observation{
			Task: testTask, Summary: summary(2, 1, 0), Platform: says, Now: c.at, Failures: tally.New(),
		})
		if st.Reason != c.want {
			t.Errorf("got %q, want %q", st.Reason, c.want)
		}
	}
}

// What was declared long after its last result is compared before it ends, and its deadline counts from the declaration
// where results come by asking, a page at a time.
func TestDeclaredLate(t *testing.T) {
	declared := last.Add(72 * time.Hour)
	seen := func(succeeded int64, says *Platform, at time.Time) Observation {
		return Observation{Task: testTask, Summary: summary(succeeded, 0, 0), Platform: says, Now: at, Failures: tally.New()}
	}
	for name, c := range map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		seen Observation
		want string
	}{
		"not asked yet": {
			fwu: made().Expected(3), seen: seen(3, &Platform{}, declared),
			want: "Running 3/3 Reconciling=Running",
		},
		"not asked yet, and nobody says how many there are": {
			fwu: made(), seen: seen(3, &Platform{}, declared),
			want: "Running 3/? Reconciling=Running",
		},
		"it can't be reached at the moment": {
			fwu: made().Expected(3), seen: seen(3, &Platform{Trouble: "no route"}, declared.Add(time.Minute)),
			want: "Running 3/3 Reconciling=Running",
		},
		"it can't be reached": {
			fwu: made().Expected(3), seen: seen(3, &Platform{Trouble: "no route"}, declared.Add(comparePatience)),
			want: "Succeeded 3/3 Ready=Succeeded Finished=Succeeded",
		},
		"the first page of results came": {
			fwu:  made(),
			seen: seen(3, judgedAs(figures(10, 0, 0, declared), Repairing), declared.Add(time.Minute)),
			want: "Running 3/10 Reconciling=Repairing",
		},
		"no results came for as long as it may take": {
			fwu:  made(),
			seen: seen(3, judgedAs(figures(10, 0, 0, declared), Repairing), declared.Add(48*time.Hour)),
			want: "Failed 3/10 Stalled=DeadlineExceeded Finished=DeadlineExceeded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Created(declared).Obj()
			st, _ := Compute(fwu, fwu.Status, c.seen)
			if got := told(st); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Results that are asked for come with the failures first: a percentage is judged by what the platform counts, and so
// is minReported. What is broken by that is.
func TestPolicyWhileResultsAreAskedFor(t *testing.T) {
	asked := func(succeeded, failed int64) *Platform {
		return judgedAs(figures(succeeded, failed, 0, last.Add(time.Second)), Repairing)
	}
	for name, c := range map[string]struct {
		fwu  *wrappers.FirmwareUpgrade
		seen tally.Summary
		says *Platform
		want string
	}{
		"kept": {
			fwu: made().MaxFailed("20%", 20), seen: summary(0, 25, 0), says: asked(974, 26),
			want: "Running 25/1000 Reconciling=Repairing",
		},
		"kept, without minReported": {
			fwu: made().MaxFailed("50%", 0), seen: summary(0, 1, 0), says: asked(30, 30),
			want: "Running 1/60 Reconciling=Repairing",
		},
		"broken": {
			fwu: made().MaxFailed("2%", 20), seen: summary(0, 25, 0), says: asked(974, 26),
			want: "Running 25/1000 Stalled=FailurePolicyBroken Degraded=FailurePolicyBroken",
		},
		"too early by both": {
			fwu: made().MaxFailed("0%", 20), seen: summary(0, 5, 0), says: asked(5, 5),
			want: "Running 5/10 Reconciling=Repairing",
		},
		"the platform's figures are behind": {
			fwu: made().Expected(100).MaxFailed("20%", 20), seen: summary(10, 30, 0), says: figures(8, 2, 90, last),
			want: "Running 40/100 Stalled=FailurePolicyBroken Degraded=FailurePolicyBroken",
		},
		"without a platform": {
			fwu: made().Expected(1000).MaxFailed("20%", 20), seen: summary(0, 25, 0),
			want: "Running 25/1000 Stalled=FailurePolicyBroken Degraded=FailurePolicyBroken",
		},
		"listed devices are judged alone": {
			fwu: made().Devices("a", "b", "c", "d").MaxFailed("20%", 0), seen: failedOf(summary(0, 2, 0)), says: asked(98, 2),
			want: "Running 2/4 Reconciling=Repairing",
		},
		"listed devices, when nothing is asked for any more": {
			fwu: made().Devices("a", "b", "c", "d").MaxFailed("20%", 0), seen: failedOf(summary(0, 2, 0)),
			says: figures(98, 2, 0, last),
			want: "Running 2/4 Stalled=FailurePolicyBroken Degraded=FailurePolicyBroken",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Obj()
			st, _ := Compute(fwu, fwu.Status, Observation{
				Task: testTask, Summary: c.seen, Platform: c.says, Now: last.Add(2 * time.Second), Failures: tally.New(),
			})
			if got := told(st); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A task that the only application of the namespace does not know is no error, and said where people look.
func TestUnknownTaskIsSaid(t *testing.T) {
	fwu := made().Obj()
	st, _ := Compute(fwu, fwu.Status, Observation{
		Task: testTask, Platform: &Platform{Unknown: true, Guessed: true, AppID: "meters"}, Now: last, Failures: tally.New(),
	})
	if got := condition(st, v1alpha1.ConditionReady).Message; !strings.Contains(got, "does not know a task") {
		t.Errorf("Ready says %q", got)
	}
}
