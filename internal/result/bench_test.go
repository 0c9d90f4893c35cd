// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result_test

import (
	"testing"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
)

func BenchmarkPack(b *testing.B) {
	results := resulttest.Many(0, 1000, storage.StateSucceeded)
	b.ReportAllocs()
	for b.Loop() {
		result.Pack(results)
	}
}

func BenchmarkUnpack(b *testing.B) {
	tables := result.Pack(resulttest.Many(0, 1000, storage.StateSucceeded))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := result.Unpack(tables); err != nil {
			b.Fatal(err)
		}
	}
}
