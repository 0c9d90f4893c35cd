// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRender makes sure that every kind that is to be installed is in config/default, under the names that are used.
func TestRender(t *testing.T) {
	objects, err := render(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds, accounts := map[string]bool{}, []string{}
	for _, o := range objects {
		if installedKinds()[o.GetKind()] {
			kinds[o.GetKind()] = true
		}
		if o.GetKind() == "ServiceAccount" {
			accounts = append(accounts, o.GetName())
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(installedKinds())), slices.Sorted(maps.Keys(kinds))); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	slices.Sort(accounts)
	if diff := cmp.Diff([]string{accountControllers, accountWebhook}, accounts); diff != "" {
		t.Errorf("service accounts (-want +got):\n%s", diff)
	}
}
