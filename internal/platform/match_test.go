// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"testing"
	"time"
)

func TestMatchesTargets(t *testing.T) {
	devices := func(ids ...string) Targets { return Targets{Devices: ids} }
	groups := func(names ...string) Targets {
		return Targets{DeviceGroups: names, DeviceType: "Meter", Model: "NB-600", ManufacturerName: "Acme"}
	}
	but := func(t Targets, change func(*Targets)) Targets { change(&t); return t }
	two, both := devices("d-1", "d-2"), groups("north", "south")
	cases := map[string]struct {
		told, asked Targets
		want        bool
	}{
		"the same":                  {two, two, true},
		"another order":             {devices("d-2", "d-1"), two, true},
		"told twice":                {devices("d-1", "d-2", "d-1"), two, true},
		"asked twice":               {two, devices("d-2", "d-2", "d-1"), true},
		"a device less":             {devices("d-1"), two, false},
		"a device more":             {devices("d-1", "d-2", "d-3"), two, false},
		"another device":            {devices("d-1", "d-3"), two, false},
		"another case":              {devices("d-1", "D-2"), two, false},
		"nothing":                   {Targets{}, two, false},
		"groups, too":               {but(two, func(t *Targets) { t.DeviceGroups = []string{"north"} }), two, false},
		"the model of devices":      {but(two, func(t *Targets) { t.Model = "NB-600" }), two, true},
		"devices named as groups":   {two, groups("d-1", "d-2"), false},
		"groups":                    {both, both, true},
		"groups in another order":   {groups("south", "north"), both, true},
		"a group less":              {groups("north"), both, false},
		"groups and devices":        {but(both, func(t *Targets) { t.Devices = []string{"d-1"} }), both, false},
		"another type":              {but(both, func(t *Targets) { t.DeviceType = "Lamp" }), both, false},
		"another model":             {but(both, func(t *Targets) { t.Model = "NB-700" }), both, false},
		"a model in another case":   {but(both, func(t *Targets) { t.Model = "nb-600" }), both, false},
		"another manufacturer":      {but(both, func(t *Targets) { t.ManufacturerName = "Other" }), both, false},
		"a type that is not told":   {but(both, func(t *Targets) { t.DeviceType = "" }), both, true},
		"a model that is not told":  {but(both, func(t *Targets) { t.Model = "" }), both, true},
		"a model that is not asked": {both, but(both, func(t *Targets) { t.Model = "" }), true},
		"a model as it is shown":    {both, but(both, func(t *Targets) { t.Model = " NB-600\n" }), true},
	}
	for name, tc := range cases {
		task := Task{Targets: tc.told, Policy: Policy{ExecuteType: "now"}}
		if got := task.Matches(TaskRequest{PackageID: "package", Targets: tc.asked}, ""); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

func TestMatchesPolicy(t *testing.T) {
	start := time.Date(2030, 12, 8, 22, 0, 0, 0, time.UTC)
	end, never := start.AddDate(0, 0, 6), time.Time{}
	now, window := Policy{ExecuteType: "now"}, Policy{ExecuteType: "custom", StartTime: start, EndTime: end}
	times := func(start, end time.Time) Policy {
		return Policy{ExecuteType: "custom", StartTime: start, EndTime: end}
	}
	retry := func(times int64) Policy { return Policy{ExecuteType: "now", Retry: true, RetryTimes: times} }
	cases := map[string]struct {
		told       Policy
		start, end time.Time
		retries    int
		want       bool
	}{
		"now":                         {now, never, never, 0, true},
		"nothing told":                {Policy{}, never, never, 0, true},
		"now in another case":         {Policy{ExecuteType: "NOW"}, never, never, 0, true},
		"now with times":              {Policy{ExecuteType: "now", StartTime: start, EndTime: end}, never, never, 0, true},
		"a window, now asked":         {window, never, never, 0, false},
		"a start, now asked":          {Policy{StartTime: start}, never, never, 0, false},
		"an end, now asked":           {Policy{EndTime: end}, never, never, 0, false},
		"an unknown word":             {Policy{ExecuteType: "later"}, never, never, 0, false},
		"a window":                    {window, start, end, 0, true},
		"a window of another zone":    {window, start.In(time.FixedZone("", 3600)), end, 0, true},
		"within a second":             {window, start.Add(time.Second - 1), end.Add(time.Second - 1), 0, true},
		"another start":               {times(start.Add(-time.Second), end), start, end, 0, false},
		"another end":                 {times(start, end.Add(time.Second)), start, end, 0, false},
		"no start":                    {times(never, end), start, end, 0, false},
		"no end":                      {times(start, never), start, end, 0, false},
		"no start, and none asked":    {times(never, end), never, end, 0, true},
		"a window without a word":     {Policy{StartTime: start, EndTime: end}, start, end, 0, true},
		"an unknown word of a window": {Policy{ExecuteType: "x", StartTime: start, EndTime: end}, start, end, 0, false},
		"now, a window asked":         {now, start, end, 0, false},
		"nothing, a window asked":     {Policy{}, start, end, 0, false},
		"retries":                     {retry(2), never, never, 2, true},
		"more retries":                {retry(3), never, never, 2, false},
		"retries, none asked":         {retry(1), never, never, 0, false},
		"none, retries asked":         {now, never, never, 2, false},
		"retries without number":      {retry(0), never, never, 2, true},
		"no number, none asked":       {retry(0), never, never, 0, false},
		"a number without the word":   {Policy{ExecuteType: "now", RetryTimes: 2}, never, never, 2, true},
		"another one":                 {Policy{ExecuteType: "now", RetryTimes: 3}, never, never, 2, false},
		"a number that is void":       {Policy{ExecuteType: "now", RetryTimes: 3}, never, never, 0, true},
	}
	for name, tc := range cases {
		task := Task{Targets: requested().Targets, Policy: tc.told}
		r := requested()
		r.Start, r.End, r.Retries = tc.start, tc.end, tc.retries
		if got := task.Matches(r, ""); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

func TestMatchesVersion(t *testing.T) {
	for _, tc := range []struct {
		told, asked string
		want        bool
	}{
		{"1.6", "1.6", true}, {"1.6", "1.7", false}, {"", "1.6", true}, {"1.6", "", true}, {"1.6", "1.6 ", true},
		{"1.6", "1.60", false}, {"v1", "V1", false},
	} {
		task := Task{Targets: requested().Targets, FileVersion: tc.told}
		if got := task.Matches(requested(), tc.asked); got != tc.want {
			t.Errorf("%q for %q: %t", tc.told, tc.asked, got)
		}
	}
}

// TestMatchesAfterRedaction holds that a model is recognised that is a word of the callback URL.
func TestMatchesAfterRedaction(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(200, `{"operationId":"op-1","targets":{"deviceGroups":["iot1"],"deviceType":"push","model":"iot1",
		"manufacturerName":"push"},"policy":{"executeType":"now"},"extendPara":{"fileVersion":"push"}}`))
	c := connect(t, p)
	c.Redact([]byte("https://receiver.example.com:443/push"), []byte("https://receiver.example.com:443/iot1"))
	task, err := c.Task(t.Context(), "op-1", PriorityResolve)
	c.must("", err)
	r := TaskRequest{Targets: Targets{
		DeviceGroups: []string{"iot1"}, DeviceType: "push", Model: "iot1", ManufacturerName: "push",
	}}
	if !task.Matches(r, "push") {
		t.Errorf("not recognised: %+v", task)
	}
}
