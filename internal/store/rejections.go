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
	return microTime(time.UnixMicro(rejected.lastAt))
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
// received last, with when that is.
type rejectedSome struct {
	count       int
	first, last rejection
	lastAt      int64
}

// rejectedWithin returns the rejected notifications that count as received after one time and until another, in
// microseconds since 1970-01-01 UTC. One that is stored twice, because compaction broke off, counts once.
func (x *index) rejectedWithin(after, until int64) (some rejectedSome) {
	x.mu.Lock()
	defer x.mu.Unlock()
	countsAt := map[rejection]int64{}
	for _, s := range x.byName {
		for _, r := range s.rejected {
			countsAt[r] = max(countsAt[r], s.countsAt(r.receivedAt))
		}
	}
	for r, at := range countsAt {
		if at <= after || at > until {
			continue
		}
		if some.count == 0 || r.receivedAt < some.first.receivedAt {
			some.first = r
		}
		if some.count == 0 || at >= some.lastAt {
			some.last, some.lastAt = r, at
		}
		some.count++
	}
	return some
}

// countsAt returns when a rejected notification of the slice counts as received where it is announced: at the time that
// the webhook says, unless it is long before they were stored, as the clock of a replica is behind. Then others of that
// time were announced long ago, and it counts from when it was stored.
func (s *storedSlice) countsAt(receivedAt int64) int64 {
	if s.isLate(receivedAt) {
		return s.rejectedStored
	}
	return receivedAt
}

// isLate says whether a rejected notification was stored long after the time that the webhook says.
func (s *storedSlice) isLate(receivedAt int64) bool {
	return s.rejectedStored-receivedAt > arrivalDelay.Microseconds()
}

// annotationStored says of a merged slice when its rejected notifications were stored first, in RFC 3339: where they
// count as received then, which compaction does not change.
const annotationStored = "storage.fwupgrade.io/rejected-stored"

// rejectedStored returns when the webhook stored the rejected notifications of a slice.
func rejectedStored(s *storage.ResultSlice) int64 {
	if !strings.HasPrefix(s.Name, mergedPrefix) {
		return s.CreationTimestamp.UnixMicro()
	}
	at, err := time.Parse(time.RFC3339, s.Annotations[annotationStored])
	if err != nil {
		return 0
	}
	return at.UnixMicro()
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
