// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store is the log-structured store of results: it reads the ResultSlices, keeps the tally true to them,
// compacts them, removes what is over, and says in the ResultStore how much there is. On the leader nothing else
// creates or deletes slices.
package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// Options of a Store.
type Options struct {
	// Client talks to the API server directly, nothing is cached.
	Client client.WithWatch
	// Namespace is the operator's, where the slices are.
	Namespace string
	// Limit is how many results are stored before new ones are refused; at least 1.
	Limit int
	// KeepUntil says until when the results of a task are kept. lastTouched is when the newest of them arrived, or when
	// the FirmwareUpgrade of the task was deleted, if that is later. Zero says that it is not known yet: they are kept.
	KeepUntil func(ctx context.Context, task result.Task, lastTouched time.Time) (time.Time, error)
	// LookUp says whether a FirmwareUpgrade exists, and whether its results are to be removed with it. That it does not
	// has to be certain: an old cache is not enough.
	LookUp func(ctx context.Context, object storage.ObjectReference) (exists, purges bool, err error)
	// RetainRejected is how long rejected notifications are kept at most.
	RetainRejected time.Duration
	// Instance names this process in Events; at most 128 bytes.
	Instance string
	// Registerer takes the metrics.
	Registerer prometheus.Registerer
	// Clock is the time.
	Clock clock.WithTicker
}

func (o *Options) validate() error {
	switch {
	case o.Client == nil || o.KeepUntil == nil || o.LookUp == nil || o.Registerer == nil || o.Clock == nil:
		return errors.New("make a store: Client, KeepUntil, LookUp, Registerer and Clock are needed")
	case o.Namespace == "":
		return errors.New("make a store: the namespace is empty")
	case o.Limit < 1:
		return fmt.Errorf("make a store: a limit of %d results is less than 1", o.Limit)
	}
	return nil
}

// Store is the leader's view of the stored results. Safe for concurrent use.
type Store struct {
	options Options
	client  client.WithWatch
	index   *index
	metrics *metrics
	// ownSlicesAt is how many results a task must have to get slices of its own: ownSlicesAtResults.
	ownSlicesAt int

	// received counts the results that were read.
	received atomic.Int64

	synced   chan struct{}
	syncOnce sync.Once
	// step holds a token while slices are rewritten, deleted or recounted: see begin.
	step chan struct{}
	// recountWanted holds a token when tasks have to be recounted.
	recountWanted chan struct{}
	announcing    announcing

	watchersMu sync.Mutex
	watchers   []*Watcher
}

// New returns a store that reads nothing before Start.
func New(o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Store{
		options: o, client: o.Client, index: newIndex(), ownSlicesAt: ownSlicesAtResults,
		synced: make(chan struct{}), step: make(chan struct{}, 1), recountWanted: make(chan struct{}, 1),
	}
	m, err := newMetrics(o.Registerer, s.index, o.Limit)
	if err != nil {
		return nil, err
	}
	s.metrics = m
	return s, nil
}

// Start claims the ResultStore, reads every slice, then compacts, removes what is over, counts anew and publishes how
// much is stored until the context ends, or until another installation owns the ResultStore: that is an error. It is a
// manager.Runnable of the leader.
func (s *Store) Start(ctx context.Context) error {
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithName("store"))
	if err := s.awaitClaim(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, work := range []func(context.Context){s.read, s.keepHouse, s.keepRecounted} {
		group.Go(func() error { work(ctx); return nil })
	}
	group.Go(func() error { return s.keepPublished(ctx) })
	return group.Wait()
}

// begin begins a step of work: compaction, retention, purges and recounts never work on slices at the same time. Who
// waits longest is next, so that a purge waits for one step of the others and not for all of them.
func (s *Store) begin(ctx context.Context) error {
	select {
	case s.step <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait until other work on slices is done: %w", ctx.Err())
	}
}

// end ends a step of work.
func (s *Store) end() { <-s.step }

// giveWay ends a step and begins the next, after that of anybody who waits.
func (s *Store) giveWay(ctx context.Context) error {
	s.end()
	s.step <- struct{}{} // whoever began a step ends it, so the error can wait
	return ctx.Err()
}

// WaitForSync returns when all slices that were stored at the start have been read, or with an error when the context
// ends.
func (s *Store) WaitForSync(ctx context.Context) error {
	select {
	case <-s.synced:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("read the stored slices: %w", ctx.Err())
	}
}

// Synced says whether all slices that were stored at the start have been read.
func (s *Store) Synced() bool {
	select {
	case <-s.synced:
		return true
	default:
		return false
	}
}

// Summary returns what the results of a task add up to.
func (s *Store) Summary(task result.Task, q tally.Query) tally.Summary {
	return s.index.tally.Summary(task, q)
}

// IsFull says whether the store takes no more results.
func (s *Store) IsFull() bool { return s.index.usage().load >= int64(s.options.Limit) }

// Tasks returns the tasks with an operation id that have results, sorted by application.
func (s *Store) Tasks(operationID string) []result.Task { return s.index.tally.Tasks(operationID) }

// AllTasks returns all tasks that have results, sorted by operation, then application.
func (s *Store) AllTasks() []result.Task { return s.index.tally.All() }

// FailuresFrom returns at most limit failures of a task, from a position of its failure log on.
func (s *Store) FailuresFrom(task result.Task, from int64, limit int) []tally.Failure {
	return s.index.tally.FailuresFrom(task, from, limit)
}

// DigestFailures groups the failures of a task by cause, from a position of its failure log on.
func (s *Store) DigestFailures(task result.Task, from int64, samples int) []tally.FailureGroup {
	return s.index.tally.DigestFailures(task, from, samples)
}

// Shrinks counts how often results may have been dropped from the tally.
func (s *Store) Shrinks() int64 { return s.index.tally.Shrinks() }

// FailuresUntil returns how many devices of a task had failed until a time.
func (s *Store) FailuresUntil(task result.Task, until time.Time) int64 {
	return s.index.tally.FailuresUntil(task, until.UnixMicro())
}

// SortFailures sorts the failure log of a task by the time of the failures.
func (s *Store) SortFailures(task result.Task) { s.index.tally.SortFailures(task) }

// Received returns how many results this process has read, repetitions included; what it compacts counts once.
func (s *Store) Received() int64 { return s.received.Load() }

// Unreadable names a slice with something that this version can't read, and that may be a result of a task; empty where
// there is none.
func (s *Store) Unreadable(task result.Task) string {
	if of := s.index.unreadableOf(task, math.MaxInt64); of != nil {
		return of.Name
	}
	return ""
}

// LastReceived returns when the newest notification of a task arrived; zero if none did.
func (s *Store) LastReceived(task result.Task) time.Time {
	if at := s.index.tally.LastReceivedAt(task); at != 0 {
		return time.UnixMicro(at)
	}
	return time.Time{}
}
