// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"math/rand/v2"
	"slices"
	"strconv"
)

// Documented: the first page has the number 0, and pages have 10 entries by default.
const (
	defaultPageSize = 10
	maxPageSize     = 100
	maxPageNumber   = 1 << 40
)

// paging is which page is asked for.
type paging struct{ number, size int }

// paging reads the parameters; maxSize 0 stands for no bound. An empty one is as none: the pages of the SDKs say that
// nothing is paged then, those of the API say what the defaults are. The latter is done here.
func (c *call) paging(maxSize int) (paging, bool) {
	p := paging{size: defaultPageSize}
	for name, value := range map[string]*int{"pageNo": &p.number, "pageSize": &p.size} {
		text := c.query.Get(name)
		if text == "" {
			continue
		}
		number, err := strconv.ParseUint(text, 10, 63)
		if err != nil || number > maxPageNumber || text[0] == '+' {
			return paging{}, false
		}
		*value = int(number)
	}
	return p, p.size >= 1 && (maxSize == 0 || p.size <= maxSize)
}

// cut returns the entries of a page: never nil, as an empty page is an empty list.
func cut[T any](list []T, p paging) []T {
	return slice(list, p.number*min(p.size, len(list)+1), p.size)
}

// slice returns at most size entries from the place from on.
func slice[T any](list []T, from, size int) []T {
	from = min(max(from, 0), len(list))
	return append([]T{}, list[from:min(from+min(size, len(list)), len(list))]...)
}

// page returns the entries of a page as the faults of a call make it. The list must be one that may be changed.
func page[T any](list []T, p paging, h hits, random *rand.Rand) []T {
	if h.shuffled {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if h.repeat && p.number > 0 {
		p.number--
	}
	if !h.shift {
		return cut(list, p)
	}
	by := 1 + random.IntN(min(p.size, maxPageSize))
	if random.IntN(2) == 0 {
		by = -by
	}
	return slice(slices.Clone(list), p.number*min(p.size, len(list)+1)+by, p.size)
}

// total returns the number of entries under the name that the pages give it. Documented: totalCount. SDK code:
// totalSize.
func (s *Server) total(count int) (totalCount, totalSize *int) {
	if s.faults.current.TotalSize {
		return nil, &count
	}
	return &count, nil
}
