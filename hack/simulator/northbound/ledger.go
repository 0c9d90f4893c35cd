// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"maps"
	"slices"
	"time"
)

// maxEntries bounds each list of the ledger. What is beyond is counted, and not listed.
const maxEntries = 200_000

// maxSamples is how many of what is not in the documents is listed.
const maxSamples = 100

// Report is the ledger: what clients did, and what came of it.
type Report struct {
	Start time.Time `json:"start"`
	Time  time.Time `json:"time"`

	Calls         CallCounts         `json:"calls"`
	Tasks         TaskCounts         `json:"tasks"`
	Pushes        PushCounts         `json:"pushes"`
	Subscriptions SubscriptionCounts `json:"subscriptions"`

	// Logins, Creations and CallList are every single one, up to 200,000 each.
	Logins    []Login      `json:"logins"`
	Creations []Creation   `json:"creations"`
	CallList  []CallRecord `json:"callList,omitempty"`
}

// CallCounts are the calls of the northbound API.
type CallCounts struct {
	Total  int          `json:"total"`
	ByKind map[Call]int `json:"byKind"`
	// MaxPerMinute is the highest number of calls in any sliding minute, throttled ones included.
	MaxPerMinute int `json:"maxPerMinute"`
	// Throttled are those that were answered 1010009.
	Throttled int `json:"throttled"`
	// StaleToken are those that came with a token that had been valid, StaleTokenAgain, those of them that were not the
	// first with their token.
	StaleToken      int `json:"staleToken"`
	StaleTokenAgain int `json:"staleTokenAgain"`
	// Beyond are those that were answered 400 for what the documents don't have; BeyondSamples says what that was.
	Beyond        int      `json:"beyond"`
	BeyondSamples []string `json:"beyondSamples,omitempty"`
	// Logins are those that succeeded, without those of another holder.
	Logins int `json:"logins"`
}

// CallRecord is a call.
type CallRecord struct {
	Time time.Time `json:"time"`
	Kind Call      `json:"kind"`
	// Status is 0 where the connection was closed in place of an answer.
	Status int    `json:"status"`
	Code   string `json:"code,omitempty"`
}

// Login is a login or a refresh.
type Login struct {
	Time time.Time `json:"time"`
	OK   bool      `json:"ok"`
	Code string    `json:"code,omitempty"`
	// Other is true where a fault or the control logged in for another holder.
	Other bool `json:"other,omitempty"`
}

// Creation is a POST of a task, whatever came of it.
type Creation struct {
	Time time.Time `json:"time"`
	// Hash is the SHA-256 of package and targets.
	Hash    string   `json:"hash"`
	FileID  string   `json:"fileId"`
	Devices int      `json:"devices,omitempty"`
	Groups  []string `json:"groups,omitempty"`
	// OperationID is the task that was created, if one was, whether or not the client was told.
	OperationID string `json:"operationId,omitempty"`
	// Status and Code are what was answered; Status is 0 where the connection was closed in place of an answer.
	Status int    `json:"status"`
	Code   string `json:"code,omitempty"`
}

// TaskCounts are the tasks that were created.
type TaskCounts struct {
	// Created are those that clients created, Console, those that were created without one.
	Created int `json:"created"`
	Console int `json:"console"`
	// Duplicates are those that upgrade what another task upgraded to the same package, without those that were
	// allowed; DuplicateHashes are which.
	Duplicates      int      `json:"duplicates"`
	DuplicateHashes []string `json:"duplicateHashes,omitempty"`
	// AllowedAgain is how many duplicates are still allowed.
	AllowedAgain int `json:"allowedAgain,omitempty"`
}

// PushCounts are the notifications and their pushes.
type PushCounts struct {
	// Due are the notifications to subscribers, Unsubscribed, those that nobody had subscribed to.
	Due          int `json:"due"`
	Unsubscribed int `json:"unsubscribed"`
	// Lost, Doubled and Late are those that a fault kept back, repeated and delayed.
	Lost    int `json:"lost"`
	Doubled int `json:"doubled"`
	Late    int `json:"late"`
	// Sent are the pushes that went out and ended: Delivered those that were answered 200, Answers all by status code,
	// or by what came instead. Discarded are those that were given up.
	Sent      int            `json:"sent"`
	Answers   map[string]int `json:"answers"`
	Delivered int            `json:"delivered"`
	Discarded int            `json:"discarded"`
	// Waiting are those that are still to be pushed.
	Waiting       int `json:"waiting"`
	Blacklistings int `json:"blacklistings"`
}

