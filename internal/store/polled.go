// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// polledPrefix is what the names of slices begin with whose results were asked for.
const polledPrefix = "polled-"

// Heard is what the tally knows of a device: whether it counts less than it would with a state, and when anything of it
// arrived last, in microseconds since 1970-01-01 UTC; 0 where nothing did.
func (s *Store) Heard(task result.Task, deviceID string, state storage.State) (lacks bool, last int64) {
	return s.index.tally.Heard(task, deviceID, state)
}

// AddPolled stores results of a task that no notification brought, and that the platform was asked for. The names of
// the slices follow from their content, so that storing the same again, by this leader or another one, does nothing.
func (s *Store) AddPolled(ctx context.Context, task result.Task, results []result.Result) error {
	if err := s.WaitForSync(ctx); err != nil {
		return err
	}
	for _, tables := range result.Split(results, storage.MaxSliceBytes-sliceOverhead) {
		slice := &storage.ResultSlice{Tables: tables}
		content, err := json.Marshal(tables)
		if err != nil {
			return fmt.Errorf("encode polled results: %w", err)
		}
		sum := sha256.Sum256(content)
		slice.Namespace, slice.Name = s.options.Namespace, polledPrefix+hex.EncodeToString(sum[:16])
		slice.Labels = map[string]string{storage.LabelTask: task.Hash()}
		created, err := s.put(ctx, slice)
		if err != nil {
			return fmt.Errorf("store polled results: %w", err)
		}
		stored, read := newStoredSlice(created)
		s.publish(s.index.createdWith(stored, read))
	}
	return nil
}
