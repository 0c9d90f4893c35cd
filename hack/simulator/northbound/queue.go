// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import "container/heap"

// ordered is what knows what comes before it.
type ordered[T any] interface{ before(other T) bool }

// queue is a list that gives out first what comes first.
type queue[T ordered[T]] []T

func (q *queue[T]) add(added T) { heap.Push(q, added) }

// take removes and returns what comes first. There must be something.
func (q *queue[T]) take() T { return heap.Pop(q).(T) }

// Len, Less, Swap, Push and Pop are for package heap.

// Len is how many there are.
func (q *queue[T]) Len() int { return len(*q) }

// Less tells whether one comes before another.
func (q *queue[T]) Less(i, j int) bool { return (*q)[i].before((*q)[j]) }

// Swap exchanges two.
func (q *queue[T]) Swap(i, j int) { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }

// Push appends one.
func (q *queue[T]) Push(x any) { *q = append(*q, x.(T)) }

// Pop removes the last one, and forgets what it held.
func (q *queue[T]) Pop() any {
	old, last := *q, len(*q)-1
	popped := old[last]
	var zero T
	old[last] = zero
	*q = old[:last]
	return popped
}
