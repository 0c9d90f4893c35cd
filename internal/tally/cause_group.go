// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// groupDegree is small because most groups are.
const groupDegree = 8

// causeGroup holds the failed devices of one cause, the newest first. A group of one device, of which there may be
// many, has no tree yet.
type causeGroup struct {
	cause string
	// latestText is the text of a device that was described before, for others that have the same.
	latestText string

	single *failure
	tree   *btree.BTreeG[*failure]
}

// compareNewest orders failures by ReceivedAt, the newest first, then by device.
func compareNewest(a, b *failure) int {
	return cmp.Or(cmp.Compare(b.receivedAt, a.receivedAt), strings.Compare(a.deviceID, b.deviceID))
}

func newer(a, b *failure) bool { return compareNewest(a, b) < 0 }

func (g *causeGroup) add(f *failure) {
	if g.tree == nil {
		if g.single == nil {
			g.single = f
			return
		}
		g.tree = btree.NewBTreeGOptions(newer, btree.Options{NoLocks: true, Degree: groupDegree})
		g.tree.Set(g.single)
		g.single = nil
	}
	g.tree.Set(f)
}

func (g *causeGroup) remove(f *failure) {
	if g.tree == nil {
		g.single = nil
		return
	}
	g.tree.Delete(f)
}

func (g *causeGroup) len() int {
	switch {
	case g.tree != nil:
		return g.tree.Len()
	case g.single != nil:
		return 1
	default:
		return 0
	}
}

// scan calls visit with the failures, the newest first, until it returns false.
func (g *causeGroup) scan(visit func(*failure) bool) {
	if g.tree != nil {
		g.tree.Scan(visit)
	} else if g.single != nil {
		visit(g.single)
	}
}

// best keeps the first few, by compare, of what it is offered.
type best[T any] struct {
	limit   int
	compare func(a, b T) int
	list    []T
}

// offer says whether the item was kept. If not, no item that comes after it in the order would be.
func (b *best[T]) offer(item T) bool {
	at, _ := slices.BinarySearchFunc(b.list, item, b.compare)
	if at >= b.limit {
		return false
	}
	if len(b.list) == b.limit {
		b.list = b.list[:b.limit-1]
	}
	b.list = slices.Insert(b.list, at, item)
	return true
}
