// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package claim

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// PlaceholderName is a hash: platform ids are no names.
func PlaceholderName(task result.Task) string { return "undeclared-" + task.Hash()[:16] }

// NewPlaceholder makes a FirmwareUpgrade for a task that nobody declared.
func NewPlaceholder(task result.Task, namespace string) *v1alpha1.FirmwareUpgrade {
	return &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      PlaceholderName(task),
			Labels:    map[string]string{"app.kubernetes.io/managed-by": "firmware-upgrade-operator"},
		},
		Spec: v1alpha1.FirmwareUpgradeSpec{AppID: task.AppID, OperationID: task.OperationID, Placeholder: true},
	}
}
