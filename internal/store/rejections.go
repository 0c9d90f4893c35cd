// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// rejectedInterval is how far apart Events about rejected notifications are at least.
const rejectedInterval = time.Minute

// rejectedToAnnounce returns up to which receive time rejected notifications are to be announced; nil if nothing is to
// be added to what is in the status. The time is in the status before the Event is created and names it: whoever
// repeats it tells of the same notifications.
func (s *Store) rejectedToAnnounce(st storage.ResultStoreStatus, now time.Time) *metav1.MicroTime {
	if !st.RejectTime.Equal(st.AnnouncedRejectTime) {
		return nil // one is under way
	}
	last := s.announcing.rejected
	if last.IsZero() && st.AnnouncedRejectTime != nil {
		last = s.announcing.started // another leader announced it, perhaps a moment ago
	}
	if now.Sub(last) < rejectedInterval {
		return nil
	}
	// What was received a moment ago may be stored after what was received later.
	rejected := s.index.rejectedWithin(microsOf(st.AnnouncedRejectTime), now.Add(-arrivalDelay).UnixMicro())
	if rejected.count == 0 {
		return nil
	}
	return microTime(time.UnixMicro(rejected.last.countsAt))
}

// announceRejected creates the Event about rejected notifications, and records that.
func (s *Store) announceRejected(ctx context.Context, store *storage.ResultStore, now time.Time) error {
	st := store.Status
	if st.RejectTime.Equal(st.AnnouncedRejectTime) {
		return nil
	}
	since, until := microsOf(st.AnnouncedRejectTime), microsOf(st.RejectTime)
	if rejected := s.index.rejectedWithin(since, until); rejected.count > 0 {
		note := rejectedNote(rejected, since, s.options.Namespace)
		err := s.announce(ctx, store, EventNotificationRejected, until, corev1.EventTypeWarning, note, now)
		if err != nil {
			return err
		}
		s.announcing.rejected = now
	}
	st.AnnouncedRejectTime = st.RejectTime
	return s.writeStatus(ctx, store, st)
}

// rejectedSome are some rejected notifications: how many, the one that was received first, and the one that counts as
// received last.
type rejectedSome struct {
	count       int
	first, last rejection
}

// rejectedWithin returns the rejected notifications that count as received after one time and until another, in
// microseconds since 1970-01-01 UTC. One that is stored twice, because compaction broke off, counts once.
func (x *index) rejectedWithin(after, until int64) (some rejectedSome) {
	x.mu.Lock()
	defer x.mu.Unlock()
	seen := map[rejection]struct{}{}
	for _, s := range x.byName {
		for _, r := range s.rejected {
			if _, again := seen[r]; again || r.countsAt <= after || r.countsAt > until {
				continue
			}
			seen[r] = struct{}{}
			if some.count == 0 || r.receivedAt < some.first.receivedAt {
				some.first = r
			}
			if some.count == 0 || r.countsAt >= some.last.countsAt {
				some.last = r
			}
			some.count++
		}
	}
	return some
}

// dateRejected says of the rejected notifications of a slice when they count as received: at the time that the webhook
// says, unless it is long before they were stored, as the clock of a replica is behind. Then others of that time were
// announced long ago, and they count from when they were stored. Compaction stores them anew; that changes nothing. The
// caller has the lock.
func (x *index) dateRejected(s *storedSlice) {
	if len(s.rejected) == 0 {
		return
	}
	stored, merged := s.CreationTimestamp.UnixMicro(), strings.HasPrefix(s.Name, mergedPrefix)
	for i := range s.rejected {
		r := &s.rejected[i]
		r.countsAt = r.receivedAt
		if !merged && stored-r.receivedAt > arrivalDelay.Microseconds() {
			r.countsAt = stored
		}
	}
	if !merged {
		return
	}
	for _, other := range x.byName {
		for _, before := range other.rejected {
			for i := range s.rejected {
				if r := &s.rejected[i]; r.receivedAt == before.receivedAt && r.reason == before.reason {
					r.countsAt = max(r.countsAt, before.countsAt)
				}
			}
		}
	}
}

// rejectedNote says how many there were since when, why the last one could not be used, and how to list all of them, by
// the times at which they say that they were received.
func rejectedNote(rejected rejectedSome, since int64, namespace string) string {
	from := time.UnixMicro(rejected.first.receivedAt)
	if since > 0 && since < rejected.first.receivedAt {
		from = time.UnixMicro(since + 1)
	}
	return fmt.Sprintf("%d authentic notification(s) could not be used since %s, the last one: %s. To list them: "+
		`kubectl -n %s get fwslice -o json | jq '[.items[].rejected[]? | select(.receiveTime >= "%s")] | unique'`,
		rejected.count, from.UTC().Format(time.RFC3339), rejected.last.reason, namespace,
		from.UTC().Format(metav1.RFC3339Micro))
}

// microsOf is a time in microseconds since 1970-01-01 UTC; 0 for none.
func microsOf(at *metav1.MicroTime) int64 {
	if at == nil {
		return 0
	}
	return at.UnixMicro()
}
