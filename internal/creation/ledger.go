// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"context"
	"errors"
	"maps"
	"slices"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// Record is an entry of the ledger: the intent of an attempt, or its outcome. It is never changed.
type Record = storage.FirmwareUpgradeTaskRecordSpec

// MaxRecords is how many records there are at most. Nothing is created beyond: what is not recorded is not done.
const MaxRecords = 20_000

// The errors of a Ledger.
var (
	// ErrExists says that there is a record with this name.
	ErrExists = errors.New("there is such a record")
	// ErrNotFound says that there is none.
	ErrNotFound = errors.New("there is no such record")
)

// Ledger has the records of all attempts to create a task.
type Ledger interface {
	// Cached returns the records of a request as a cache has them, which may be behind.
	Cached(requestHash string) ([]Record, error)
	// All returns all records as they are stored now.
	All(ctx context.Context) ([]Record, error)
	// Get returns a record as it is stored now, or ErrNotFound.
	Get(ctx context.Context, name string) (*Record, error)
	// Create stores a record under its Name, or returns ErrExists. With another error it may be stored, or come to be.
	Create(ctx context.Context, r *Record) error
}

// Name returns the name of a record.
func Name(r *Record) string {
	if r.Outcome != nil {
		return storage.OutcomeName(r.RequestHash, r.Attempt)
	}
	return storage.IntentName(r.RequestHash, r.Attempt)
}

// attempt is one attempt to create the task of a request, by what is recorded of it.
type attempt struct {
	appID, requestHash string
	number             int32
	// intent is nil where only the outcome is recorded: of a task that was there already.
	intent *storage.TaskIntent
	// outcome is nil where it is not known yet.
	outcome *storage.TaskOutcome
}

// book is what records say, by request and attempt.
type book map[string][]attempt

func bookOf(records []Record) book {
	byName := map[string]*attempt{}
	for i := range records {
		r := &records[i]
		key := storage.IntentName(r.RequestHash, r.Attempt)
		a := byName[key]
		if a == nil {
			a = &attempt{appID: r.AppID, requestHash: r.RequestHash, number: r.Attempt}
			byName[key] = a
		}
		if r.Intent != nil {
			a.intent = r.Intent
		}
		if r.Outcome != nil {
			a.outcome = r.Outcome
		}
	}
	b := book{}
	for _, a := range byName {
		b[a.requestHash] = append(b[a.requestHash], *a)
	}
	for _, attempts := range b {
		slices.SortFunc(attempts, func(a, b attempt) int { return int(a.number) - int(b.number) })
	}
	return b
}

// owner returns which request a task was recorded for, empty if for none.
func (b book) owner(operationID string) string {
	for hash, attempts := range b {
		for _, a := range attempts {
			if a.created() && a.outcome.OperationID == operationID {
				return hash
			}
		}
	}
	return ""
}

// undecided returns the attempts without an outcome, in the order of the requests' hashes.
func (b book) undecided() []attempt {
	var all []attempt
	for _, hash := range slices.Sorted(maps.Keys(b)) {
		for _, a := range b[hash] {
			if a.outcome == nil {
				all = append(all, a)
			}
		}
	}
	return all
}

// undecidedOf returns the first attempt of a request without an outcome, nil if there is none.
func undecidedOf(attempts []attempt) *attempt {
	for i := range attempts {
		if attempts[i].outcome == nil {
			return &attempts[i]
		}
	}
	return nil
}

func (a *attempt) created() bool {
	return a.outcome != nil && a.outcome.Result == storage.TaskResultCreated
}

// last returns the newest attempt of a request, nil if there is none.
func last(attempts []attempt) *attempt {
	if len(attempts) == 0 {
		return nil
	}
	return &attempts[len(attempts)-1]
}

// inARow returns how many of the newest attempts came to a result.
func inARow(attempts []attempt, result storage.TaskResult) int {
	n := 0
	for _, a := range slices.Backward(attempts) {
		if a.outcome == nil || a.outcome.Result != result {
			break
		}
		n++
	}
	return n
}
