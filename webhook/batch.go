// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/upgrade"
)

// fit returns the spec of a slice that holds the first entries, as many as v1alpha1.MaxSliceBytes allow but at least
// one, and how many these are. One entry always fits: it was cut to the schema.
func fit(entries []*entry) (spec v1alpha1.FirmwareUpgradeResultSliceSpec, fitting int) {
	const room = v1alpha1.MaxSliceBytes - envelopeBytes
	for fitting = len(entries); ; {
		spec = pack(entries[:fitting])
		size := specSize(&spec)
		if size <= room || fitting == 1 {
			return spec, fitting
		}
		// In proportion, and a little less, so that the second try does it unless the entries differ much in size.
		fitting = max(1, min(fitting-1, fitting*room/size*15/16))
	}
}

// pack makes the spec of a slice that holds all entries.
func pack(entries []*entry) v1alpha1.FirmwareUpgradeResultSliceSpec {
	var spec v1alpha1.FirmwareUpgradeResultSliceSpec
	results := make([]upgrade.Result, 0, len(entries))
	for _, e := range entries {
		if e.rejected != nil {
			spec.Rejected = append(spec.Rejected, *e.rejected)
		} else {
			results = append(results, e.result)
		}
	}
	if len(results) > 0 {
		spec.Tables = upgrade.Pack(results)
	}
	return spec
}

// specSize is how many bytes the spec takes as JSON at most.
func specSize(spec *v1alpha1.FirmwareUpgradeResultSliceSpec) int {
	// A byte of a string takes up to six in JSON, as \u00XX; what isn't the body of a binary takes about one.
	const perByte, perRejected = 6, 100
	size := upgrade.Size(spec.Tables)
	for i := range spec.Rejected {
		size += perRejected + perByte*(len(spec.Rejected[i].Reason)+len(spec.Rejected[i].Body))
	}
	return size
}

// encodeSlice encodes the slice once, however often it is sent.
func encodeSlice(name string, spec *v1alpha1.FirmwareUpgradeResultSliceSpec) ([]byte, error) {
	body, err := json.Marshal(&v1alpha1.FirmwareUpgradeResultSlice{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "FirmwareUpgradeResultSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       *spec,
	})
	if err != nil {
		return nil, fmt.Errorf("encode slice: %w", err)
	}
	return body, nil
}
