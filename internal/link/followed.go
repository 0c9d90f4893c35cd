// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"time"

	"fwupgrade.io/operator/internal/result"
)

// following is who follows a task, and since when.
type following struct {
	owner string
	since time.Time
}

// follow notes which tasks are followed, and since when by whom. It drops what is known of tasks that nobody follows
// any more, or somebody else does: what was repaired for another one is not this one's, nor what was compared before.
func (l *Link) follow(followed []Followed) {
	now := l.o.Clock.Now()
	still := make(map[result.Task]following, len(followed))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range followed {
		of, known := l.followed[f.Task]
		if !known || of.owner != f.Owner {
			of = following{owner: f.Owner, since: now}
			delete(l.views, f.Task)
		}
		still[f.Task] = of
	}
	for task := range l.followed {
		if _, ok := still[task]; !ok {
			delete(l.views, task)
			delete(l.receiving.polled, task)
		}
	}
	l.followed = still
}
