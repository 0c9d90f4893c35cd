// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// shrink looks for fewer faults with which an epoch fails, for as long as the options say. Chance has a part in each
// run: what is left fails sometimes, and what was left out may be needed more often.
func shrink(ctx context.Context, o *options, failed *epoch) []fault {
	deadline := time.Now().Add(o.shrink)
	attempt := 0
	return fewest(failed.faults, func(faults []fault) bool {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return false
		}
		attempt++
		again := *o
		again.only, again.keep = failed.number, []int{0}
		for _, f := range faults {
			again.keep = append(again.keep, f.number)
		}
		dir := filepath.Join(o.logs, fmt.Sprintf("shrink-%d", attempt))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return false
		}
		r, err := runEpochs(ctx, &again, dir)
		return err == nil && r.failed != nil
	})
}

// fewest returns a part of the faults that fails, and of which no part that was tried does: it leaves out halves, then
// quarters, and so on.
func fewest(faults []fault, fails func([]fault) bool) []fault {
	for size := (len(faults) + 1) / 2; size > 0 && len(faults) > 0; {
		smaller := false
		for at := 0; at < len(faults); at += size {
			rest := slices.Concat(faults[:at], faults[min(at+size, len(faults)):])
			if fails(rest) {
				faults, smaller = rest, true
				break
			}
		}
		switch {
		case smaller:
			size = min(size, (len(faults)+1)/2)
		case size == 1:
			return faults
		default:
			size /= 2
		}
	}
	return faults
}
