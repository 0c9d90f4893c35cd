// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"fmt"
	"math/rand/v2"
)

// failure is a text that the platform gives with a FAIL.
type failure struct {
	// group is how a receiver is to report the cause: ids and numbers replaced. It is the text itself where it has none.
	group string
	// text makes the text of one device; nil where it is the same for all.
	text func(r *rand.Rand) string
}

// failures are the causes, the most frequent first: the platform's documented texts, some with the ids and numbers
// that make a text differ from device to device.
//
//nolint:gochecknoglobals // A constant table.
var failures = []failure{
	{group: "Waiting for the device online timeout"},
	{group: "Device Abnormal is not online"},
	{
		group: "Not enough storage for the new firmware package: <n> bytes needed, <n> free",
		text: func(r *rand.Rand) string {
			return fmt.Sprintf("Not enough storage for the new firmware package: %d bytes needed, %d free",
				1<<20+r.IntN(1<<20), r.IntN(1<<20))
		},
	},
	{group: "Connection lost during downloading process"},
	{group: "Task Conflict: task <id>", text: func(r *rand.Rand) string {
		return "Task Conflict: task " + UUID(r)
	}},
	{group: "Integrity check failure for new downloaded package"},
	{group: "Updating timeout and query device version for check timeout"},
	{group: "Wait for the device to report upgrade result timeout"},
	{group: "Out of memory during downloading process"},
	{group: "Waiting for report device firmware version timeout"},
	{group: "Waiting for device downloaded package timeout"},
	{group: "Waiting for report cellId timeout, cell <n>", text: func(r *rand.Rand) string {
		return fmt.Sprintf("Waiting for report cellId timeout, cell %d", 1000+r.IntN(9000))
	}},
	{group: "Unsupported package type"},
	{group: "Invalid URI"},
	{group: "Firmware update failed"},
}

// pickFailure takes one of the failures; the k-th is k times rarer than the first.
func pickFailure(r *rand.Rand) failure {
	total := 0.0
	for k := range failures {
		total += 1 / float64(k+1)
	}
	at := r.Float64() * total
	for k := range failures {
		if at -= 1 / float64(k+1); at < 0 {
			return failures[k]
		}
	}
	return failures[0]
}

// PickFailure returns the text of a failure; those that come first on the platform's list are more frequent.
func PickFailure(r *rand.Rand) string {
	f := pickFailure(r)
	if f.text == nil {
		return f.group
	}
	return f.text(r)
}

// failureOf returns the group and the text of a device's failure.
func (p *Plan) failureOf(device int) (group, text string) {
	r := p.deviceRandom(device, saltDetails)
	f := pickFailure(r)
	if f.text == nil {
		return f.group, f.group
	}
	return f.group, f.text(r)
}
