// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

const (
	// pageUpgrades is how many FirmwareUpgrades are read at a time: their statuses may be 32 KiB each.
	pageUpgrades = 250
	// watchSeconds is after which time a watch ends and everything is read again, so that nothing is overlooked for long.
	watchSeconds = 240
	// followPause is how long to wait before reading again.
	followPause = 2 * time.Second
	// seePause is for how long changes are gathered before they are looked at.
	seePause = 200 * time.Millisecond
	// refusedPatience is how long refusals pass: an API server that starts refuses everybody but cluster administrators
	// until it has read the roles, and knows no kind until it has read the CRDs.
	refusedPatience = 5 * time.Minute
)

// errTimedOut is the cause of a context that ended because its time was up.
var errTimedOut = errors.New("the time is up")

// follower follows FirmwareUpgrades as they change.
type follower struct {
	client  client.WithWatch
	options []client.ListOption
	clock   clock.WithTicker
	// refresh is how often to look although nothing changed; 0 for never.
	refresh time.Duration
	// lost is told when the API server could not be asked, before that is tried again.
	lost func(error)
}

// upgradesByUID are FirmwareUpgrades as they are now.
type upgradesByUID map[types.UID]*v1alpha1.FirmwareUpgrade

// presence remembers which FirmwareUpgrades were seen.
type presence map[types.UID]types.NamespacedName

// lost returns one that was seen before and is not there any more, also if another one has its name by now.
func (p presence) lost(now []*v1alpha1.FirmwareUpgrade) (name types.NamespacedName, is bool) {
	gone := maps.Clone(p)
	for _, fwu := range now {
		delete(gone, fwu.UID)
		p[fwu.UID] = client.ObjectKeyFromObject(fwu)
	}
	for _, name = range gone {
		return name, true
	}
	return name, false
}

// sorted returns them by namespace and name.
func (u upgradesByUID) sorted() []*v1alpha1.FirmwareUpgrade {
	return slices.SortedFunc(maps.Values(u), func(a, b *v1alpha1.FirmwareUpgrade) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// seeFunc is told what there is. It says whether it has seen enough.
type seeFunc func([]*v1alpha1.FirmwareUpgrade) (enough bool, err error)

// run lists and watches until see has seen enough, the context ends, or the API server refuses for good. An error of
// the first list ends it, too.
func (f *follower) run(ctx context.Context, see seeFunc) error {
	refused := refusals{clock: f.clock}
	for begun := false; ; begun = true {
		now, version, err := f.list(ctx)
		if err != nil && !begun && ctx.Err() == nil {
			return err
		}
		var changes watch.Interface
		if err == nil {
			if enough, err := see(now.sorted()); enough || err != nil {
				return err
			}
			changes, err = f.open(ctx, version)
		}
		if err == nil {
			refused.granted()
			if enough, err := f.watch(ctx, changes, now, see); enough || err != nil {
				return err
			}
		} else if ctx.Err() == nil {
			if refused.areFinal(err) {
				return err
			}
			f.lost(err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.clock.After(followPause):
		}
	}
}

// refusals remembers what the API server granted and since when it refuses.
type refusals struct {
	clock clock.PassiveClock
	// wereGranted says that list and watch were granted before.
	wereGranted bool
	// since is when it began to refuse; zero where the last answer was none or another one.
	since time.Time
}

// granted notes that list and watch were granted.
func (r *refusals) granted() { r.wereGranted, r.since = true, time.Time{} }

// areFinal takes an error, and says whether asking again is of no use. What was granted before may be granted again.
func (r *refusals) areFinal(err error) bool {
	if !isForbidden(err) && !apierrors.IsUnauthorized(err) && !isMissingKind(err) {
		r.since = time.Time{}
		return apierrors.IsBadRequest(err)
	}
	if r.since.IsZero() {
		r.since = r.clock.Now()
	}
	return !r.wereGranted || r.clock.Since(r.since) >= refusedPatience
}

// list reads all, a page at a time.
func (f *follower) list(ctx context.Context) (upgradesByUID, string, error) {
	now := upgradesByUID{}
	for next := ""; ; {
		page := &v1alpha1.FirmwareUpgradeList{}
		options := append(slices.Clone(f.options), client.Limit(pageUpgrades), client.Continue(next))
		if err := f.client.List(ctx, page, options...); err != nil {
			return nil, "", err
		}
		for i := range page.Items {
			now[page.Items[i].UID] = slim(page.Items[i].DeepCopy())
		}
		if next = page.Continue; next == "" {
			return now, page.ResourceVersion, nil
		}
	}
}

// open begins a watch.
func (f *follower) open(ctx context.Context, version string) (watch.Interface, error) {
	options := append(slices.Clone(f.options), &client.ListOptions{Raw: &metav1.ListOptions{
		ResourceVersion: version, TimeoutSeconds: new(int64(watchSeconds)),
	}})
	return f.client.Watch(ctx, &v1alpha1.FirmwareUpgradeList{}, options...)
}

// watch follows until see has seen enough or the watch ends.
func (f *follower) watch(ctx context.Context, changes watch.Interface, now upgradesByUID, see seeFunc) (bool, error) {
	defer changes.Stop()
	var refresh <-chan time.Time
	if f.refresh > 0 {
		ticker := f.clock.NewTicker(f.refresh)
		defer ticker.Stop()
		refresh = ticker.C()
	}
	var due <-chan time.Time // when to look; nil where nothing changed
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-refresh:
		case <-due:
		case change, open := <-changes.ResultChan():
			if !open || !now.apply(change) {
				return false, nil
			}
			if due == nil {
				due = f.clock.After(seePause)
			}
			continue
		}
		due = nil
		if enough, err := see(now.sorted()); enough || err != nil {
			return enough, err
		}
	}
}

// apply takes a change over. It says whether the watch goes on.
func (u upgradesByUID) apply(change watch.Event) bool {
	fwu, ok := change.Object.(*v1alpha1.FirmwareUpgrade)
	switch {
	case change.Type == watch.Bookmark:
		return true
	case change.Type == watch.Error || !ok:
		return false
	case change.Type == watch.Deleted:
		delete(u, fwu.UID)
	default:
		u[fwu.UID] = slim(fwu)
	}
	return true
}

// newFollower follows FirmwareUpgrades, and notes when the API server does not answer.
func (s *session) newFollower(
	c *connection, refresh time.Duration, note func(format string, args ...any), options ...client.ListOption,
) *follower {
	said := ""
	return &follower{
		client: c.client, options: options, clock: s.Clock, refresh: refresh,
		lost: func(err error) {
			if text := c.explain(err, "follow FirmwareUpgrades").Error(); text != said {
				said = text
				note("%s; trying again", text)
			}
		},
	}
}

// named selects one FirmwareUpgrade, in a way that RBAC can allow by its name.
func named(namespace, name string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace), client.MatchingFields{metav1.ObjectNameField: name}}
}
