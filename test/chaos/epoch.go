// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
)

const (
	// malformedInterval is how often a notification is pushed that can't be used.
	malformedInterval = 2 * time.Second
	// restPatience is how long after everything is healed and answered the system may take to come to rest: an overdue
	// task ends a minute after it began, and failures keep a distance of 30 s.
	restPatience = 3 * time.Minute
	// checkInterval is how often it is looked whether it has.
	checkInterval = 2 * time.Second
	// steady is how long nothing may be wrong then, at any look: longer than a leader's lease and the distance of
	// failures' Events, so that what is told or counted again is seen.
	steady = 35 * time.Second
)

// epoch is a part of a run that can be repeated: it follows from the seed and its number.
type epoch struct {
	seed     uint64
	number   int
	duration time.Duration
	faults   []fault
	tasks    []*task
	skew     time.Duration
}

func planEpoch(o *options, number int) *epoch {
	rng := rand.New(rand.NewPCG(o.seed, uint64(number))) //nolint:gosec // Chaos that can be repeated.
	e := &epoch{seed: o.seed, number: number, duration: o.epoch}
	e.skew = [...]time.Duration{0, 150 * time.Second, -150 * time.Second}[rng.IntN(3)]
	e.tasks = plan(rng, fmt.Sprintf("s%d-e%d", o.seed, number), e.duration, o.rate)
	e.faults = planFaults(rng, strikes, e.duration, o.faultEvery)
	if o.platform {
		// By numbers of their own: what goes on without a platform goes on with it, too.
		rng = rand.New(rand.NewPCG(o.seed, 1<<32|uint64(number))) //nolint:gosec // As above.
		e.tasks = append(e.tasks, planWaves(rng, fmt.Sprintf("s%d-e%d", o.seed, number), len(e.tasks), e.duration)...)
		for _, f := range planFaults(rng, platformStrikes, e.duration, o.faultEvery/platformFaultsOften) {
			f.number = len(e.faults) + 1
			e.faults = append(e.faults, f)
		}
	}
	return e
}

// outcome is how an epoch ended.
type outcome struct {
	problems []string
	lives    []*life
	struck   map[faultKind]int
	rest     time.Duration // how long it took to come to rest
	looks    int
}

// run plays an epoch and returns what is wrong in the end.
func (e *epoch) run(ctx context.Context, s *system, log func(string, ...any)) (*outcome, error) {
	log("epoch %d: %d tasks, %d faults, the clock of webhook-1 is ahead by %s", e.number, len(e.tasks), len(e.faults),
		e.skew)
	if err := e.setClock(ctx, s); err != nil {
		return nil, err
	}
	before, err := s.leaders(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the lease: %w", err)
	}
	sender := newSender(s.webhooks, s.secret)
	watch := newWatcher(s, sender.answers, e.tasks)
	all, end := context.WithCancel(ctx)
	defer end()
	var background sync.WaitGroup
	background.Go(func() { sender.run(all) })
	background.Go(func() { watch.run(all) })
	defer background.Wait()
	defer end()

	began := time.Now()
	sender.gaps.begin()
	loading, stopLoad := context.WithTimeout(ctx, e.duration)
	defer stopLoad()
	// What is done to FirmwareUpgrades may take longer than the devices report: until everything is healed.
	scripts, stopScripts := context.WithTimeout(ctx, e.duration+healing+restPatience)
	defer stopScripts()
	lives := e.begin(scripts, s, sender, began)
	pushing, stopPushing := context.WithCancel(ctx)
	defer stopPushing()
	sender.malformed(pushing, e)
	lives = append(lives, sender.heartbeat(pushing, e))
	st := newStriker(s, e.seed+uint64(e.number), log)
	if err := st.run(loading, e.faults); err != nil {
		return nil, fmt.Errorf("the harness could not heal what it broke: %w", err)
	}
	<-loading.Done()
	sender.gaps.end()
	stopPushing()
	log("all is healed; %s", sender.summary())
	for _, l := range lives {
		<-l.done
	}
	o := &outcome{lives: lives, struck: st.struck}
	// A new leader sorts the log of failures, and so does one that finds again what somebody had deleted.
	reordered := func(have observed) int { return have.leaders - before + st.struck[faultRemoveSlice] }
	o.rest, o.problems, err = e.awaitRest(ctx, s, sender, lives, watch, reordered)
	found, looks := watch.take()
	o.problems = append(o.problems, found...)
	if o.looks = looks; looks == 0 {
		o.problems = append(o.problems, "no status was looked at while faults struck")
	}
	for _, l := range lives {
		if l.err != nil {
			o.problems = append(o.problems, l.err.Error())
		}
	}
	s.note(sender)
	log("at rest after %s; %s", o.rest.Round(time.Second), sender.summary())
	return o, err
}

