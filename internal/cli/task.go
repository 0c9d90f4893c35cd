// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// wantedTask is the task of a FirmwareUpgrade.
type wantedTask struct {
	result.Task
	// anyApplication says that it is not known yet of which application the task is: neither the spec names one, nor has
	// the operator counted a result.
	anyApplication bool
	// applications are those that results were seen of.
	applications map[string]struct{}
}

// taskOf returns the task of a FirmwareUpgrade: of the application that the spec names, else of the one that the
// operator counts. A placeholder without one is of the task whose notifications name none.
func taskOf(fwu *v1alpha1.FirmwareUpgrade) *wantedTask {
	t := &wantedTask{
		Task:         result.Task{AppID: cmp.Or(fwu.Spec.AppID, fwu.Status.AppID), OperationID: fwu.OperationID()},
		applications: map[string]struct{}{},
	}
	counted := fwu.Status.StartTime != nil || fwu.Spec.Placeholder
	t.anyApplication = t.AppID == "" && !counted
	return t
}

// has says whether a result is one of the task; none is while the task has not been created.
func (t *wantedTask) has(r *result.Result) bool {
	if t.OperationID == "" || r.OperationID != t.OperationID {
		return false
	}
	if !t.anyApplication {
		return r.AppID == t.AppID
	}
	if _, known := t.applications[r.AppID]; !known {
		t.applications[strings.Clone(r.AppID)] = struct{}{}
	}
	return true
}

// settle decides the application after all results were read.
func (t *wantedTask) settle() error {
	if !t.anyApplication || len(t.applications) == 0 {
		return nil
	}
	applications := slices.Sorted(maps.Keys(t.applications))
	if len(applications) > 1 {
		for i, application := range applications {
			applications[i] = fmt.Sprintf("%q", application)
		}
		return errors.New("several applications report this operationId (" + strings.Join(applications, ", ") +
			"): set spec.appId of the FirmwareUpgrade to the one that is meant")
	}
	t.AppID = applications[0]
	return nil
}

// isNotCounted says whether a FirmwareUpgrade does not have its task, and why not.
func isNotCounted(fwu *v1alpha1.FirmwareUpgrade) (why string, is bool) {
	ready := meta.FindStatusCondition(fwu.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "", false
	}
	switch ready.Reason {
	case v1alpha1.ReasonDuplicateOperation, v1alpha1.ReasonAmbiguousOperation, v1alpha1.ReasonNotPermitted,
		v1alpha1.ReasonAwaitingTask, v1alpha1.ReasonPurging, v1alpha1.ReasonReleased:
		return ready.Reason + ": " + ready.Message, true
	}
	return "", false
}
