// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/result/resulttest"
)

func certificatePEM(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// However few results fit the memory, what comes out is what compaction would make of all of them.
func TestSorterJoinsAsCompactionDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		results := resulttest.Results().Draw(rt, "results")
		o := Options{TempDir: t.TempDir(), Limits: Limits{MemoryResults: rapid.IntRange(1, 20).Draw(rt, "limit")}}
		for _, of := range result.Merge(results) {
			sorting := newSession(optionsWith(o)).newResultSorter(false)
			for _, r := range results {
				if r.Task != of.Task {
					continue
				}
				r.Normalize()
				if err := sorting.add(r); err != nil {
					rt.Fatal(err)
				}
			}
			var got []result.Result
			for r, err := range sorting.sorted(t.Context()) {
				if err != nil {
					rt.Fatal(err)
				}
				got = append(got, r)
			}
			if err := sorting.close(); err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(of.Results, got); diff != "" {
				rt.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}

func optionsWith(o Options) Options {
	o.Getenv = func(string) string { return "" }
	o.Streams, _, _ = buffers()
	return o
}

// Many files are merged into one on the way, so that their number is bounded.
func TestSorterMergesManyFiles(t *testing.T) {
	dir := t.TempDir()
	sorting := &sorter[string]{
		compare: strings.Compare, join: func(a, _ string) string { return a }, limit: 2, parent: dir,
	}
	const count = 500
	for _, n := range rand.New(rand.NewPCG(1, 2)).Perm(count) {
		must(t, sorting.add(fmt.Sprintf("%04d", n)))
	}
	if len(sorting.runs) > maxRuns || len(sorting.held) > 2 {
		t.Errorf("%d files, %d held", len(sorting.runs), len(sorting.held))
	}
	n := 0
	for got, err := range sorting.sorted(t.Context()) {
		must(t, err)
		if want := fmt.Sprintf("%04d", n); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		n++
	}
	if n != count {
		t.Errorf("%d items, want %d", n, count)
	}
	must(t, sorting.close())
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A list that expires is read again from the beginning, but not for ever.
func TestExpiredListIsReadAgain(t *testing.T) {
	for _, expiries := range []int{0, 1, maxRestarts, maxRestarts + 1} {
		expired, visited := 0, map[string]bool{}
		var said []string
		reader := &sliceReader{
			page: 2,
			say:  func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
			list: func(_ context.Context, list *storage.ResultSliceList, options ...client.ListOption) error {
				o := (&client.ListOptions{}).ApplyOptions(options)
				if o.Limit != 2 {
					return fmt.Errorf("limit is %d", o.Limit)
				}
				name := "first"
				if o.Continue != "" {
					if expired < expiries {
						expired++
						return apierrors.NewResourceExpired("the continue parameter is too old")
					}
					name = "second"
				} else {
					list.Continue = "more"
				}
				list.Items = make([]storage.ResultSlice, 1)
				list.Items[0].Name = name
				return nil
			},
		}
		err := reader.read(t.Context(), everySlice(), func(slice *storage.ResultSlice) error {
			visited[slice.Name] = true
			return nil
		})
		if failed := err != nil; failed != (expiries > maxRestarts) {
			t.Errorf("%d expiries: %v", expiries, err)
		}
		if err == nil && (len(visited) != 2 || len(said) != expiries) {
			t.Errorf("%d expiries: visited %v, said %q", expiries, visited, said)
		}
	}
}

// No flood of texts is remembered.
func TestInternerIsBounded(t *testing.T) {
	texts := &interner{}
	for i := range 3 * maxInterned {
		if got := texts.intern(fmt.Sprint(i)); got != fmt.Sprint(i) {
			t.Fatal(got)
		}
	}
	if len(texts.texts) > maxInterned {
		t.Errorf("%d texts", len(texts.texts))
	}
}