// setClock sets the clock of the second webhook.
func (e *epoch) setClock(ctx context.Context, s *system) error {
	if webhook := s.webhooks[1]; webhook.setClock(e.skew) {
		return webhook.restart(ctx)
	}
	return nil
}

// begin lets all tasks begin.
func (e *epoch) begin(ctx context.Context, s *system, sender *sender, began time.Time) []*life {
	var lives []*life
	for _, t := range e.tasks {
		l := &life{
			task: t, system: s, sender: sender, began: began, done: make(chan struct{}),
			rng: rand.New(rand.NewPCG(e.seed, uint64(e.number)<<16|uint64(t.number))), //nolint:gosec // As above.
		}
		lives = append(lives, l)
		go func() {
			defer close(l.done)
			l.play(ctx)
		}()
	}
	return lives
}

// malformed pushes now and then what can't be used.
func (s *sender) malformed(ctx context.Context, e *epoch) {
	go func() {
		for i := 0; sleep(ctx, malformedInterval); i++ {
			text := fmt.Sprintf(`{"notifyType":"fwUpgradeResultNotify","deviceId":"malformed-%d-%d"}`, e.number, i)
			s.add(push{body: []byte(text), malformed: text})
		}
	}()
}

// heartbeatInterval is how often a device of a task of its own reports, so that something is always due.
const heartbeatInterval = 200 * time.Millisecond

// heartbeat pushes all the time, for a task that nobody declares.
func (s *sender) heartbeat(ctx context.Context, e *epoch) *life {
	t := &task{kind: kindUndeclared, operation: fmt.Sprintf("s%d-e%d-heartbeat", e.seed, e.number), maxFailed: -1}
	p := planned{device: t.operation + "-device", report: reportDownloading}
	l := &life{task: t, sender: s, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for sleep(ctx, heartbeatInterval) {
			s.add(push{task: t, planned: p, body: body(t, p)})
		}
	}()
	return l
}

// awaitRest waits until nothing is wrong any more, or patience ends, and then whether that stays so. It returns how
// long it took until nothing was wrong for the first time.
func (e *epoch) awaitRest(
	ctx context.Context, s *system, sender *sender, lives []*life, watch *watcher, reordered func(observed) int,
) (took time.Duration, problems []string, err error) {
	began, clean := time.Now(), time.Time{}
	for {
		have, err := s.observe(ctx)
		switch n := sender.pending.Load(); {
		case err != nil:
			problems = []string{err.Error()}
		case n > 0:
			problems = []string{fmt.Sprintf("%d pushes are not answered 200 yet", n)}
		default:
			problems = check(lives, sender.answers, watch.known(), have, reordered(have))
			problems = append(problems, s.checkCleared(have)...)
			problems = append(problems, s.checkReady()...)
		}
		switch {
		case len(problems) == 0 && clean.IsZero():
			clean = time.Now()
			took = clean.Sub(began)
		case len(problems) == 0 && time.Since(clean) > steady:
			return took, nil, nil
		case len(problems) > 0 && !clean.IsZero():
			return took, append(problems, "it was at rest before, and this came later"), nil
		case time.Since(began) > restPatience && clean.IsZero():
			return time.Since(began), problems, nil
		}
		if !sleep(ctx, checkInterval) {
			return time.Since(began), problems, errors.Join(context.Cause(ctx), ctx.Err())
		}
	}
}

