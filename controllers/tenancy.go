// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/upgrade"
)

// tenancy says which FirmwareUpgrade may claim what.
type tenancy struct {
	// apps maps applications to namespaces; nil permits every namespace everything.
	apps *applications.Map
	// placeholders is the namespace in which the operator makes placeholders.
	placeholders string
}

// isPlaceholder says whether the operator made the object and nobody edited its spec since. The label alone says
// nothing, since everybody may set it: a placeholder is where the operator makes them and named as it names them.
func (t tenancy) isPlaceholder(f *v1alpha1.FirmwareUpgrade) bool {
	generation := f.Generation
	if !f.DeletionTimestamp.IsZero() { // the deletion counts as a change
		generation--
	}
	return f.Labels[v1alpha1.LabelPlaceholder] == "true" && f.Namespace == t.placeholders &&
		f.Name == placeholderName(upgrade.Task{AppID: f.Spec.AppID, OperationID: f.Spec.OperationID}) && generation <= 1
}

// permitted says whether the object's namespace may claim what the object claims. Placeholders are the operator's own.
func (t tenancy) permitted(f *v1alpha1.FirmwareUpgrade) bool {
	if t.apps == nil || t.isPlaceholder(f) {
		return true
	}
	if f.Spec.AppID == "" {
		return len(t.apps.Applications(f.Namespace)) > 0
	}
	return t.apps.Permitted(f.Spec.AppID, f.Namespace)
}

// covers says whether the object claims the task of this application.
func (t tenancy) covers(f *v1alpha1.FirmwareUpgrade, appID string) bool {
	if !t.anyApplication(f) {
		return f.Spec.AppID == appID
	}
	return t.apps == nil || t.apps.Permitted(appID, f.Namespace)
}

// overlap says whether two objects with one operationId claim the task of a common application.
func (t tenancy) overlap(a, b *v1alpha1.FirmwareUpgrade) bool {
	switch {
	case !t.anyApplication(a):
		return t.covers(b, a.Spec.AppID)
	case !t.anyApplication(b):
		return t.covers(a, b.Spec.AppID)
	case t.apps == nil:
		return true
	default:
		return slices.ContainsFunc(t.apps.Applications(a.Namespace), func(app string) bool {
			return t.apps.Permitted(app, b.Namespace)
		})
	}
}

// precedence sorts declared ones before placeholders, then the older first, then the lower UID.
func (t tenancy) precedence(a, b *v1alpha1.FirmwareUpgrade) int {
	if pa, pb := t.isPlaceholder(a), t.isPlaceholder(b); pa != pb {
		if pa {
			return 1
		}
		return -1
	}
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c
	}
	return strings.Compare(string(a.UID), string(b.UID))
}

// anyApplication says whether the object claims the task of whatever application reports it. A placeholder without
// appId is of the task whose notifications name none.
func (t tenancy) anyApplication(f *v1alpha1.FirmwareUpgrade) bool {
	return f.Spec.AppID == "" && !t.isPlaceholder(f)
}
