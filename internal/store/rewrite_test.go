// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// Whoever knows the UIDs of slices can compute the name that compaction will give to what becomes of them, and take it.
// Compaction does not delete what it merged for that. Where it made the slice itself, before it was killed, it goes on.
func TestTakenNameOfAMergedSlice(t *testing.T) {
	now := time.Now()
	cases := map[string]struct {
		change func(*storage.ResultSlice)
		goesOn bool
	}{
		"the same":         {func(*storage.ResultSlice) {}, true},
		"labelled since":   {func(s *storage.ResultSlice) { s.Labels = map[string]string{"a": "b"} }, true},
		"other results":    {func(s *storage.ResultSlice) { s.Tables = sliceOf(failure(3, now, "forged")).Tables }, false},
		"a part":           {func(s *storage.ResultSlice) { s.Tables = sliceOf(failure(1, now, "x")).Tables }, false},
		"more":             {func(s *storage.ResultSlice) { s.Rejected = rejectedSlice(now).Rejected }, false},
		"a release":        {func(s *storage.ResultSlice) { s.Releases = releaseOf(taskNumber(1), now).Releases }, false},
		"of one task":      {func(s *storage.ResultSlice) { s.Labels = map[string]string{storage.LabelTask: "x"} }, false},
		"another receipt":  {func(s *storage.ResultSlice) { s.Annotations = map[string]string{annotationStored: "x"} }, false},
		"being deleted":    {func(s *storage.ResultSlice) { s.Finalizers = []string{"example.com/stays"} }, false},
		"nothing any more": {func(s *storage.ResultSlice) { s.Tables = nil }, false},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			s := newStore(t, harness.NewNamespace(t, k8s), k8s)
			s.create("r-1", sliceOf(failure(1, now, "x")))
			s.create("r-2", sliceOf(failure(2, now, "x")))
			s.awaitRead()
			inputs := s.index.all()
			taken := mergedOf(t, s, inputs)
			c.change(taken)
			if err := k8s.Create(t.Context(), taken); err != nil {
				t.Fatal(err)
			}
			if len(taken.Finalizers) > 0 {
				remove(t, taken)
			}
			want := []string{taken.Name}
			if !c.goesOn {
				want = append(want, "r-1", "r-2")
			}
			err := s.rewrite(t.Context(), inputs, nil)
			switch {
			case c.goesOn && err != nil:
				t.Error(err)
			case !c.goesOn && (err == nil || !strings.Contains(err.Error(), taken.Name+": the one of that name holds")):
				t.Errorf("want an error that names the slice, got %v", err)
			}
			if diff := cmp.Diff(want, namesOf(s.stored())); diff != "" {
				t.Errorf("stored slices (-want +got):\n%s", diff)
			}
		})
	}
}

// mergedOf returns the one slice that compaction makes of the inputs, which are all that is stored.
func mergedOf(t *testing.T, s *testStore, inputs []*storedSlice) *storage.ResultSlice {
	t.Helper()
	m := newMerge(inputs, share{n: 0, of: 1}, s.ownSlicesAt, nil)
	for i, slice := range s.stored() {
		if err := m.add(i, &slice); err != nil {
			t.Fatal(err)
		}
	}
	outputs, err := m.outputs(s.namespace)
	if err != nil || len(outputs) != 1 {
		t.Fatalf("want one slice, got %d: %v", len(outputs), err)
	}
	return outputs[0]
}

// remove begins the deletion of a slice that has a finalizer, and ends it with the test.
func remove(t *testing.T, slice *storage.ResultSlice) {
	t.Helper()
	if err := k8s.Delete(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		free := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := k8s.Patch(context.Background(), slice, free); err != nil {
			t.Error(err)
		}
	})
}

func namesOf(stored []storage.ResultSlice) (names []string) {
	for i := range stored {
		names = append(names, stored[i].Name)
	}
	slices.Sort(names)
	return names
}
