// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"container/heap"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
)

// runBuffer is how much of each file is in memory.
const runBuffer = 64 << 10

// writeRun writes sorted items to a new file.
func (s *sorter[T]) writeRun(items iter.Seq2[T, error]) (err error) {
	file, err := os.CreateTemp(s.dir, "run-"+strconv.Itoa(len(s.runs))+"-")
	if err != nil {
		return fmt.Errorf("make a file for results that don't fit the memory: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = fmt.Errorf("write results to %s: %w", filepath.Dir(file.Name()), err)
		}
	}()
	buffer := bufio.NewWriterSize(file, runBuffer)
	encoder := gob.NewEncoder(buffer)
	for item, err := range items {
		if err == nil {
			err = encoder.Encode(&item)
		}
		if err != nil {
			return err
		}
	}
	s.runs = append(s.runs, file.Name())
	return buffer.Flush()
}

// source is sorted items: the rest of a file, or what is held in memory.
type source[T any] struct {
	head T
	next func() (T, error) // io.EOF at the end
}

// advance reads the next item, and says whether there is one.
func (s *source[T]) advance() (bool, error) {
	item, err := s.next()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	s.head = item
	return err == nil, err
}

// sources is a heap: the source with the least head first.
type sources[T any] struct {
	list    []*source[T]
	compare func(a, b T) int
}

// Len implements heap.Interface.
func (h *sources[T]) Len() int { return len(h.list) }

// Less implements heap.Interface.
func (h *sources[T]) Less(i, j int) bool { return h.compare(h.list[i].head, h.list[j].head) < 0 }

// Swap implements heap.Interface.
func (h *sources[T]) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }

// Push implements heap.Interface.
func (h *sources[T]) Push(x any) {
	if s, ok := x.(*source[T]); ok {
		h.list = append(h.list, s)
	}
}

// Pop implements heap.Interface.
func (h *sources[T]) Pop() any {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return last
}

// merge merges files and what is held in memory. The caller has to close the files.
func (s *sorter[T]) merge(runs []string, held []T) (_ iter.Seq2[T, error], closeAll func() error, err error) {
	var files []*os.File
	closeAll = func() error {
		var errs []error
		for _, file := range files {
			errs = append(errs, file.Close())
		}
		return errors.Join(errs...)
	}
	merging := &sources[T]{compare: s.compare}
	open := []*source[T]{{next: nextOf(held)}}
	for _, path := range runs {
		file, err := os.Open(path)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("read results from a file: %w", err), closeAll())
		}
		files = append(files, file)
		open = append(open, &source[T]{next: decoded[T](file)})
	}
	for _, from := range open {
		has, err := from.advance()
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("read results from a file: %w", err), closeAll())
		}
		if has {
			merging.list = append(merging.list, from)
		}
	}
	heap.Init(merging)
	return s.joined(merging), closeAll, nil
}

// joined is the items of all sources in order, equal ones joined.
func (s *sorter[T]) joined(merging *sources[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for len(merging.list) > 0 {
			item, err := merging.take()
			for err == nil && len(merging.list) > 0 && s.compare(item, merging.list[0].head) == 0 {
				var other T
				other, err = merging.take()
				item = s.join(item, other)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// take takes the least item.
func (h *sources[T]) take() (T, error) {
	from := h.list[0]
	item := from.head
	has, err := from.advance()
	if has {
		heap.Fix(h, 0)
	} else {
		heap.Pop(h)
	}
	return item, err
}

func nextOf[T any](items []T) func() (T, error) {
	return func() (item T, err error) {
		if len(items) == 0 {
			return item, io.EOF
		}
		item, items = items[0], items[1:]
		return item, nil
	}
}

func decoded[T any](from io.Reader) func() (T, error) {
	decoder := gob.NewDecoder(bufio.NewReaderSize(from, runBuffer))
	return func() (item T, err error) {
		err = decoder.Decode(&item)
		return item, err
	}
}
