// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

const (
	// comparePatience is how long an upgrade whose devices have all reported waits for a platform that can't be reached,
	// or has no figures: silence of the platform withholds no end for longer.
	comparePatience = 10 * time.Minute
	// unknownPatience is how long after it was declared a task that the platform does not know may still come.
	unknownPatience = 10 * time.Minute
)

// Platform is what is known of the platform's own view of a task. An Observation has one where an IoTApplication
// connects any application.
type Platform struct {
	// NotConnected says that no IoTApplication has the application of the task.
	NotConnected bool
	// AppID is the application that is asked, and Guessed that neither the spec nor a result names it: another one may
	// have the task.
	AppID   string
	Guessed bool
	// Since is when this process began to connect the application: it can't have asked before.
	Since time.Time
	// NeverAsked says that this process does not ask, whatever happens: it is not to connect the application.
	NeverAsked bool
	// Figures are the platform's; nil where none were had yet.
	Figures *v1alpha1.PlatformStatus
	// AskedAt is when the call began that brought them.
	AskedAt time.Time
	// Unknown says that the platform does not know the task.
	Unknown bool
	// Trouble says why no figures can be had at present; empty where they can. AnsweredAt is when the platform was asked
	// last with an answer; zero where that is not known.
	Trouble    string
	AnsweredAt time.Time
	// Judgement is what comparing over several rounds has found. The counts may have become equal since.
	Judgement Judgement
	// Note says more about the judgement; may be empty.
	Note string
}

// Judgement is what comparing the counts with the platform's figures over several rounds has found.
type Judgement int

const (
	// NotJudged means that the counts are equal, or that it is too early: results are still on their way.
	NotJudged Judgement = iota
	// Repairing means that the platform counts more, and that these results are being asked for.
	Repairing
	// Drifting means that the counts differ and that asking did not help.
	Drifting
)

// recall completes what is known by what the status has from before. A connection that is new, or is none at present,
// remembers nothing, and neither does a new leader; what was found before is true all the same.
//
//   - Without figures, or with some that don't add up, as they lag or were not given, those of before stand.
//   - A difference that was found stands until the counts are equal or it is judged anew. It stays where the platform
//     does not know the task any more: then nothing can be asked for, and it drifts.
//
// Only where no IoTApplication has the application any more nothing is recalled: whoever deleted it wants none.
func (p *Platform) recall(prev v1alpha1.FirmwareUpgradeStatus) *Platform {
	if p == nil || p.NotConnected {
		return p
	}
	known := *p
	if prev.Platform != nil && (known.Figures == nil || !addUp(known.Figures) && addUp(prev.Platform)) {
		known.Figures = prev.Platform
		if !known.Unknown {
			known.AskedAt = prev.Platform.ObservedTime.Time
		}
	}
	if found := condition(prev, v1alpha1.ConditionSynced); known.Judgement == NotJudged {
		switch {
		case found.Status != metav1.ConditionFalse:
		case found.Reason == v1alpha1.ReasonDrift, known.Unknown:
			known.Judgement = Drifting
		case found.Reason == v1alpha1.ReasonRepairing:
			known.Judgement = Repairing
		}
	}
	return &known
}

// addUp says whether there are figures of which something follows.
func addUp(f *v1alpha1.PlatformStatus) bool {
	return f != nil && f.Total > 0 && f.Waiting+f.Processing+f.Succeeded+f.Failed+f.Stopped == f.Total
}

// agreement is whether the counts agree with the platform's figures, now.
type agreement struct {
	// status and reason are those of the condition Synced; the reason is empty where there is none.
	status  metav1.ConditionStatus
	reason  string
	message string
	// differ is how many devices the counts are apart.
	differ int64
	// unfinished is how many devices the platform still has to upgrade.
	unfinished int64
	// askedAt is when the platform was asked. silent says that it has nothing to say at present, since is since when at
	// the earliest.
	askedAt, since time.Time
	silent         bool
	// never says that it is not asked by this process.
	never bool
}

// compare compares the counts with the platform's figures.
func compare(p *Platform, sum tally.Summary) agreement {
	unknown := func(reason, message string) agreement {
		return agreement{
			status: metav1.ConditionUnknown, reason: reason, message: message, never: p.NeverAsked,
			since: p.silentSince(), silent: p.Trouble != "" || p.Unknown || p.Figures != nil,
		}
	}
	switch {
	case p == nil:
		return agreement{}
	case p.NotConnected:
		return unknown(v1alpha1.ReasonNoApplication, "no IoTApplication connects the application of this task")
	case p.Unknown && (p.Figures == nil || p.Judgement == NotJudged || differ(p.Figures, sum) == 0):
		return unknown(v1alpha1.ReasonTaskUnknown, p.unknownMessage())
	case p.Figures == nil && p.Trouble != "":
		return unknown(v1alpha1.ReasonPlatformUnreachable, p.Trouble)
	case p.Figures == nil:
		return unknown(v1alpha1.ReasonRunning, "the platform was not asked yet")
	}
	f := p.Figures
	if !addUp(f) {
		return unknown(v1alpha1.ReasonRunning,
			"the platform's figures do not add up to its total of devices: they are late, or not given")
	}
	a := agreement{
		askedAt: p.AskedAt, since: p.silentSince(), silent: p.Trouble != "" || p.Unknown, never: p.NeverAsked,
		unfinished: f.Waiting + f.Processing, differ: differ(f, sum),
	}
	differs := fmt.Sprintf("the platform counts %d succeeded and %d failed, reported are %d and %d",
		f.Succeeded, f.Failed+f.Stopped, sum.Succeeded, sum.Failed)
	for _, more := range []string{p.Note, p.missing()} {
		if more != "" {
			differs += "; " + more
		}
	}
	switch {
	case a.differ == 0:
		a.status, a.reason = metav1.ConditionTrue, v1alpha1.ReasonCountsEqual
	case p.Judgement == Drifting:
		a.status, a.reason, a.message = metav1.ConditionFalse, v1alpha1.ReasonDrift, differs
	case p.Judgement == Repairing:
		a.status, a.reason, a.message = metav1.ConditionFalse, v1alpha1.ReasonRepairing, differs
	case p.Trouble != "":
		a.status, a.reason, a.message = metav1.ConditionUnknown, v1alpha1.ReasonPlatformUnreachable, p.Trouble
	default:
		a.status, a.reason, a.message = metav1.ConditionUnknown, v1alpha1.ReasonRunning, differs
	}
	return a
}

