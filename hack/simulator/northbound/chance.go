// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
)

// defaultSilence is how long a call is not answered, unless the fault says.
const defaultSilence = time.Minute

// faultState is the faults and the random numbers that they are drawn by. Each fault has numbers of its own, so that
// one does not change when another does.
type faultState struct {
	current Faults
	random  map[string]*rand.Rand
	seed    uint64
}

// set replaces the faults, and begins their random numbers anew.
func (f *faultState) set(faults Faults, seed uint64) {
	setDefault(&faults.Seed, seed)
	f.current, f.seed, f.random = faults.clone(), faults.Seed, map[string]*rand.Rand{}
	for _, n := range f.current.named() {
		f.random[n.name] = rand.New(rand.NewPCG(f.seed<<4|saltFault, xxhash.Sum64String(n.name)))
	}
}

// hit tells whether it goes wrong this time.
func (f *faultState) hit(name string) bool {
	fault := f.fault(name)
	if fault.Next > 0 {
		fault.Next--
		return true
	}
	return fault.Share > 0 && f.random[name].Float64() < fault.Share
}

// hitPush tells whether it goes wrong for a notification. What the share selects follows from the notification alone,
// not from the order in which pushes are made, so that it is the same in every run.
func (f *faultState) hitPush(name, notification string) bool {
	fault := f.fault(name)
	if fault.Next > 0 {
		fault.Next--
		return true
	}
	if fault.Share == 0 {
		return false
	}
	key := xxhash.Sum64String(strconv.FormatUint(f.seed, 10) + name + notification)
	return float64(key>>11)/(1<<53) < fault.Share
}

func (f *faultState) fault(name string) *Fault {
	for _, n := range f.current.named() {
		if n.name == name {
			return n.fault
		}
	}
	return &Fault{}
}

// hits are the faults that a call meets.
type hits struct {
	throttled, tokenRevoked, errorBefore, errorAfter, cut bool
	silence, createdLate, lag                             time.Duration
	shift, repeat, shuffled                               bool
}

// onCall draws the faults that concern a call.
func (f *faultState) onCall(kind Call) hits {
	var h hits
	concerns := func(name string, kinds ...Call) bool {
		if named := f.fault(name).Calls; len(named) > 0 {
			kinds = named
		}
		return slices.Contains(kinds, kind) && f.hit(name)
	}
	h.throttled = concerns("throttled", allCalls()...)
	h.tokenRevoked = concerns("tokenRevoked", CallSubscribe, CallSubscriptions, CallDeleteSubscriptions, CallCreate,
		CallTasks, CallTask, CallSubTasks)
	h.errorBefore = concerns("errorBefore", CallCreate)
	h.errorAfter = concerns("errorAfter", CallCreate)
	h.cut = concerns("answerCut", CallCreate)
	if concerns("answerSilent", CallCreate) {
		h.silence = time.Duration(f.current.AnswerSilent.Delay)
		setDefault(&h.silence, defaultSilence)
	}
	if concerns("createdLate", CallCreate) {
		h.createdLate = time.Duration(f.current.CreatedLate.Delay)
	}
	if concerns("staResultLags", CallTasks, CallTask) {
		h.lag = time.Duration(f.current.StaResultLags.Delay)
	}
	h.shift = concerns("pagesShift", CallTasks, CallSubTasks)
	h.repeat = concerns("pagesRepeat", CallTasks, CallSubTasks)
	h.shuffled = concerns("pagesShuffled", CallTasks, CallSubTasks)
	return h
}
