// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// faultKind is what a fault does. Each is in the table of strikes.
type faultKind string

const (
	faultKillWebhook      faultKind = "kill a webhook"
	faultStopWebhook      faultKind = "SIGSTOP a webhook"
	faultKillControllers  faultKind = "kill a controllers process"
	faultStopControllers  faultKind = "SIGSTOP a controllers process"
	faultRollWebhooks     faultKind = "roll the webhooks"
	faultRollControllers  faultKind = "roll the controllers"
	faultKillAPIServer    faultKind = "kill kube-apiserver"
	faultStopAPIServer    faultKind = "SIGSTOP kube-apiserver"
	faultSlowAPIServer    faultKind = "slow kube-apiserver"
	faultKillEtcd         faultKind = "kill etcd"
	faultStopEtcd         faultKind = "SIGSTOP etcd"
	faultFillEtcd         faultKind = "fill etcd"
	faultFillStore        faultKind = "fill the store"
	faultApply            faultKind = "apply config/default again"
	faultRenewPolicies    faultKind = "delete the admission policies, apply them again"
	faultRemoveSlice      faultKind = "delete a slice by hand, restore it"
	faultRefuseEvents     faultKind = "refuse Events"
	faultRemoveFinalizers faultKind = "remove finalizers by hand"
)

// room is what a fault needs for itself while it lasts.
type room string

const (
	roomWebhook0     room = "webhook-0"
	roomWebhook1     room = "webhook-1"
	roomControllers0 room = "controllers-0"
	roomControllers1 room = "controllers-1"
	roomControlPlane room = "control plane"
	roomObjects      room = "objects"
	roomPlatform     room = "platform"
)

// fault is one that strikes at a time, counted from the beginning of the epoch, and lasts.
type fault struct {
	number    int
	kind      faultKind
	at, lasts time.Duration
	target    int // which of the two webhooks, or controllers
}

func (f fault) String() string {
	return fmt.Sprintf("#%d at %s: %s (%d) for %s", f.number, f.at.Round(100*time.Millisecond), f.kind, f.target,
		f.lasts.Round(100*time.Millisecond))
}

// rooms are what it needs for itself.
func (f fault) rooms() []room {
	switch f.kind {
	case faultKillWebhook, faultStopWebhook:
		return []room{[...]room{roomWebhook0, roomWebhook1}[f.target]}
	case faultKillControllers, faultStopControllers:
		return []room{[...]room{roomControllers0, roomControllers1}[f.target]}
	case faultRollWebhooks:
		return []room{roomWebhook0, roomWebhook1}
	case faultRollControllers:
		return []room{roomControllers0, roomControllers1}
	case faultFillStore:
		return []room{roomControllers0, roomControllers1, roomControlPlane}
	case faultFillEtcd: // nothing can be restored while it lasts
		return []room{roomControlPlane, roomObjects}
	case faultKillInCreation, faultStopInCreation:
		return []room{roomControllers0, roomControllers1, roomPlatform}
	case faultCutAnswers, faultSlowAnswers, faultErrorBefore, faultErrorAfter, faultCreatedLate, faultListedLate,
		faultShiftPages, faultPlatformAway:
		return []room{roomPlatform}
	case faultKillAPIServer, faultStopAPIServer, faultSlowAPIServer, faultKillEtcd, faultStopEtcd:
		return []room{roomControlPlane}
	default:
		return []room{roomObjects}
	}
}

// errNothing says that there was nothing to break, or that it did not break.
var errNothing = errors.New("nothing was broken")

// strikeFunc is what a fault does; it returns when all is healed.
type strikeFunc func(ctx context.Context, s *system, f fault, rng *rand.Rand) error

// strike is what a kind of faults does.
type strike struct {
	kind   faultKind
	weight int
	// shortest and longest are how long it lasts.
	shortest, longest time.Duration
	strike            strikeFunc
}

