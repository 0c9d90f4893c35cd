// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
)

// maxRuns is how many files are merged at once.
const maxRuns = 32

// sorter sorts any number of items in bounded memory, and joins those that are equal: what does not fit goes to sorted
// files, which are merged in the end. An item must survive encoding/gob.
type sorter[T any] struct {
	// compare is the order; items are joined where it says 0.
	compare func(a, b T) int
	// join makes one of two equal items, in any order.
	join func(a, b T) T
	// limit is how many items are held in memory at most.
	limit int
	// parent is where the folder of the files is made; empty for the system's.
	parent string

	held []T
	dir  string
	runs []string
}

// add takes an item.
func (s *sorter[T]) add(item T) error {
	s.held = append(s.held, item)
	if len(s.held) < s.limit {
		return nil
	}
	s.compact()
	if len(s.held) <= s.limit/2 {
		return nil // most were equal
	}
	return s.spill()
}

// compact sorts what is held, and joins what is equal.
func (s *sorter[T]) compact() {
	if len(s.held) == 0 {
		return
	}
	slices.SortFunc(s.held, s.compare)
	last := 0
	for _, item := range s.held[1:] {
		if s.compare(s.held[last], item) == 0 {
			s.held[last] = s.join(s.held[last], item)
			continue
		}
		last++
		s.held[last] = item
	}
	clear(s.held[last+1:])
	s.held = s.held[:last+1]
}

// spill writes what is held, which is compact, to a file.
func (s *sorter[T]) spill() error {
	if s.dir == "" {
		dir, err := os.MkdirTemp(s.parent, "kubectl-fwupgrade-")
		if err != nil {
			return fmt.Errorf("make a folder for results that don't fit the memory: %w", err)
		}
		s.dir = dir
	}
	if len(s.runs) == maxRuns {
		if err := s.mergeRuns(); err != nil {
			return err
		}
	}
	if err := s.writeRun(sequence(s.held)); err != nil {
		return err
	}
	clear(s.held)
	s.held = s.held[:0]
	return nil
}

// mergeRuns makes one file of all.
func (s *sorter[T]) mergeRuns() error {
	inputs := s.runs
	merged, closeAll, err := s.merge(inputs, nil)
	if err != nil {
		return err
	}
	s.runs = nil
	if err := errors.Join(s.writeRun(merged), closeAll()); err != nil {
		return err
	}
	for _, path := range inputs {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove a file of results: %w", err)
		}
	}
	return nil
}

// sorted returns all items, each once, in order. An error ends it, and so does the end of the context.
func (s *sorter[T]) sorted(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		s.compact()
		items, closeAll, err := s.merge(s.runs, s.held)
		if err != nil {
			yield(none, err)
			return
		}
		defer func() { _ = closeAll() }() // they were read only
		for item, err := range items {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// close removes the files.
func (s *sorter[T]) close() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// sequence makes a sequence without errors.
func sequence[T any](items []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}
