// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxDelay bounds the delay of a fault.
const maxDelay = 7 * 24 * time.Hour

// Faults is what the platform does wrong, or otherwise than its documents say. The zero value is a platform without
// faults.
type Faults struct {
	// Seed is what the shares are drawn from; by default the server's.
	Seed uint64 `json:"seed,omitempty"`

	// PushLost: a notification is never pushed. PushDoubled: it is pushed twice. PushLate: it is pushed a delay later.
	PushLost    Fault `json:"pushLost,omitzero"`
	PushDoubled Fault `json:"pushDoubled,omitzero"`
	PushLate    Fault `json:"pushLate,omitzero"`

	// These concern creations, or the calls that they name. AnswerCut: the call is handled, and the connection closed
	// in place of the answer. AnswerSilent: it is handled, and answered after a delay, of 60 s by default. ErrorBefore:
	// 500, and nothing was done. ErrorAfter: 500, and it was done.
	AnswerCut    Fault `json:"answerCut,omitzero"`
	AnswerSilent Fault `json:"answerSilent,omitzero"`
	ErrorBefore  Fault `json:"errorBefore,omitzero"`
	ErrorAfter   Fault `json:"errorAfter,omitzero"`
	// CreatedLate: a task is created a delay after its request. The request is not answered, or by 500 with ErrorAfter.
	CreatedLate Fault `json:"createdLate,omitzero"`

	// These concern all calls, or those that they name. Throttled: 403, 1010009, whatever the limit. TokenRevoked:
	// another holder has just logged in.
	Throttled    Fault `json:"throttled,omitzero"`
	TokenRevoked Fault `json:"tokenRevoked,omitzero"`

	// ListLags: a new task is not in the list of tasks before a delay passed. StaResultLags: the figures of a task are
	// as they were a delay ago.
	ListLags      Fault `json:"listLags,omitzero"`
	StaResultLags Fault `json:"staResultLags,omitzero"`
	// These concern pages of tasks and of sub-tasks. PagesShift: a page begins some places too early or too late.
	// PagesRepeat: the page before is answered. PagesShuffled: all pages are cut from another order.
	PagesShift    Fault `json:"pagesShift,omitzero"`
	PagesRepeat   Fault `json:"pagesRepeat,omitzero"`
	PagesShuffled Fault `json:"pagesShuffled,omitzero"`

	// TimeoutBeside: staResult counts sub-tasks that timed out in timeout alone, and not in fail, too.
	TimeoutBeside bool `json:"timeoutBeside,omitempty"`
	// TotalSize: pages have totalSize in place of totalCount, as in SDK code.
	TotalSize bool `json:"totalSize,omitempty"`
	// NumbersAsStrings: every number is a string. ExpiresInAsString: that of a login alone.
	NumbersAsStrings  bool `json:"numbersAsStrings,omitempty"`
	ExpiresInAsString bool `json:"expiresInAsString,omitempty"`
	// ClockOffset is by how much the platform's clock is wrong, in the Date header and in every time.
	ClockOffset Duration `json:"clockOffset,omitempty"`
	// EchoCallbackURL: the text of an error has the callback's URL.
	EchoCallbackURL bool `json:"echoCallbackUrl,omitempty"`
	// SubscriptionsUnlisted: subscriptions can't be listed: 404.
	SubscriptionsUnlisted bool `json:"subscriptionsUnlisted,omitempty"`
	// TasksUnlisted: tasks can't be listed: 404. DefaultsUnlisted: of a task's policy the list of tasks does not have what
	// a creation need not say.
	TasksUnlisted    bool `json:"tasksUnlisted,omitempty"`
	DefaultsUnlisted bool `json:"defaultsUnlisted,omitempty"`
	// SubscribeAgain is what a second subscription to a type does.
	SubscribeAgain SubscribeAgain `json:"subscribeAgain,omitempty"`
	// CreatedStatus is what a creation is answered with: 200, the default, or 201.
	CreatedStatus int `json:"createdStatus,omitempty"`
}

// Fault says how often something goes wrong.
type Fault struct {
	// Share is how often, from 0 to 1.
	Share float64 `json:"share,omitempty"`
	// Next is how often in a row, from now on, whatever the share.
	Next int `json:"next,omitempty"`
	// Delay is by how much, where the fault is one of time.
	Delay Duration `json:"delay,omitempty"`
	// Calls are the kinds of calls it concerns, where it concerns calls.
	Calls []Call `json:"calls,omitempty"`
}

// SubscribeAgain is what a second subscription to a type does.
type SubscribeAgain string

