// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package claim decides which FirmwareUpgrade has a task: precedence, tenancy, placeholders. Pure.
package claim

import (
	"cmp"
	"slices"
	"strings"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// Applications says which namespaces may claim the tasks of which applications. Safe for concurrent use.
type Applications interface {
	// Permitted says whether a namespace may claim the tasks of an application.
	Permitted(appID, namespace string) bool
	// Applications returns those whose tasks a namespace may claim.
	Applications(namespace string) []string
}

// Rules say which FirmwareUpgrade may claim what.
type Rules struct {
	// Applications says who may claim what; nil permits every namespace everything.
	Applications Applications
	// PlaceholderNamespace is the namespace in which the operator makes placeholders.
	PlaceholderNamespace string
}

// permitted says whether the object's namespace may claim what the object claims. Placeholders are the operator's own,
// where the operator makes them.
func (r Rules) permitted(f *v1alpha1.FirmwareUpgrade) bool {
	switch {
	case f.Spec.Placeholder:
		return f.Namespace == r.PlaceholderNamespace
	case f.Spec.AppID == "":
		return r.Applications == nil || len(r.Applications.Applications(f.Namespace)) > 0
	}
	return r.mayClaim(f.Spec.AppID, f.Namespace)
}

// mayClaim says whether a namespace may claim the tasks of an application.
func (r Rules) mayClaim(appID, namespace string) bool {
	return r.Applications == nil || r.Applications.Permitted(appID, namespace)
}

// Claims says whether the object claims the task and may do so.
func (r Rules) Claims(f *v1alpha1.FirmwareUpgrade, task result.Task) bool {
	return f.OperationID() != "" && f.OperationID() == task.OperationID && r.permitted(f) && r.covers(f, task.AppID)
}

// covers says whether the object claims the task of this application.
func (r Rules) covers(f *v1alpha1.FirmwareUpgrade, appID string) bool {
	if !anyApplication(f) {
		return f.Spec.AppID == appID
	}
	return r.mayClaim(appID, f.Namespace)
}

// overlap says whether two objects with one operationId claim the task of a common application.
func (r Rules) overlap(a, b *v1alpha1.FirmwareUpgrade) bool {
	switch {
	case !anyApplication(a):
		return r.covers(b, a.Spec.AppID)
	case !anyApplication(b):
		return r.covers(a, b.Spec.AppID)
	case r.Applications == nil:
		return true
	default:
		return slices.ContainsFunc(r.Applications.Applications(a.Namespace), func(app string) bool {
			return r.mayClaim(app, b.Namespace)
		})
	}
}

// precedence sorts declared ones before placeholders, then the older first, then one whose results are being purged,
// then one that has counted results, then the lower UID. Creation times are kept in seconds: who comes later within the
// second takes nothing away.
func precedence(a, b *v1alpha1.FirmwareUpgrade) int {
	return cmp.Or(
		first(!a.Spec.Placeholder, !b.Spec.Placeholder),
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		first(purging(a), purging(b)),
		first(a.Status.StartTime != nil, b.Status.StartTime != nil),
		strings.Compare(string(a.UID), string(b.UID)),
	)
}

// first sorts what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// anyApplication says whether the object claims the task of whatever application reports it. A placeholder without
// appId is of the task whose notifications name none.
func anyApplication(f *v1alpha1.FirmwareUpgrade) bool {
	return f.Spec.AppID == "" && !f.Spec.Placeholder
}
