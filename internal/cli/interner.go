// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"strings"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// maxInterned is how many texts an interner remembers before it begins anew.
const maxInterned = 4096

// interner gives results texts of their own, where they share the memory of a slice, and one text to all that have the
// same: a task has few versions and causes.
type interner struct{ texts map[string]string }

func (n *interner) detach(r *result.Result) {
	r.DeviceID, r.SubOperationID = strings.Clone(r.DeviceID), strings.Clone(r.SubOperationID)
	for _, text := range []*string{
		&r.AppID, &r.OperationID, &r.TargetVersion, &r.SourceVersion, &r.CurVersion, &r.StatusDesc, &r.UpgradeTime,
	} {
		*text = n.intern(*text)
	}
}

func (n *interner) intern(text string) string {
	if known, ok := n.texts[text]; ok {
		return known
	}
	if n.texts == nil || len(n.texts) >= maxInterned {
		n.texts = map[string]string{}
	}
	text = strings.Clone(text)
	n.texts[text] = text
	return text
}

// suspects says which results are suspect, as the operator's tally counts them.
type suspects struct {
	target string
	known  map[[2]string]bool // by target and current version
}

func newSuspects(target string) *suspects {
	return &suspects{target: target, known: map[[2]string]bool{}}
}

// has says whether a result is of a device that succeeded with, or towards, another version than the target.
func (s *suspects) has(r *result.Result) bool {
	if result.RankOf(r.State) != result.RankSucceeded {
		return false
	}
	versions := [2]string{r.TargetVersion, r.CurVersion}
	is, known := s.known[versions]
	if !known {
		of := tally.New()
		of.Add([]result.Result{*r})
		is = of.Summary(r.Task, tally.Query{TargetVersion: s.target}).Suspect > 0
		if len(s.known) < maxInterned {
			s.known[versions] = is
		}
	}
	return is
}

// compareStored orders what is stored of one device by arrival. It is 0 for what is stored twice.
func compareStored(a, b result.Result) int {
	return cmp.Or(
		cmp.Compare(a.ReceivedAt, b.ReceivedAt),
		cmp.Compare(result.RankOf(a.State), result.RankOf(b.State)),
		cmp.Compare(a.Digest(), b.Digest()),
		cmp.Compare(a.FailedAt, b.FailedAt),
		cmp.Compare(a.FirstReceivedAt, b.FirstReceivedAt),
		cmp.Compare(a.LastReceivedAt, b.LastReceivedAt),
		strings.Compare(a.AppID, b.AppID),
	)
}
