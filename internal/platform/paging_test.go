// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

type pagedItem struct{ id, version int }

func pagedID(i pagedItem) string {
	if i.id < 0 {
		return ""
	}
	return strconv.Itoa(i.id)
}

// TestPagingProperties reads a list from a platform whose pages shift, repeat, are shuffled, and whose total lies.
func TestPagingProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(90, 450)).Draw(t, "n")
		faults := rapid.Bool().Draw(t, "faults")
		lie := rapid.SampledFrom([]int{0, 0, 0, -1, 1, 100, -100}).Draw(t, "lie")
		noTotal := rapid.IntRange(0, 9).Draw(t, "noTotal") == 0
		order := rapid.Permutation(upTo(n)).Draw(t, "order")
		version, calls := 0, 0
		items, complete, asked, err := readPages(pagedID, func(pageNo int) (page[pagedItem], error) {
			if calls++; calls > maxPages {
				t.Fatalf("%d pages were read", calls)
			}
			if faults {
				switch rapid.SampledFrom([]string{"", "", "shift", "shuffle", "repeat", "short"}).Draw(t, "fault") {
				case "shift":
					by := rapid.IntRange(0, n).Draw(t, "by")
					order = append(append([]int{}, order[by:]...), order[:by]...)
				case "shuffle":
					order = rapid.Permutation(order).Draw(t, "order")
				case "repeat":
					pageNo = max(0, pageNo-1)
				case "short":
					pageNo += rapid.IntRange(0, 1).Draw(t, "skipped")
				}
			}
			p := page[pagedItem]{total: number{value: int64(max(0, n+lie)), known: !noTotal}}
			for _, id := range order[min(n, pageNo*PageSize):min(n, (pageNo+1)*PageSize)] {
				version++
				p.items = append(p.items, pagedItem{id: id, version: version})
			}
			return p, nil
		})
		seen := map[int]bool{}
		for _, item := range items {
			if seen[item.id] || item.id >= n {
				t.Fatalf("%d is there twice, or none", item.id)
			}
			seen[item.id] = true
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case asked != calls:
			t.Fatalf("says %d calls of %d", asked, calls)
		case complete && (noTotal || len(items) != max(0, n+lie)):
			t.Fatalf("complete with %d items of %d, by the platform's count %d", len(items), n, n+lie)
		case complete && lie == 0 && len(seen) != n:
			t.Fatalf("complete with %d of %d", len(seen), n)
		case !faults && !noTotal && lie == 0 && (!complete || calls > n/PageSize+1):
			t.Fatalf("a good platform: complete %t with %d items of %d, after %d pages", complete, len(items), n, calls)
		case !faults && (len(items) != n || calls > n/PageSize+2):
			t.Fatalf("%d items of %d after %d pages", len(items), n, calls)
		}
	})
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestPaging(t *testing.T) {
	full := func(from int) (items []pagedItem) {
		for id := range PageSize {
			items = append(items, pagedItem{id: from + id, version: from})
		}
		return items
	}
	total := func(n int64) number { return number{value: n, known: true} }
	broken := errors.New("broken")
	cases := map[string]struct {
		fetch                func(pageNo int) (page[pagedItem], error)
		items, pages         int
		complete, wantBroken bool
	}{
		"the same page for ever": {func(int) (page[pagedItem], error) {
			return page[pagedItem]{items: full(0), total: total(250)}, nil
		}, 100, 3, false, false},
		"the same page for ever, which is all": {func(int) (page[pagedItem], error) {
			return page[pagedItem]{items: full(0), total: total(100)}, nil
		}, 100, 2, true, false},
		"without end": {func(pageNo int) (page[pagedItem], error) {
			return page[pagedItem]{items: full(100 * pageNo), total: total(20000)}, nil
		}, 20000, 200, false, false},
		"large": {func(pageNo int) (page[pagedItem], error) {
			return page[pagedItem]{items: full(100 * pageNo), total: total(20000), bytes: maxAnswerBytes}, nil
		}, 1700, 17, false, false},
		"the total changes": {func(pageNo int) (page[pagedItem], error) {
			return page[pagedItem]{items: full(100 * pageNo)[:100-50*pageNo], total: total(int64(149 + pageNo))}, nil
		}, 150, 2, false, false},
		"short pages": {func(pageNo int) (page[pagedItem], error) {
			return page[pagedItem]{items: full(10 * pageNo)[:10], total: total(30)}, nil
		}, 30, 3, true, false},
		"no id": {func(int) (page[pagedItem], error) {
			return page[pagedItem]{items: []pagedItem{{id: 1}, {id: -1}}, total: total(1)}, nil
		}, 1, 1, false, false},
		"an error": {func(pageNo int) (page[pagedItem], error) {
			if pageNo == 1 {
				return page[pagedItem]{}, broken
			}
			return page[pagedItem]{items: full(0), total: total(100)}, nil
		}, 100, 2, false, true},
		"the last page's total is 0": {func(pageNo int) (page[pagedItem], error) {
			if pageNo == 1 {
				return page[pagedItem]{total: total(0)}, nil
			}
			return page[pagedItem]{items: full(0), total: total(100)}, nil
		}, 100, 2, true, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pages := 0
			items, complete, asked, err := readPages(pagedID, func(pageNo int) (page[pagedItem], error) {
				if pageNo != pages {
					t.Errorf("page %d instead of %d", pageNo, pages)
				}
				pages++
				return tc.fetch(pageNo)
			})
			if len(items) != tc.items || pages != tc.pages || asked != pages || complete != tc.complete ||
				errors.Is(err, broken) != tc.wantBroken {
				t.Errorf("got %d items of %d pages, complete %t, %v", len(items), pages, complete, err)
			}
		})
	}
}

// TestLaterWins holds that of an item that comes twice the later one is kept.
func TestLaterWins(t *testing.T) {
	items, _, _, _ := readPages(pagedID, func(pageNo int) (page[pagedItem], error) {
		if pageNo > 1 {
			return page[pagedItem]{}, nil
		}
		return page[pagedItem]{items: []pagedItem{{1, pageNo}, {2 + pageNo, pageNo}}}, nil
	})
	if got := fmt.Sprint(items); got != "[{1 1} {2 0} {3 1}]" {
		t.Errorf("got %s", got)
	}
}
