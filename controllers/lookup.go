// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// indexOperationID lets the cache find FirmwareUpgrades by their operationId.
func indexOperationID(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1alpha1.FirmwareUpgrade{}, v1alpha1.FieldOperationID, func(o client.Object) []string {
		fwu, ok := o.(*v1alpha1.FirmwareUpgrade)
		if !ok {
			return nil
		}
		return []string{fwu.Spec.OperationID}
	})
	if err != nil {
		return fmt.Errorf("index FirmwareUpgrades by operationId: %w", err)
	}
	return nil
}

// sameOperation returns all FirmwareUpgrades with the operationId, from the cache. They must not be changed: they are
// the cache's own.
func sameOperation(ctx context.Context, c client.Reader, operationID string) ([]v1alpha1.FirmwareUpgrade, error) {
	list := &v1alpha1.FirmwareUpgradeList{}
	err := c.List(ctx, list, client.MatchingFields{v1alpha1.FieldOperationID: operationID}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("list FirmwareUpgrades by operationId: %w", err)
	}
	return list.Items, nil
}