// What a second subscription to a type does. The default replaces.
const (
	SubscribeAgainReplaces SubscribeAgain = "replaces"
	SubscribeAgainAdds     SubscribeAgain = "adds"
	SubscribeAgainRefused  SubscribeAgain = "refused"
)

// Duration is a duration that JSON has as Go writes it: "50m".
type Duration time.Duration

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// named returns every fault with its name, and which of them have a delay and which calls.
func (f *Faults) named() []namedFault {
	return []namedFault{
		{"pushLost", &f.PushLost, false, false},
		{"pushDoubled", &f.PushDoubled, false, false},
		{"pushLate", &f.PushLate, true, false},
		{"answerCut", &f.AnswerCut, false, true},
		{"answerSilent", &f.AnswerSilent, true, true},
		{"errorBefore", &f.ErrorBefore, false, true},
		{"errorAfter", &f.ErrorAfter, false, true},
		{"createdLate", &f.CreatedLate, true, false},
		{"throttled", &f.Throttled, false, true},
		{"tokenRevoked", &f.TokenRevoked, false, true},
		{"listLags", &f.ListLags, true, false},
		{"staResultLags", &f.StaResultLags, true, false},
		{"pagesShift", &f.PagesShift, false, false},
		{"pagesRepeat", &f.PagesRepeat, false, false},
		{"pagesShuffled", &f.PagesShuffled, false, false},
	}
}

type namedFault struct {
	name            string
	fault           *Fault
	delayed, ofCall bool
}

// Validate says what is wrong with the faults.
func (f *Faults) Validate() error {
	var errs []error
	for _, n := range f.named() {
		switch fault := n.fault; {
		case !(fault.Share >= 0 && fault.Share <= 1): // also refuses NaN
			errs = append(errs, fmt.Errorf("%s: the share must be from 0 to 1, not %v", n.name, fault.Share))
		case fault.Next < 0:
			errs = append(errs, fmt.Errorf("%s: next must not be negative", n.name))
		case fault.Delay < 0 || time.Duration(fault.Delay) > maxDelay || fault.Delay != 0 && !n.delayed:
			errs = append(errs, fmt.Errorf("%s: it has no delay, or none of 0 to %s", n.name, maxDelay))
		case n.delayed && n.name != "answerSilent" && fault.Delay == 0 && (fault.Share > 0 || fault.Next > 0):
			errs = append(errs, fmt.Errorf("%s: it needs a delay", n.name))
		case len(fault.Calls) > 0 && !n.ofCall:
			errs = append(errs, fmt.Errorf("%s: it does not concern calls", n.name))
		}
		for _, kind := range n.fault.Calls {
			if !slices.Contains(allCalls(), kind) {
				errs = append(errs, fmt.Errorf("%s: there is no call %q", n.name, kind))
			}
		}
	}
	if offset := time.Duration(f.ClockOffset); offset.Abs() > maxDelay {
		errs = append(errs, fmt.Errorf("clockOffset must be from -%s to %s", maxDelay, maxDelay))
	}
	switch f.SubscribeAgain {
	case "", SubscribeAgainReplaces, SubscribeAgainAdds, SubscribeAgainRefused:
	default:
		errs = append(errs, fmt.Errorf("subscribeAgain must be replaces, adds or refused, not %q", f.SubscribeAgain))
	}
	if f.CreatedStatus != 0 && f.CreatedStatus != 200 && f.CreatedStatus != 201 {
		errs = append(errs, fmt.Errorf("createdStatus must be 200 or 201, not %d", f.CreatedStatus))
	}
	return errors.Join(errs...)
}

func allCalls() []Call {
	var kinds []Call
	for _, e := range endpoints() {
		kinds = append(kinds, e.kind)
	}
	return kinds
}

// SetFaults replaces the faults.
func (s *Server) SetFaults(f Faults) error {
	if err := f.Validate(); err != nil {
		return err
	}
	s.lock()
	defer s.unlock()
	s.faults.set(f, s.options.Seed)
	return nil
}

// Faults returns the faults as they are: Next counts down.
func (s *Server) Faults() Faults {
	s.lock()
	defer s.unlock()
	return s.faults.current.clone()
}

func (f *Faults) clone() Faults {
	c := *f
	for _, n := range c.named() {
		n.fault.Calls = slices.Clone(n.fault.Calls)
	}
	return c
}

// String is the JSON.
func (f Faults) String() string {
	text, _ := json.Marshal(f) // has nothing that can't be encoded
	return string(text)
}