// SubscriptionCounts are the subscriptions.
type SubscriptionCounts struct {
	Made    int `json:"made"`
	Refused int `json:"refused"`
	Deleted int `json:"deleted"`
	// Current are how many there are by type.
	Current map[string]int `json:"current"`
}

// ledger is what is written down.
type ledger struct {
	report Report
	minute window
	hashes map[string]int // tasks by hash
}

func newLedger(now time.Time) ledger {
	return ledger{
		report: Report{
			Start: now, Calls: CallCounts{ByKind: map[Call]int{}}, Pushes: PushCounts{Answers: map[string]int{}},
			Logins: []Login{}, Creations: []Creation{},
		},
		hashes: map[string]int{},
	}
}

func (l *ledger) call(c *call, a answer) {
	counts := &l.report.Calls
	counts.Total++
	counts.ByKind[c.endpoint.kind]++
	l.minute.admit(c.at)
	if a.code == codeThrottled {
		counts.Throttled++
	}
	if a.beyond != "" {
		counts.Beyond++
		if len(counts.BeyondSamples) < maxSamples {
			counts.BeyondSamples = append(counts.BeyondSamples, string(c.endpoint.kind)+": "+a.beyond)
		}
	}
	record := CallRecord{Time: c.at, Kind: c.endpoint.kind, Status: a.status, Code: a.code}
	if a.cut {
		record.Status = 0
	}
	l.report.CallList = bounded(l.report.CallList, record)
}

func bounded[T any](list []T, added T) []T {
	if len(list) >= maxEntries {
		return list
	}
	return append(list, added)
}

func (l *ledger) login(login Login) {
	if login.OK && !login.Other {
		l.report.Calls.Logins++
	}
	l.report.Logins = bounded(l.report.Logins, login)
}

// staleToken notes a call with a token that is not valid any more, given how many there were with it.
func (l *ledger) staleToken(calls int) {
	l.report.Calls.StaleToken++
	if calls > 1 {
		l.report.Calls.StaleTokenAgain++
	}
}

func (l *ledger) creation(c Creation) { l.report.Creations = bounded(l.report.Creations, c) }

// lateTask notes which task a creation made in the end.
func (l *ledger) lateTask(posted time.Time, t *task) {
	for i := range l.report.Creations {
		c := &l.report.Creations[i]
		if c.Time.Equal(posted) && c.Hash == t.hash && c.OperationID == "" {
			c.OperationID = t.id
			return
		}
	}
}

// task notes a task that was created.
func (l *ledger) task(t *task) {
	counts := &l.report.Tasks
	if t.console {
		counts.Console++
	} else {
		counts.Created++
	}
	l.hashes[t.hash]++
	if l.hashes[t.hash] == 1 {
		return
	}
	if counts.AllowedAgain > 0 {
		counts.AllowedAgain--
		return
	}
	counts.Duplicates++
	counts.DuplicateHashes = append(counts.DuplicateHashes, t.hash)
}

// AllowAgain says that the next n tasks that upgrade what another upgraded to the same package are meant to, and no
// duplicates.
func (s *Server) AllowAgain(n int) {
	s.lock()
	defer s.unlock()
	s.ledger.report.Tasks.AllowedAgain = n
}

// Report returns the ledger as it is now.
func (s *Server) Report() *Report {
	now := s.lock()
	defer s.unlock()
	r := s.ledger.report
	r.Time = now
	r.Calls.ByKind = maps.Clone(r.Calls.ByKind)
	r.Calls.BeyondSamples = slices.Clone(r.Calls.BeyondSamples)
	r.Calls.MaxPerMinute = s.ledger.minute.max
	r.Tasks.DuplicateHashes = slices.Clone(r.Tasks.DuplicateHashes)
	r.Pushes.Answers = maps.Clone(r.Pushes.Answers)
	r.Pushes.Waiting, r.Pushes.Blacklistings = s.pushes.waiting()
	r.Subscriptions.Current = map[string]int{}
	for _, each := range s.subscriptions.all {
		r.Subscriptions.Current[each.NotifyType]++
	}
	r.Logins, r.Creations, r.CallList = slices.Clone(r.Logins), slices.Clone(r.Creations), slices.Clone(r.CallList)
	return &r
}
