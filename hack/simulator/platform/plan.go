// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package platform plays the IoT platform: it plans which notifications the devices of some upgrade tasks cause, and
// pushes them to a callback by the platform's rules. A plan is a pure function of its options, so that a plan also
// says what a receiver has to count.
package platform

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Bounds of a plan: beyond them it would need more memory than a simulator should take.
const (
	maxDevices       = 5_000_000
	maxReorderWindow = 1_000_000
)

// PlanOptions says what happens. Fractions are from 0 to 1 and met exactly, rounded to whole devices.
type PlanOptions struct {
	// Devices is how many devices there are in all tasks together, Tasks how many tasks they are spread over evenly.
	Devices, Tasks int
	// Fail is the fraction of the devices that report a failure.
	Fail float64
	// Retries is the fraction of the failing devices that succeed later; every other of them under a new sub-task.
	Retries float64
	// StateChanges is the fraction of the devices that report the steps of the upgrade first.
	StateChanges float64
	// Unfinished is the fraction of the devices that report steps and never a result.
	Unfinished float64
	// Duplicates is the fraction of the notifications that are pushed a second time, some time later.
	Duplicates float64
	// Reorder is by how many places at most a notification comes too early or too late; 0 keeps the order in which
	// things happened, up to what concurrent pushes change.
	Reorder int
	// Seed makes the plan: equal options, seed included, make equal plans.
	Seed uint64
	// AppID is the application; by default one is made from the seed.
	AppID string
	// OperationID is the task's id where there is one task, else what the tasks' ids begin with. By default they are
	// made from the seed.
	OperationID string
	// SourceVersion and TargetVersion are the firmware before and after; by default 1.3 and 1.6.
	SourceVersion, TargetVersion string
}

func (o *PlanOptions) setDefaults() {
	if o.AppID == "" {
		o.AppID = MakeAppID(o.Seed)
	}
	if o.SourceVersion == "" {
		o.SourceVersion = "1.3"
	}
	if o.TargetVersion == "" {
		o.TargetVersion = "1.6"
	}
}

func (o *PlanOptions) validate() error {
	var errs []error
	if o.Devices < 1 || o.Devices > maxDevices {
		errs = append(errs, fmt.Errorf("devices must be from 1 to %d, not %d", maxDevices, o.Devices))
	}
	if o.Tasks < 1 || o.Tasks > max(1, o.Devices) {
		errs = append(errs, fmt.Errorf("tasks must be from 1 to the number of devices, not %d", o.Tasks))
	}
	if o.Reorder < 0 || o.Reorder > maxReorderWindow {
		errs = append(errs, fmt.Errorf("reorder must be from 0 to %d, not %d", maxReorderWindow, o.Reorder))
	}
	for name, fraction := range map[string]float64{
		"fail": o.Fail, "retries": o.Retries, "state-changes": o.StateChanges, "unfinished": o.Unfinished,
		"duplicates": o.Duplicates, "fail and unfinished together": o.Fail + o.Unfinished,
	} {
		if !(fraction >= 0 && fraction <= 1) { // also refuses NaN
			errs = append(errs, fmt.Errorf("%s must be a fraction from 0 to 1, not %v", name, fraction))
		}
	}
	return errors.Join(errs...)
}

// Kind is what a notification says.
type Kind uint8

// The kinds, in the order in which they happen to a device. A device that fails and then succeeds is the retried one.
const (
	StepIdle Kind = iota
	StepDownloading
	StepDownloaded
	StepUpdating
	Fail
	Success
)

// Notification is one push of a plan.
type Notification struct {
	// Device and Task are numbers from 0.
	Device, Task int
	// Kind is what it says.
	Kind Kind
	// Attempt is 1 where it belongs to the device's second sub-task, else 0.
	Attempt int
}

// message is a Notification in few bytes: plans have millions.
type message struct {
	device  int32
	kind    Kind
	attempt uint8
}

