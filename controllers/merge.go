// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

const (
	// sortAtResults is how many results a task must have that they are worth slices of its own.
	sortAtResults = 64
	// sliceOverhead is what a slice has beside its results: metadata, managed fields, field names.
	sliceOverhead = 4 << 10
	// restPerSlice is how many rejected notifications, of up to 4 KiB each, or released tasks go into a merged slice.
	restPerSlice = 32
	// mergedPrefix begins the names of slices that were rewritten.
	mergedPrefix = "c-"
)

// share is the devices that one of several passes over the same slices takes.
type share struct{ n, of int }

func (s share) has(r *upgrade.Result) bool {
	return s.of == 1 || int(xxhash.Sum64String(r.DeviceID)%uint64(s.of)) == s.n
}

// merge gathers what slices hold and arranges it anew. It does no I/O.
type merge struct {
	// uids are those of the inputs, sorted.
	uids []string
	// sorted are the tasks that have slices of their own among the inputs: they keep such.
	sorted map[upgrade.Task]bool
	// sortAt is how many results any other task must have to get slices of its own.
	sortAt int
	share  share
	drop   func(*upgrade.Result) bool

	// parts are what was taken of each input, so that their order is always the same.
	parts []part
}

// part is what was taken of one input.
type part struct {
	results  []upgrade.Result
	rejected []v1alpha1.RejectedNotification
	released []v1alpha1.ReleasedTask
}

// newMerge begins a merge of a share of what the inputs hold, without the results that drop picks (nil: none).
func newMerge(inputs []*storedSlice, of share, sortAt int, drop func(*upgrade.Result) bool) *merge {
	m := &merge{sorted: map[upgrade.Task]bool{}, sortAt: sortAt, share: of, drop: drop, parts: make([]part, len(inputs))}
	for _, s := range inputs {
		m.uids = append(m.uids, string(s.UID))
		if s.ofOneTask() {
			m.sorted[s.tasks[0]] = true
		}
	}
	slices.Sort(m.uids)
	return m
}

// add takes over what the input with the number i holds. Different inputs may be added at the same time.
func (m *merge) add(i int, spec *v1alpha1.FirmwareUpgradeResultSliceSpec) error {
	results, err := upgrade.Unpack(spec)
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
		p.rejected, p.released = spec.Rejected, spec.Released
	}
	return nil
}

// outputs returns the slices that take the place of the inputs: tasks with many results get slices of their own, labelled
// with a hash of the task, the others are gathered in mixed ones.
func (m *merge) outputs(namespace string) ([]*v1alpha1.FirmwareUpgradeResultSlice, error) {
	var outputs []*v1alpha1.FirmwareUpgradeResultSlice
	var errs []error
	add := func(labels map[string]string, spec v1alpha1.FirmwareUpgradeResultSliceSpec) {
		name, err := m.nameOf(&spec)
		errs = append(errs, err)
		outputs = append(outputs, &v1alpha1.FirmwareUpgradeResultSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, Spec: spec,
		})
	}
	pack := func(labels map[string]string, results []upgrade.Result) {
		for _, tables := range upgrade.Split(results, v1alpha1.MaxSliceBytes-sliceOverhead) {
			add(labels, v1alpha1.FirmwareUpgradeResultSliceSpec{Tables: tables})
		}
	}
	var all part
	for _, p := range m.parts {
		all.results = append(all.results, p.results...)
		all.rejected, all.released = append(all.rejected, p.rejected...), append(all.released, p.released...)
	}
	var together []upgrade.Result
	for _, of := range upgrade.Merge(all.results) {
		if m.sorted[of.Task] || len(of.Results)*m.share.of >= m.sortAt {
			pack(map[string]string{v1alpha1.LabelTask: of.Task.Hash()}, of.Results)
		} else {
			together = append(together, of.Results...)
		}
	}
	pack(nil, together)
	for chunk := range slices.Chunk(all.rejected, restPerSlice) {
		add(nil, v1alpha1.FirmwareUpgradeResultSliceSpec{Rejected: chunk})
	}
	for chunk := range slices.Chunk(all.released, restPerSlice) {
		add(nil, v1alpha1.FirmwareUpgradeResultSliceSpec{Released: chunk})
	}
	return outputs, errors.Join(errs...)
}

// nameOf hashes the inputs' UIDs and the content, so that what has the same name is the same.
func (m *merge) nameOf(spec *v1alpha1.FirmwareUpgradeResultSliceSpec) (string, error) {
	content, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("encode merged slice: %w", err)
	}
	sum := sha256.Sum256(append([]byte(strings.Join(m.uids, ",")), content...))
	return mergedPrefix + hex.EncodeToString(sum[:16]), nil
}
