// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// sliceOf returns a slice that holds the first entries, as many as storage.MaxSliceBytes allow but at least one, and
// how many these are. One entry always fits: it was cut to the schema.
func sliceOf(entries []*entry) (slice *storage.ResultSlice, fitting int) {
	const room = storage.MaxSliceBytes - envelopeBytes
	for fitting = len(entries); ; {
		slice = sliceOfAll(entries[:fitting])
		size := sliceSize(slice)
		if size <= room || fitting == 1 {
			return slice, fitting
		}
		// In proportion, and a little less, so that the second try does it unless the entries differ much in size.
		fitting = max(1, min(fitting-1, fitting*room/size*15/16))
	}
}

// sliceOfAll makes a slice that holds all entries. It has no name yet.
func sliceOfAll(entries []*entry) *storage.ResultSlice {
	slice := &storage.ResultSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: storage.GroupVersion.String(), Kind: "ResultSlice"},
	}
	results := make([]result.Result, 0, len(entries))
	for _, e := range entries {
		if e.rejected != nil {
			slice.Rejected = append(slice.Rejected, *e.rejected)
		} else {
			results = append(results, e.result)
		}
	}
	slice.Tables = result.Pack(results)
	return slice
}

// sliceSize is how many bytes the slice takes as JSON at most, without its envelope.
func sliceSize(slice *storage.ResultSlice) int {
	// A byte of a string takes up to six in JSON, as \u00XX; what isn't the body of a binary takes about one.
	const perByte, perRejected = 6, 180
	size := result.Size(slice.Tables)
	for i := range slice.Rejected {
		r := &slice.Rejected[i]
		size += perRejected + perByte*(len(r.Reason)+len(r.Body)+len(r.ContentEncoding)) +
			base64.StdEncoding.EncodedLen(len(r.RawBody))
	}
	return size
}

// encodeSlice encodes the slice once, however often it is sent.
func encodeSlice(name string, slice *storage.ResultSlice) ([]byte, error) {
	slice.Name = name
	body, err := json.Marshal(slice)
	if err != nil {
		return nil, fmt.Errorf("encode slice: %w", err)
	}
	return body, nil
}
