// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// The platform's faults, where there is one. They concern what it is asked to create, but where they say otherwise.
const (
	faultCutAnswers     faultKind = "cut the platform's answers"
	faultSlowAnswers    faultKind = "slow answers of the platform"
	faultErrorBefore    faultKind = "500 of the platform, nothing created"
	faultErrorAfter     faultKind = "500 of the platform, created"
	faultCreatedLate    faultKind = "no answer of the platform, created late"
	faultListedLate     faultKind = "no answer of the platform, listed late"
	faultShiftPages     faultKind = "no answer of the platform, pages that shift"
	faultPlatformAway   faultKind = "no answer of the platform to any call"
	faultKillInCreation faultKind = "kill the controllers in a creation"
	faultStopInCreation faultKind = "SIGSTOP the controllers in a creation"
)

// platformStrikes are strikes that need the platform.
//
//nolint:gochecknoglobals // A constant table.
var platformStrikes = []strike{
	{faultCutAnswers, 8, 3 * time.Second, 15 * time.Second, misbehave(func(_ *rand.Rand, f *northbound.Faults) {
		f.AnswerCut.Share = often
	})},
	{faultSlowAnswers, 8, 3 * time.Second, 15 * time.Second, misbehave(func(rng *rand.Rand, f *northbound.Faults) {
		late := time.Second + time.Duration(rng.Float64()*float64(14*time.Second))
		f.AnswerSilent = northbound.Fault{Share: often, Delay: northbound.Duration(late)}
	})},
	{faultErrorBefore, 10, 3 * time.Second, 10 * time.Second, misbehave(func(_ *rand.Rand, f *northbound.Faults) {
		f.ErrorBefore.Share = often
	})},
	{faultErrorAfter, 8, 3 * time.Second, 15 * time.Second, misbehave(func(_ *rand.Rand, f *northbound.Faults) {
		f.ErrorAfter.Share = often
	})},
	{faultCreatedLate, 8, 3 * time.Second, 15 * time.Second, misbehave(func(_ *rand.Rand, f *northbound.Faults) {
		f.CreatedLate = northbound.Fault{Share: often, Delay: northbound.Duration(createdLate)}
	})},
	{faultListedLate, 8, 3 * time.Second, 15 * time.Second, misbehave(func(_ *rand.Rand, f *northbound.Faults) {
		f.AnswerCut.Share = often
		f.ListLags = northbound.Fault{Share: 1, Delay: northbound.Duration(listedLate)}
	})},
	{faultShiftPages, 6, 10 * time.Second, 40 * time.Second, misbehave(func(_ *rand.Rand, f *northbound.Faults) {
		f.AnswerCut.Share, f.PagesShift.Share, f.PagesRepeat.Share = often, rarely, rarely
	})},
	{faultPlatformAway, 6, time.Second, 10 * time.Second, misbehave(func(_ *rand.Rand, f *northbound.Faults) {
		f.AnswerCut = northbound.Fault{Share: 1, Calls: []northbound.Call{
			northbound.CallLogin, northbound.CallSubscribe, northbound.CallSubscriptions, northbound.CallCreate,
			northbound.CallTasks, northbound.CallTask, northbound.CallSubTasks,
		}}
	})},
	{faultKillInCreation, 8, 0, 4 * time.Second, inCreation((*slot).kill)},
	{faultStopInCreation, 6, time.Second, 25 * time.Second, inCreation((*slot).freeze)},
}

// platformFaultsOften is how many faults of the platform there are for each other one: few tasks are created while
// others keep the operator from leading.
const platformFaultsOften = 3

// How often the platform goes wrong while it does.
const often, rarely = 0.7, 0.3

// misbehave lets the platform go wrong, for as long as the fault lasts.
func misbehave(how func(rng *rand.Rand, f *northbound.Faults)) strikeFunc {
	return func(ctx context.Context, s *system, f fault, rng *rand.Rand) error {
		faults := northbound.Faults{Seed: rng.Uint64()}
		how(rng, &faults)
		err := s.platform.SetFaults(faults)
		sleep(ctx, f.lasts)
		return errors.Join(err, s.platform.SetFaults(northbound.Faults{}))
	}
}

const (
	// creationAwaited is how long a task to be asked for is waited for.
	creationAwaited = 30 * time.Second
	// answerWithheld is how long the platform does not answer then.
	answerWithheld = 30 * time.Second
)

// inCreation breaks the controllers when the platform has created a task and has not answered yet. Both, as nobody
// knows which of them leads.
func inCreation(do func(*slot) error) strikeFunc {
	return func(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
		before := len(s.platform.Report().Creations)
		err := s.platform.SetFaults(northbound.Faults{AnswerSilent: northbound.Fault{
			Next: 1, Delay: northbound.Duration(answerWithheld),
		}})
		if err != nil {
			return err
		}
		awaited, cancel := context.WithTimeout(ctx, creationAwaited)
		defer cancel()
		if _, err := s.platform.AwaitCreations(awaited, before+1); err != nil {
			return errors.Join(errNothing, s.platform.SetFaults(northbound.Faults{}))
		}
		errs := []error{s.platform.SetFaults(northbound.Faults{})}
		for _, slot := range s.controllers {
			errs = append(errs, do(slot))
		}
		sleep(ctx, f.lasts)
		for _, slot := range s.controllers {
			errs = append(errs, slot.thaw(), slot.up(ctx))
		}
		return errors.Join(errs...)
	}
}