// observe reads everything.
func (s *system) observe(ctx context.Context) (observed, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	upgrades, told, slices := &v1alpha1.FirmwareUpgradeList{}, &eventsv1.EventList{}, &storage.ResultSliceList{}
	store := &storage.ResultStore{}
	leaders, unknown := s.leaders(ctx)
	err := errors.Join(
		unknown, s.api.List(ctx, upgrades), s.api.List(ctx, told),
		s.api.List(ctx, slices, client.InNamespace(local.OperatorNamespace)),
		s.api.Get(ctx, client.ObjectKey{Name: storage.ResultStoreName}, store),
	)
	return observed{upgrades.Items, told.Items, slices.Items, *store, leaders, s.report()}, err
}

// leaders is how many leaders there were.
func (s *system) leaders(ctx context.Context) (int, error) {
	lease := &coordinationv1.Lease{}
	err := s.api.Get(ctx, client.ObjectKey{Namespace: local.OperatorNamespace, Name: "fwupgrade-controllers"}, lease)
	return 1 + int(ptr.Deref(lease.Spec.LeaseTransitions, 0)), client.IgnoreNotFound(err)
}

// checkReady says which of the operator's processes is not ready.
func (s *system) checkReady() []string {
	var problems []string
	for _, slot := range s.slots() {
		if !slot.ready.Load() {
			problems = append(problems, slot.name+" is not ready")
		}
	}
	return problems
}

// checkCleared looks for what is left of the epochs before. What a webhook whose clock is ahead received counts as
// received after the deletion, and stays.
func (s *system) checkCleared(have observed) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []string
	all, err := joinSlices(have.slices)
	if err != nil {
		return []string{err.Error()}
	}
	later := map[string]bool{}
	for task, devices := range all {
		deleted, cleared := s.cleared[task.OperationID]
		if !cleared {
			continue
		}
		left := 0
		for _, r := range devices {
			if !deleted.IsZero() && max(r.ReceivedAt, r.LastReceivedAt) > deleted.UnixMicro() {
				later[task.OperationID] = true
			} else {
				left++
			}
		}
		if left > 0 {
			problems = append(problems, fmt.Sprintf("%s: was purged, and %d results are stored", task.OperationID, left))
		}
	}
	for i := range have.upgrades {
		f := &have.upgrades[i]
		id := operationOf(f)
		if _, cleared := s.cleared[id]; cleared && !later[id] {
			problems = append(problems, fmt.Sprintf("%s: was purged, and there is %s/%s", id, f.Namespace, f.Name))
		}
	}
	return problems
}

// noteCleared notes when the deletion of a task with its results was asked for first. A wave may have no task.
func (s *system) noteCleared(id string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" && s.cleared[id].IsZero() {
		s.cleared[id] = at
	}
}

// clearing bounds how long a deletion may be refused: while an epoch lasts.
const clearing = 10 * time.Minute

// clear deletes the FirmwareUpgrades of an epoch with their results, while the next one runs: purges have to go on
// under faults, too. It does not wait; what is left at the end of the next epoch is a problem.
func (s *system) clear(ctx context.Context, lives []*life) {
	for _, l := range lives {
		if l.upgrade == nil {
			continue
		}
		id := l.taskID()
		s.noteCleared(id, time.Time{})
		go func() {
			ctx, cancel := context.WithTimeout(ctx, clearing)
			defer cancel()
			_ = insist(ctx, func(ctx context.Context) error {
				fwu := &v1alpha1.FirmwareUpgrade{}
				if err := s.api.Get(ctx, client.ObjectKeyFromObject(l.upgrade), fwu); err != nil {
					return client.IgnoreNotFound(err)
				}
				if fwu.Spec.DeletionPolicy != v1alpha1.DeletionPolicyPurge {
					fwu.Spec.DeletionPolicy = v1alpha1.DeletionPolicyPurge
					if err := s.api.Update(ctx, fwu); err != nil {
						return err
					}
				}
				if s.unguarded.Load() > 0 && len(fwu.Finalizers) == 0 {
					return errors.New("nothing would hold the deletion up")
				}
				s.noteCleared(id, time.Now())
				return client.IgnoreNotFound(s.api.Delete(ctx, fwu,
					client.PropagationPolicy(metav1.DeletePropagationBackground)))
			})
		}()
	}
}
