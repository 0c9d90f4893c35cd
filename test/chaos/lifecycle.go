// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// life is a task that is being played: its plan, and what was done to its FirmwareUpgrade.
type life struct {
	*task
	system *system
	sender *sender
	rng    *rand.Rand
	began  time.Time // of the epoch

	// upgrade is the FirmwareUpgrade that has the task in the end; nil where only a placeholder does.
	upgrade *v1alpha1.FirmwareUpgrade
	// purged says that the results of the first phase were removed; deleted is when that was asked for.
	purged  bool
	deleted time.Time
	// err is why it could not be played.
	err error
	// done is closed when it was played, or could not be.
	done chan struct{}
}

// play does everything to a task that the plan says, and returns when it is done.
func (l *life) play(ctx context.Context) {
	l.sleepUntil(ctx, l.start)
	if err := l.script(ctx); err != nil {
		l.err = fmt.Errorf("task %s: %w", l.operation, err)
	}
}

func (l *life) script(ctx context.Context) error {
	half := func() { l.sleep(ctx, time.Duration((0.2+0.5*l.rng.Float64())*float64(l.length))) }
	switch l.kind {
	case kindUndeclared:
		return l.report(ctx, 0, nil)
	case kindLate:
		return l.report(ctx, 0, func() error {
			half()
			return l.declare(ctx, l.fleet(), "", 0)
		})
	case kindRecreated:
		return l.declareAnd(ctx, func() error {
			for range 2 {
				half()
				old := l.upgrade
				if err := l.system.remove(ctx, old, l.propagation()); err != nil {
					return err
				}
				l.sleep(ctx, time.Duration(l.rng.Float64()*float64(3*time.Second)))
				if err := l.declare(ctx, old.Namespace, "", 0); err != nil {
					return err
				}
			}
			return nil
		})
	case kindRenamed:
		return l.declareAnd(ctx, func() error {
			half()
			old := l.upgrade
			if err := l.declare(ctx, l.fleet(), "-renamed", 0); err != nil {
				return err
			}
			l.sleep(ctx, time.Duration(l.rng.Float64()*float64(6*time.Second)))
			return l.system.remove(ctx, old, l.propagation())
		})
	case kindMoved:
		return l.move(ctx, half)
	case kindPurged:
		return l.purge(ctx)
	default:
		return l.declareAnd(ctx, nil)
	}
}

// declareAnd declares the task, and does something else while its devices report.
func (l *life) declareAnd(ctx context.Context, meanwhile func() error) error {
	if err := l.declare(ctx, l.fleet(), "", 0); err != nil {
		return err
	}
	return l.report(ctx, 0, meanwhile)
}

// move declares the task in a namespace that is deleted while devices report, and then elsewhere.
func (l *life) move(ctx context.Context, half func()) error {
	namespace := "moving-" + l.operation
	if err := l.system.ensureNamespace(ctx, namespace); err != nil {
		return err
	}
	if err := l.declare(ctx, namespace, "", 0); err != nil {
		return err
	}
	return l.report(ctx, 0, func() error {
		half()
		old := l.upgrade
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		err := insist(ctx, func(ctx context.Context) error {
			return client.IgnoreNotFound(l.system.api.Delete(ctx, object))
		})
		if err != nil {
			return err
		}
		if err := l.declare(ctx, l.fleet(), "", 0); err != nil {
			return err
		}
		return l.removeOrphan(ctx, object, old)
	})
}

// removeOrphan removes a FirmwareUpgrade that outlived its namespace: the namespace controller overlooks kinds of CRDs
// that an API server does not serve yet, which was started while it deleted a namespace. As nothing that an admission
// policy looks at can be deleted without its namespace, that is made again first.
func (l *life) removeOrphan(ctx context.Context, namespace *corev1.Namespace, old *v1alpha1.FirmwareUpgrade) error {
	err := insist(ctx, func(ctx context.Context) error {
		err := l.system.api.Get(ctx, client.ObjectKeyFromObject(namespace), &corev1.Namespace{})
		if err == nil {
			return errors.New("the namespace is still there")
		}
		return client.IgnoreNotFound(err)
	})
	if err != nil {
		return err
	}
	isGone := false
	err = insist(ctx, func(ctx context.Context) error {
		err := l.system.api.Get(ctx, client.ObjectKeyFromObject(old), &v1alpha1.FirmwareUpgrade{})
		isGone = apierrors.IsNotFound(err)
		return client.IgnoreNotFound(err)
	})
	if err != nil || isGone {
		return err
	}
	if err := l.system.ensureNamespace(ctx, namespace.Name); err != nil {
		return err
	}
	return l.system.remove(ctx, old, metav1.DeletePropagationBackground)
}

