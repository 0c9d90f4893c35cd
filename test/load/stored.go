// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/load/receiver"
	"fwupgrade.io/operator/webhook/wire"
)

// pageSize is how many objects are read at a time.
const pageSize = 250

// storedInSlices returns the results of all slices of the turn.
func storedInSlices(ctx context.Context, turn *turn) ([]result.Result, error) {
	var results []result.Result
	list := &storage.ResultSliceList{}
	err := eachPage(ctx, turn, list, func() error {
		for i := range list.Items {
			unpacked, err := result.Unpack(list.Items[i].Tables)
			if err != nil {
				return fmt.Errorf("read slice %s: %w", list.Items[i].Name, err)
			}
			results = append(results, unpacked...)
		}
		return nil
	})
	return results, err
}

// storedInConfigMaps returns the results of all slices that stand in ConfigMaps of the turn.
func storedInConfigMaps(ctx context.Context, turn *turn) ([]result.Result, error) {
	var results []result.Result
	list := &corev1.ConfigMapList{}
	err := eachPage(ctx, turn, list, func() error {
		for i := range list.Items {
			content, ok := list.Items[i].BinaryData[receiver.SliceKey]
			if !ok {
				continue
			}
			slice := &storage.ResultSlice{}
			if err := json.Unmarshal(content, slice); err != nil {
				return fmt.Errorf("decode the slice of ConfigMap %s: %w", list.Items[i].Name, err)
			}
			unpacked, err := result.Unpack(slice.Tables)
			if err != nil {
				return fmt.Errorf("read the slice of ConfigMap %s: %w", list.Items[i].Name, err)
			}
			results = append(results, unpacked...)
		}
		return nil
	})
	return results, err
}

// eachPage reads a list page by page, all of one moment, and calls do after each.
func eachPage(ctx context.Context, turn *turn, list client.ObjectList, do func() error) error {
	next := ""
	for {
		err := turn.api.List(ctx, list, client.InNamespace(turn.namespace), client.Limit(pageSize), client.Continue(next))
		if err != nil {
			return fmt.Errorf("list what is stored: %w", err)
		}
		if err := do(); err != nil {
			return err
		}
		if next = list.GetContinue(); next == "" {
			return nil
		}
	}
}

// pushedResults returns what the pushes of the plan have to be stored as.
func pushedResults(plan *platform.Plan) ([]result.Result, error) {
	results := make([]result.Result, plan.Len())
	for i := range results {
		body, err := plan.Body(i)
		if err != nil {
			return nil, err
		}
		n, err := wire.Decode(body)
		if err != nil {
			return nil, fmt.Errorf("decode notification %d: %w", i, err)
		}
		results[i] = n.Result(0)
	}
	return results, nil
}

// compareStored returns an error unless every result that was answered 200 is stored and nothing is that was not
// pushed, field by field except for the time of arrival. Answers are those to the pushed results, in their order; a
// result that was pushed but not answered 200 may be stored or not. One that stands in several slices counts once:
// compaction creates the merged slice before it deletes what it was merged from.
func compareStored(results []result.Result, answers pushed, stored []result.Result) error {
	withoutTime := func(r result.Result) result.Result {
		r.ReceivedAt, r.FailedAt, r.FirstReceivedAt, r.LastReceivedAt = 0, 0, 0, 0
		return r
	}
	want, allowed, got := map[result.Result]struct{}{}, map[result.Result]struct{}{}, map[result.Result]struct{}{}
	for i, r := range results {
		if answers[i].ok() {
			want[withoutTime(r)] = struct{}{}
		}
		if !answers[i].unsent() {
			allowed[withoutTime(r)] = struct{}{}
		}
	}
	for _, r := range stored {
		got[withoutTime(r)] = struct{}{}
	}
	missing, unknown := 0, 0
	for r := range want {
		if _, ok := got[r]; !ok {
			missing++
		}
	}
	for r := range got {
		if _, ok := allowed[r]; !ok {
			unknown++
		}
	}
	if missing > 0 || unknown > 0 {
		return fmt.Errorf("of %d results that were answered 200, %d are not stored; %d are that were not pushed", len(want),
			missing, unknown)
	}
	return nil
}
