// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import "fwupgrade.io/operator/internal/platform"

const (
	// maxMoreItems is how many sub-tasks more than the figures tell a state may have: devices move while it is looked
	// through.
	maxMoreItems = 2 * platform.PageSize
	// maxBarrenPages is how many pages in a row may bring nothing new. A platform that takes no notice of the page's
	// number has no last one.
	maxBarrenPages = 2
	// leastPage is how many sub-tasks a page has at least where there are more: the platform's own size of a page, which
	// may be all that it gives (documented as default). maxShortPages are shorter.
	leastPage     = 10
	maxShortPages = 10
)

// paging is how far the look through the pages of a list of sub-tasks has come. How many a page has is the platform's
// choice, and what it calls the total may be that of the page: the end is where as many were seen as there are to be,
// or where pages are empty or bring nothing new.
type paging struct {
	// next is the page to ask for, seen how many sub-tasks were new in those before.
	next int
	seen int64
	// last are the sub-tasks of the last page, barren is how many pages in a row brought nothing new.
	last   map[string]struct{}
	barren int
}

// take notes a page of a list that is to have so many sub-tasks, and says whether it was the last one.
func (p *paging) take(page platform.SubTaskPage, count int64) (last bool) {
	p.next++
	here := make(map[string]struct{}, len(page.SubTasks))
	seen := p.seen
	p.seen += int64(page.Unusable) // which can't be told from others
	for i := range page.SubTasks {
		key := page.SubTasks[i].SubOperationID + "\n" + page.SubTasks[i].DeviceID
		_, before := p.last[key]
		if _, again := here[key]; !before && !again {
			p.seen++
		}
		here[key] = struct{}{}
	}
	p.last = here
	if p.barren++; p.seen > seen {
		p.barren = 0
	}
	wanted := max(count, min(page.Total, count+maxMoreItems))
	return page.Items == 0 || p.seen >= wanted || p.barren >= maxBarrenPages ||
		int64(p.next) >= wanted/leastPage+maxShortPages
}