// Plan is what the platform pushes, in order.
type Plan struct {
	options  PlanOptions
	messages []message
}

// NewPlan makes the plan of the options.
func NewPlan(o PlanOptions) (*Plan, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p := &Plan{options: o}
	random := rand.New(rand.NewPCG(o.Seed, saltOrder))
	p.messages = inOrder(p.happenings(random))
	p.messages = reorder(p.messages, o.Reorder, random)
	return p, nil
}

// happening is a message and when it happens, from 0 to 1.
type happening struct {
	message
	at float64
}

// happenings returns what happens to the devices, device by device, each in the order in which it happens.
func (p *Plan) happenings(random *rand.Rand) []happening {
	o := p.options
	// Two independent shuffles of the devices: who fails, who is retried and who never finishes; and who sends steps.
	fate, steps := random.Perm(o.Devices), random.Perm(o.Devices)
	failing := whole(o.Fail, o.Devices)
	retried := whole(o.Retries, failing)
	unfinished := min(whole(o.Unfinished, o.Devices), o.Devices-failing)
	withSteps := whole(o.StateChanges, o.Devices)

	all := make([]happening, 0, o.Devices+withSteps*4)
	for device := range o.Devices {
		n := fate[device]
		fails, isRetried, never := n < failing, n < retried, n >= o.Devices-unfinished
		m := message{device: int32(device)}
		at := random.Float64()
		add := func(kind Kind) {
			m.kind = kind
			all = append(all, happening{message: m, at: at})
			at += (1 - at) * random.Float64()
		}
		if never || steps[device] < withSteps {
			last := StepUpdating
			if never {
				last = Kind(random.IntN(int(StepUpdating) + 1))
			}
			for kind := StepIdle; kind <= last; kind++ {
				add(kind)
			}
		}
		if fails {
			add(Fail)
			if isRetried && n%2 == 1 {
				m.attempt = 1
			}
		}
		if !never && (!fails || isRetried) {
			add(Success)
		}
	}
	return p.duplicated(all, random)
}

// duplicated adds the repetitions, each some time after what it repeats.
func (p *Plan) duplicated(all []happening, random *rand.Rand) []happening {
	repeated := random.Perm(len(all))[:whole(p.options.Duplicates, len(all))]
	slices.Sort(repeated)
	for _, i := range repeated {
		again := all[i]
		again.at += (1 - again.at) * random.Float64()
		all = append(all, again)
	}
	return all
}

// inOrder returns the messages in the order of their times; what happens at the same time keeps its order.
func inOrder(all []happening) []message {
	slices.SortStableFunc(all, func(a, b happening) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		default:
			return 0
		}
	})
	messages := make([]message, len(all))
	for i := range all {
		messages[i] = all[i].message
	}
	return messages
}

// reorder moves every message by at most window places.
func reorder(messages []message, window int, random *rand.Rand) []message {
	if window == 0 {
		return messages
	}
	all := make([]happening, len(messages))
	for i, m := range messages {
		all[i] = happening{message: m, at: float64(i) + random.Float64()*float64(window)}
	}
	return inOrder(all)
}

// whole returns the fraction of n, rounded to the nearest whole number.
func whole(fraction float64, n int) int { return int(math.Round(fraction * float64(n))) }

// Options returns the options of the plan, defaults filled in.
func (p *Plan) Options() PlanOptions { return p.options }

// Len is how many notifications are pushed if none has to be repeated.
func (p *Plan) Len() int { return len(p.messages) }

// At returns the notification with the number i, from 0.
func (p *Plan) At(i int) Notification {
	m := p.messages[i]
	return Notification{Device: int(m.device), Task: p.taskOf(int(m.device)), Kind: m.kind, Attempt: int(m.attempt)}
}

// taskOf returns the number of a device's task: devices beside each other share it, and no task is more than one device
// larger.
func (p *Plan) taskOf(device int) int { return device * p.options.Tasks / p.options.Devices }