// purge deletes the FirmwareUpgrade with its results, once all that was pushed has been answered, and declares the task
// anew for other devices, which report meanwhile.
func (l *life) purge(ctx context.Context) error {
	if err := l.declare(ctx, l.fleet(), "", 0); err != nil {
		return err
	}
	if err := l.report(ctx, 0, nil); err != nil {
		return err
	}
	counted := insist(ctx, func(ctx context.Context) error {
		now := &v1alpha1.FirmwareUpgrade{}
		if err := l.system.api.Get(ctx, client.ObjectKeyFromObject(l.upgrade), now); err != nil {
			return err
		}
		// Nothing would be removed of what was never counted; and somebody may have removed the finalizer.
		if now.Status.StartTime == nil || len(now.Finalizers) == 0 {
			return errors.New("it counts nothing yet, or has no finalizer")
		}
		return nil
	})
	if counted != nil {
		return counted
	}
	// Times are stored in seconds: what arrives in the second of the deletion may be of either side.
	l.sleep(ctx, 2*time.Second)
	l.deleted = time.Now()
	removed := make(chan error, 1)
	go func() { removed <- l.system.remove(ctx, l.upgrade, metav1.DeletePropagationBackground) }()
	deleted := insist(ctx, func(ctx context.Context) error {
		now := &v1alpha1.FirmwareUpgrade{}
		err := l.system.api.Get(ctx, client.ObjectKeyFromObject(l.upgrade), now)
		if err == nil && now.DeletionTimestamp.IsZero() {
			return errors.New("it is not being deleted yet")
		}
		return client.IgnoreNotFound(err)
	})
	if deleted != nil {
		return errors.Join(deleted, <-removed)
	}
	l.sleep(ctx, 2*time.Second)
	return l.report(ctx, 1, func() error {
		if err := <-removed; err != nil {
			return err
		}
		l.purged = true
		return l.declare(ctx, l.upgrade.Namespace, "", 1)
	})
}

func (l *life) fleet() string { return fleets[l.rng.IntN(len(fleets))] }

func (l *life) propagation() metav1.DeletionPropagation {
	if l.rng.IntN(2) == 0 {
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}

// declare creates the FirmwareUpgrade for the devices of a phase.
func (l *life) declare(ctx context.Context, namespace, suffix string, phase int) error {
	fwu := l.newUpgrade(namespace, suffix, phase)
	if err := l.system.create(ctx, fwu); err != nil {
		return err
	}
	l.upgrade = fwu
	return nil
}

func (l *life) newUpgrade(namespace, suffix string, phase int) *v1alpha1.FirmwareUpgrade {
	fwu := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: strings.ToLower(l.operation) + suffix},
		Spec: v1alpha1.FirmwareUpgradeSpec{
			OperationID: l.operation, AppID: appID, TargetVersion: targetVersion, SettleSeconds: new(int64(0)),
		},
	}
	spec := &fwu.Spec
	switch l.kind {
	case kindListed:
		spec.Devices = l.devices[phase]
	case kindQuiet:
		spec.QuietSeconds = new(int64(15))
	default:
		spec.ExpectedDevices = new(int64(len(l.devices[phase])))
	}
	if l.wave != nil {
		l.askFor(spec)
	}
	if l.maxFailed >= 0 {
		spec.FailurePolicy = &v1alpha1.FailurePolicy{MaxFailed: intstr.FromInt(min(l.maxFailed, len(l.devices[phase])))}
	}
	switch l.kind {
	case kindPurged:
		if phase == 0 {
			spec.DeletionPolicy = v1alpha1.DeletionPolicyPurge
		}
	case kindArchived:
		spec.RetainResultsSeconds = new(int64(0))
	case kindOverdue:
		spec.DeadlineSeconds = new(int64(60))
	}
	return fwu
}

// report makes the notifications of a phase due, one after the other, does something else meanwhile, and returns when
// all of them were answered, or will never be pushed again.
func (l *life) report(ctx context.Context, phase int, meanwhile func() error) error {
	done := make(chan error, 1)
	go func() {
		if meanwhile == nil {
			done <- nil
			return
		}
		done <- meanwhile()
	}()
	began := time.Now()
	for _, p := range l.reports {
		if p.phase != phase {
			continue
		}
		if !sleep(ctx, time.Until(began.Add(p.after))) {
			break
		}
		l.sender.add(push{task: l.task, planned: p, body: body(l.task, p)})
	}
	if err := <-done; err != nil || l.kind != kindPurged {
		return err
	}
	// What is purged has to be answered before the deletion, or nobody knows on which side of it a result is.
	return insist(ctx, func(context.Context) error {
		if n := l.sender.underWay(l.task); n > 0 {
			return fmt.Errorf("%d pushes are under way", n)
		}
		return nil
	})
}

func (l *life) sleepUntil(ctx context.Context, offset time.Duration) {
	l.sleep(ctx, time.Until(l.began.Add(offset)))
}

func (l *life) sleep(ctx context.Context, d time.Duration) { sleep(ctx, d) }

// sleep returns false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
