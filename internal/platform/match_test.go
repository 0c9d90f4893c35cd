// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"slices"
	"testing"
	"time"
)

func TestAreOfKind(t *testing.T) {
	asked := Targets{DeviceType: "Meter", Model: "NB-600", ManufacturerName: "Acme"}
	but := func(change func(*Targets)) Targets { t := asked; change(&t); return t }
	cases := map[string]struct {
		told, asked Targets
		want        bool
	}{
		"the same":                  {asked, asked, true},
		"another type":              {but(func(t *Targets) { t.DeviceType = "Lamp" }), asked, false},
		"another model":             {but(func(t *Targets) { t.Model = "NB-700" }), asked, false},
		"a model in another case":   {but(func(t *Targets) { t.Model = "nb-600" }), asked, false},
		"another manufacturer":      {but(func(t *Targets) { t.ManufacturerName = "Other" }), asked, false},
		"a type that is not told":   {but(func(t *Targets) { t.DeviceType = "" }), asked, true},
		"a model that is not told":  {but(func(t *Targets) { t.Model = "" }), asked, true},
		"a model that is not asked": {asked, but(func(t *Targets) { t.Model = "" }), true},
		"a model as it is shown":    {asked, but(func(t *Targets) { t.Model = " NB-600\n" }), true},
	}
	for name, tc := range cases {
		if got := tc.told.AreOfKind(tc.asked.DeviceType, tc.asked.Model, tc.asked.ManufacturerName); got != tc.want {
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
		if got := tc.told.Matches(tc.start, tc.end, tc.retries); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

func TestAgrees(t *testing.T) {
	for _, tc := range []struct {
		told, asked string
		want        bool
	}{
		{"1.6", "1.6", true}, {"1.6", "1.7", false}, {"", "1.6", true}, {"1.6", "", true}, {"1.6", "1.6 ", true},
		{"1.6", "1.60", false}, {"v1", "V1", false},
	} {
		if got := Agrees(tc.told, tc.asked); got != tc.want {
			t.Errorf("%q for %q: %t", tc.told, tc.asked, got)
		}
	}
}

// TestIsRecognisedAfterRedaction holds that a model is recognised that is a word of the callback URL.
func TestIsRecognisedAfterRedaction(t *testing.T) {
	p := startPlatform(t)
	p.set(nil, always(200, `{"operationId":"op-1","targets":{"deviceGroups":["iot1"],"deviceType":"push","model":"iot1",
		"manufacturerName":"push"},"policy":{"executeType":"now"},"extendPara":{"fileVersion":"push"}}`))
	c := connect(t, p)
	c.Redact([]byte("https://receiver.example.com:443/push"), []byte("https://receiver.example.com:443/iot1"))
	task, err := c.Task(t.Context(), "op-1", PriorityResolve)
	c.must("", err)
	if !slices.Equal(task.Targets.DeviceGroups, []string{"iot1"}) || !task.Targets.AreOfKind("push", "iot1", "push") ||
		!Agrees(task.FileVersion, "push") {
		t.Errorf("not recognised: %+v", task)
	}
}
