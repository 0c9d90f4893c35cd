// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

const (
	// ownSlicesAtResults is how many results a task must have to get slices of its own. An object costs some kilobytes
	// and a request; a shared slice has to be rewritten when one of its tasks is over.
	ownSlicesAtResults = 64
	// sliceOverhead is what a slice has beside its results: metadata, managed fields, field names.
	sliceOverhead = 4 << 10
	// restPerSlice is how many rejected notifications, of up to 4 KiB each, or releases go into a merged slice.
	restPerSlice = 32
	// mergedPrefix begins the names of slices that were rewritten.
	mergedPrefix = "c-"
)

// share is the devices that one of several passes over the same slices takes.
type share struct{ n, of int }

func (s share) has(r *result.Result) bool {
	return s.of == 1 || int(xxhash.Sum64String(r.DeviceID)%uint64(s.of)) == s.n
}

// merge gathers what slices hold and arranges it anew. It does no I/O.
type merge struct {
	// uids are those of the inputs, sorted.
	uids []string
	// owners are the tasks that have slices of their own among the inputs: they keep such.
	owners map[result.Task]bool
	// ownSlicesAt is how many results any other task must have to get slices of its own.
	ownSlicesAt int
	share       share
	drop        func(*result.Result) bool

	inputs []*storedSlice
	// parts are what was taken of each input, so that their order is always the same.
	parts []part
}

// part is what was taken of one input.
type part struct {
	results  []result.Result
	rejected []storage.RejectedNotification
	releases []storage.Release
}

// newMerge begins a merge of a share of what the inputs hold, without the results that drop picks (nil: none).
func newMerge(inputs []*storedSlice, of share, ownSlicesAt int, drop func(*result.Result) bool) *merge {
	m := &merge{
		owners: map[result.Task]bool{}, ownSlicesAt: ownSlicesAt, share: of, drop: drop,
		inputs: inputs, parts: make([]part, len(inputs)),
	}
	for _, s := range inputs {
		m.uids = append(m.uids, string(s.UID))
		if s.isOfOneTask() {
			m.owners[s.tasks[0].Task] = true
		}
	}
	slices.Sort(m.uids)
	return m
}

// add takes over what the input with the number i holds. Different inputs may be added at the same time.
func (m *merge) add(i int, slice *storage.ResultSlice) error {
	results, err := result.Unpack(slice.Tables)
	if err != nil { // what can't be read would be lost
		return fmt.Errorf("unpack: %w", err)
	}
	p := &m.parts[i]
	for i := range results {
		r := &results[i]
		if !m.share.has(r) || m.drop != nil && m.drop(r) {
			continue
		}
		if m.share.of > 1 {
			r.Detach() // lest the whole slice is kept for a few of its results
		}
		p.results = append(p.results, *r)
	}
	if m.share.n == 0 {
		p.rejected, p.releases = slice.Rejected, slice.Releases
	}
	return nil
}

// outputs returns the slices that take the place of the inputs: tasks with many results get slices of their own,
// labelled with a hash of the task, the others share slices. Rejected notifications and releases get slices of their
// own: see rejectedSlices.
func (m *merge) outputs(namespace string) ([]*storage.ResultSlice, error) {
	var all part
	for _, p := range m.parts {
		all.results = append(all.results, p.results...)
		all.releases = append(all.releases, p.releases...)
	}
	var outputs []*storage.ResultSlice
	pack := func(labels map[string]string, results []result.Result) {
		for _, tables := range result.Split(results, storage.MaxSliceBytes-sliceOverhead) {
			out := &storage.ResultSlice{Tables: tables}
			out.Labels = labels
			outputs = append(outputs, out)
		}
	}
	var together []result.Result
	for _, of := range result.Merge(all.results) {
		if m.owners[of.Task] || len(of.Results)*m.share.of >= m.ownSlicesAt {
			pack(map[string]string{storage.LabelTask: of.Task.Hash()}, of.Results)
		} else {
			together = append(together, of.Results...)
		}
	}
	pack(nil, together)
	outputs = append(outputs, m.rejectedSlices()...)
	for chunk := range slices.Chunk(mergeReleases(all.releases), restPerSlice) {
		outputs = append(outputs, &storage.ResultSlice{Releases: chunk})
	}
	var errs []error
	for _, out := range outputs {
		name, err := m.nameOf(out)
		out.Namespace, out.Name = namespace, name
		errs = append(errs, err)
	}
	return outputs, errors.Join(errs...)
}

// rejectedSlices returns the slices of rejected notifications. Those that count as received when they were stored are
// apart from the others, by that time, and their slices say it.
func (m *merge) rejectedSlices() (outputs []*storage.ResultSlice) {
	byStored := map[int64][]storage.RejectedNotification{}
	for i, p := range m.parts {
		for _, r := range p.rejected {
			stored := int64(0)
			if in := m.inputs[i]; in.isLate(r.ReceiveTime.UnixMicro()) {
				stored = in.rejectedStored
			}
			byStored[stored] = append(byStored[stored], r)
		}
	}
	for _, stored := range slices.Sorted(maps.Keys(byStored)) {
		rejected := byStored[stored]
		slices.SortStableFunc(rejected, func(a, b storage.RejectedNotification) int {
			return a.ReceiveTime.Compare(b.ReceiveTime.Time)
		})
		for chunk := range slices.Chunk(rejected, restPerSlice) {
			out := &storage.ResultSlice{Rejected: chunk}
			if stored != 0 {
				at := time.UnixMicro(stored).UTC().Format(time.RFC3339)
				out.Annotations = map[string]string{annotationStored: at}
			}
			outputs = append(outputs, out)
		}
	}
	return outputs
}

// mergeReleases keeps the latest release of each task, sorted by task.
func mergeReleases(releases []storage.Release) []storage.Release {
	sorted := slices.Clone(releases)
	slices.SortFunc(sorted, func(a, b storage.Release) int {
		return cmp.Or(result.CompareTasks(taskOf(&a), taskOf(&b)), b.ReleaseTime.Compare(a.ReleaseTime.Time))
	})
	return slices.CompactFunc(sorted, func(a, b storage.Release) bool { return taskOf(&a) == taskOf(&b) })
}

// nameOf hashes the inputs' UIDs and the content, so that what has the same name is the same.
func (m *merge) nameOf(slice *storage.ResultSlice) (string, error) {
	content, err := json.Marshal(slice)
	if err != nil {
		return "", fmt.Errorf("encode a merged slice: %w", err)
	}
	sum := sha256.Sum256(append([]byte(strings.Join(m.uids, ",")), content...))
	return mergedPrefix + hex.EncodeToString(sum[:16]), nil
}