// silentSince is since when the platform has nothing to say, at the earliest.
func (p *Platform) silentSince() time.Time {
	if p.Trouble != "" && p.AnsweredAt.After(p.Since) {
		return p.AnsweredAt
	}
	return p.Since
}

// differ is by how many devices the counts differ from the platform's figures.
func differ(f *v1alpha1.PlatformStatus, sum tally.Summary) int64 {
	return max(abs(f.Succeeded-sum.Succeeded), abs(f.Failed+f.Stopped-sum.Failed))
}

// missing says why nobody can look again; empty where the platform answers.
func (p *Platform) missing() string {
	if p.Unknown {
		return "the platform does not know the task any more"
	}
	return p.Trouble
}

func (p *Platform) unknownMessage() string {
	const knowsNot = "does not know a task with this operationId"
	if p.Guessed {
		return "application " + result.ShortName(p.AppID) + ", the only one of this namespace, " + knowsNot +
			": set spec.appId if it is another one's"
	}
	return "the platform " + knowsNot
}

func abs(n int64) int64 { return max(n, -n) }

// drifts says that the counts are known to be wrong, one way or the other.
func (a agreement) drifts() bool { return a.reason == v1alpha1.ReasonDrift }

// repairs says that results are being asked for.
func (a agreement) repairs() bool { return a.reason == v1alpha1.ReasonRepairing }

// withholds says whether an upgrade that came to its end by the counts has to wait for the platform, and until when;
// zero where only the platform can say.
//
//   - A known difference is waited for: repaired, or mended by a person.
//   - Devices that the platform still has to upgrade are waited for, unless the spec lists which devices are meant.
//   - Otherwise one comparison has to begin after the counts came to their end. A platform that answers is waited for,
//     however long others go before; one that has nothing to say for comparePatience, and not where nobody asks.
func (a agreement) withholds(spec v1alpha1.FirmwareUpgradeSpec, ended, now time.Time) (bool, time.Time) {
	switch {
	case a.reason == "", a.reason == v1alpha1.ReasonNoApplication:
		return false, time.Time{}
	case a.drifts(), a.repairs():
		return true, time.Time{}
	case a.status == metav1.ConditionTrue && a.unfinished > 0 && len(spec.Devices) == 0:
		return true, time.Time{}
	case a.never, a.status == metav1.ConditionTrue && a.askedAt.After(ended):
		return false, time.Time{}
	case !a.silent:
		return true, time.Time{}
	}
	until := ended.Add(comparePatience)
	if a.since.After(ended) {
		until = a.since.Add(comparePatience)
	}
	return now.Before(until), until
}

// setSynced writes the condition Synced and the platform's figures.
func setSynced(
	fwu *v1alpha1.FirmwareUpgrade, st *v1alpha1.FirmwareUpgradeStatus, a agreement, p *Platform, now time.Time,
) {
	if a.reason == "" {
		st.Platform = nil
		removeCondition(st, v1alpha1.ConditionSynced)
		return
	}
	st.Platform = p.Figures.DeepCopy()
	setCondition(st, fwu.Generation, now, v1alpha1.ConditionSynced, a.status, a.reason, a.message)
}

// setUnsynced says that counts which stand are compared with nothing. A difference that was found is not forgotten:
// the claim may come back in a moment. What is archived stands.
func setUnsynced(st *v1alpha1.FirmwareUpgradeStatus, generation int64, why claim.Claim, now time.Time) {
	was := condition(*st, v1alpha1.ConditionSynced)
	if st.ArchiveTime == nil && was.Reason != "" && was.Status != metav1.ConditionFalse {
		setCondition(st, generation, now, v1alpha1.ConditionSynced, metav1.ConditionUnknown, why.Reason, why.Message)
	}
}

// WantsComparison says whether an upgrade would be at its end by the counts if the platform were asked once more. Its
// next status is what Compute returned for the same observation.
func WantsComparison(fwu *v1alpha1.FirmwareUpgrade, next v1alpha1.FirmwareUpgradeStatus, seen Observation) bool {
	p := seen.Platform
	if p == nil || p.NotConnected || p.NeverAsked || p.Unknown || next.CompletionTime != nil || !seen.Claim.Holds() {
		return false
	}
	v := judge(fwu, next, next, seen, false)
	return v.compares && !v.synced.drifts() && !v.synced.repairs() && !p.AskedAt.After(v.ended)
}
