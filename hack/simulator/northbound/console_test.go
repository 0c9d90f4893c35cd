// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// TestTwoAlike holds that the console can make what a client can ask for, twice: the list shows no difference.
func TestTwoAlike(t *testing.T) {
	window := northbound.TaskSpec{
		Devices: []string{"a", "b"}, FileID: "package", Retries: 2,
		StartTime: begin.Add(time.Hour), EndTime: begin.Add(2 * time.Hour),
	}
	body := creation("a", "b")
	body["policy"] = object{
		"executeType": "custom", "startTime": "20261201T090000Z", "endTime": "20261201T100000Z", "retryType": true,
		"retryTimes": 2,
	}
	f := start(t, northbound.Options{})
	f.AllowAgain(2)
	f.post(createPath, body)
	for range 2 {
		if _, err := f.CreateTask(window); err != nil {
			t.Fatal(err)
		}
	}
	entries := f.get(operationsPath).json(t)["data"].([]any)
	ids := map[any]bool{}
	for _, entry := range entries {
		ids[entry.(object)["operationId"]] = true
		delete(entry.(object), "operationId")
	}
	if len(entries) != 3 || len(ids) != 3 || !cmp.Equal(entries[0], entries[1]) || !cmp.Equal(entries[0], entries[2]) {
		t.Errorf("(-client +console):\n%s", cmp.Diff(entries[2], entries[0]))
	}
	if got := f.Report().Tasks; got.Created != 1 || got.Console != 2 || got.Duplicates != 0 {
		t.Errorf("in the ledger: %+v", got)
	}
	f.create("a", "b")
	if got := f.Report().Tasks; got.Duplicates != 1 {
		t.Errorf("after one that was not allowed: %+v", got)
	}
}
