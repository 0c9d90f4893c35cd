// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

// PageSize is how many items are asked for in a page of any list: the most that the platform gives (documented: 1–100,
// default 10).
const PageSize = 100

const (
	// maxPages is how many pages of a list are read.
	maxPages = 200
	// maxListBytes is how large the answers of a list may be in all, so that a hostile platform can't fill the memory.
	// A thousand tasks of 256 devices each have some 10 MiB.
	maxListBytes = 64 << 20
	// maxBarrenPages is how many pages in a row may bring nothing new. A platform that takes no notice of pageNo would
	// send the same one for ever.
	maxBarrenPages = 2
)

// page is one page of a list.
type page[T any] struct {
	items []T
	total number
	bytes int
}

// readPages reads all pages of a list. Neither their order nor whether they are a snapshot is documented, so that items
// may repeat and be missed while others come and go: of an item that comes twice the later one is kept, and the list is
// complete only where the platform's own total, the same on every page, is the number of items. calls is how many pages
// were asked for.
//
// It ends with an empty page, a page that is not full when the total is reached, or where reading on can't help. Where
// a page can't be had, what was read before it is returned beside the error.
func readPages[T any](
	id func(T) string, fetch func(pageNo int) (page[T], error),
) (items []T, complete bool, calls int, err error) {
	index := map[string]int{}
	var total number
	consistent := true
	bytes, barren := 0, 0
	for pageNo := range maxPages {
		calls++
		p, err := fetch(pageNo)
		if err != nil {
			return items, false, calls, err
		}
		if pageNo == 0 {
			total = p.total
		}
		if len(p.items) == 0 { // of which some say that the total is 0
			return items, consistent && isTotal(total, len(items)), calls, nil
		}
		consistent = consistent && p.total == total
		before := len(items)
		for _, item := range p.items {
			key := id(item)
			if key == "" {
				consistent = false // an item that can't be told from others
				continue
			}
			if at, known := index[key]; known {
				items[at] = item
				continue
			}
			index[key] = len(items)
			items = append(items, item)
		}
		barren++
		if len(items) > before {
			barren = 0
		}
		reached := p.total.known && int64(len(items)) >= p.total.value
		if reached && (len(p.items) < PageSize || barren > 0) || barren >= maxBarrenPages {
			return items, consistent && isTotal(p.total, len(items)), calls, nil
		}
		if bytes += p.bytes; bytes > maxListBytes {
			break
		}
	}
	return items, false, calls, nil
}

func isTotal(total number, n int) bool { return total.known && total.value == int64(n) }