// strikes says what each kind does.
//
//nolint:gochecknoglobals // A constant table.
var strikes = []strike{
	{faultKillWebhook, 10, 0, 4 * time.Second, killWebhook},
	{faultStopWebhook, 8, time.Second, 20 * time.Second, stopWebhook},
	{faultKillControllers, 12, 0, 4 * time.Second, killControllers},
	{faultStopControllers, 10, time.Second, 25 * time.Second, stopControllers},
	{faultRollWebhooks, 6, 0, time.Second, rollWebhooks},
	{faultRollControllers, 6, 0, time.Second, rollControllers},
	{faultKillAPIServer, 8, 0, 6 * time.Second, killAPIServer},
	{faultStopAPIServer, 6, time.Second, 15 * time.Second, stopAPIServer},
	{faultSlowAPIServer, 6, 3 * time.Second, 12 * time.Second, slowAPIServer},
	{faultKillEtcd, 6, 0, 5 * time.Second, killEtcd},
	{faultStopEtcd, 5, time.Second, 12 * time.Second, stopEtcd},
	{faultFillEtcd, 4, 2 * time.Second, 6 * time.Second, fillEtcd},
	{faultFillStore, 4, 3 * time.Second, 8 * time.Second, fillStore},
	{faultApply, 4, 0, 0, applyConfig},
	{faultRenewPolicies, 4, 0, 4 * time.Second, renewPolicies},
	{faultRemoveSlice, 8, 2 * time.Second, 10 * time.Second, removeSlice},
	{faultRefuseEvents, 6, 3 * time.Second, 20 * time.Second, refuseEvents},
	{faultRemoveFinalizers, 3, 0, 0, removeFinalizers},
}

// planFaults plans faults of these kinds for an epoch, at most one at a time in each room.
func planFaults(rng *rand.Rand, strikes []strike, duration, every time.Duration) []fault {
	total := 0
	for _, s := range strikes {
		total += s.weight
	}
	var faults []fault
	for at := time.Duration(rng.ExpFloat64() * float64(every)); at < duration*9/10; {
		draw := rng.IntN(total)
		for _, s := range strikes {
			if draw -= s.weight; draw < 0 {
				faults = append(faults, fault{
					number: len(faults) + 1, kind: s.kind, at: at, target: rng.IntN(2),
					lasts: s.shortest + time.Duration(rng.Float64()*float64(s.longest-s.shortest)),
				})
				break
			}
		}
		at += time.Duration(rng.ExpFloat64() * float64(every))
	}
	return faults
}

// striker lets faults strike.
type striker struct {
	system *system
	log    func(format string, args ...any)
	seed   uint64

	mu    sync.Mutex
	taken map[room]bool
	freed *sync.Cond
	errs  []error
	// struck says how often each kind struck.
	struck map[faultKind]int
}

func newStriker(s *system, seed uint64, log func(string, ...any)) *striker {
	st := &striker{system: s, seed: seed, log: log, taken: map[room]bool{}, struck: map[faultKind]int{}}
	st.freed = sync.NewCond(&st.mu)
	return st
}

// run lets all of them strike, each when its time has come and its rooms are free, and returns when all are healed. One
// whose turn has not come when the context ends does not strike.
func (st *striker) run(ctx context.Context, faults []fault) error {
	stop := context.AfterFunc(ctx, st.freed.Broadcast)
	defer stop()
	began := time.Now()
	var all sync.WaitGroup
	for _, f := range faults {
		all.Go(func() {
			if !sleep(ctx, time.Until(began.Add(f.at))) || !st.enter(ctx, f) {
				return
			}
			defer st.leave(f)
			st.log("%s", f)
			st.struckBy(f, st.strike(ctx, f))
		})
	}
	all.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.errs) > 0 {
		return st.errs[0]
	}
	return nil
}

func (st *striker) strike(ctx context.Context, f fault) error {
	rng := rand.New(rand.NewPCG(st.seed, uint64(f.number))) //nolint:gosec // Chaos that can be repeated.
	for _, s := range slices.Concat(strikes, platformStrikes) {
		if s.kind == f.kind {
			return s.strike(ctx, st.system, f, rng)
		}
	}
	return fmt.Errorf("there is no fault %q", f.kind)
}

// enter waits until the rooms of a fault are free, and takes them; false if the context ended first.
func (st *striker) enter(ctx context.Context, f fault) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for slices.ContainsFunc(f.rooms(), func(r room) bool { return st.taken[r] }) {
		if ctx.Err() != nil {
			return false
		}
		st.freed.Wait()
	}
	if ctx.Err() != nil {
		return false
	}
	for _, r := range f.rooms() {
		st.taken[r] = true
	}
	return true
}

// struckBy notes what came of a fault.
func (st *striker) struckBy(f fault, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case err == nil:
		st.struck[f.kind]++
		st.log("#%d is healed", f.number)
	case errors.Is(err, errNothing):
		st.log("#%d: %s", f.number, err)
	default:
		st.errs = append(st.errs, fmt.Errorf("%s: %w", f, err))
	}
}

func (st *striker) leave(f fault) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, r := range f.rooms() {
		delete(st.taken, r)
	}
	st.freed.Broadcast()
}
