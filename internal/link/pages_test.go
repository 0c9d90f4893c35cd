// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// How many sub-tasks a page has is the platform's choice, and what it calls their total may be that of the page: all
// that are missing are found, with few pages more than there are.
func TestPagesOfAnySize(t *testing.T) {
	const devices = 350
	for name, c := range map[string]struct {
		size, total string
		pages       int
	}{
		"of 50":                 {"50", `"totalCount":350`, 7},
		"of 10":                 {"10", `"totalCount":350`, 35},
		"total of the page":     {"100", `"totalCount":100`, 4},
		"a total of 0":          {"100", `"totalCount":0`, 4},
		"no total":              {"50", `"total":350`, 7},
		"a total that is a lie": {"100", `"totalCount":999999999`, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1}}, onlyRounds)
			w.through(func(_ http.ResponseWriter, r *http.Request) bool {
				if q := r.URL.Query(); isSubTasks(r.URL.Path) {
					q.Set("pageSize", c.size)
					r.URL.RawQuery = q.Encode()
				}
				return false
			}, func(path string, body []byte) []byte {
				if isSubTasks(path) {
					return []byte(strings.Replace(string(body), `"totalCount":350`, c.total, 1))
				}
				return body
			}, onlyRounds)
			operation := w.createEnded(devices)
			w.push(operation, func(n int) bool { return n == 2 || n == devices-3 })
			task := w.follow(operation)
			w.run()
			w.await(20*time.Minute, "the results are not found", func() bool { return w.isEqual(task) })
			if got := w.calls(northbound.CallSubTasks); got > c.pages {
				t.Errorf("%d pages, there are %d", got, c.pages)
			}
		})
	}
}

// A sweep comes to its end whatever the pages are, and looks through no more than there can be.
func TestPagesEnd(t *testing.T) {
	for name, c := range map[string]struct {
		total string
		pages int
	}{
		"as many as there are":    {`"totalCount":350`, 4},
		"a total of the page":     {`"totalCount":100`, 4},
		"no total":                {`"total":350`, 4},
		"a total that is too low": {`"totalCount":1`, 4},
		"one that is a lie":       {`"totalCount":999999999`, 5}, // the last one is empty
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, northbound.Options{Devices: northbound.DeviceOptions{Fail: 1}}, onlyRounds)
			w.through(nil, func(path string, body []byte) []byte {
				if isSubTasks(path) {
					return []byte(strings.Replace(string(body), `"totalCount":350`, c.total, 1))
				}
				return body
			}, onlyRounds)
			operation := w.createEnded(350)
			w.forge(operation)
			w.follow(operation)
			w.run()
			w.await(20*time.Minute, "there is no sweep", func() bool { return len(w.sweptAt()) > 1 })
			if got := w.calls(northbound.CallSubTasks); got < c.pages || got > 2*c.pages+1 {
				t.Errorf("%d pages", got)
			}
			w.pass(time.Minute)
			if got := w.calls(northbound.CallSubTasks); got != 2*c.pages {
				t.Errorf("%d pages in two sweeps, want %d", got, 2*c.pages)
			}
		})
	}
}

// Sub-tasks that come twice in a page count once, and do not end the sweep before all are found.
func TestDoubledSubTasksCountOnce(t *testing.T) {
	const devices = 150
	w := newWorld(t, northbound.Options{}, onlyRounds)
	w.through(nil, func(path string, body []byte) []byte {
		before, after, found := strings.Cut(string(body), `"data":[`)
		data, rest, _ := strings.Cut(after, "]")
		if !isSubTasks(path) || !found || data == "" {
			return body
		}
		return []byte(before + `"data":[` + data + "," + data + "]" + rest)
	}, onlyRounds)
	task := w.follow(w.createEnded(devices))
	w.run()
	w.await(20*time.Minute, "the results are not found", func() bool { return w.isEqual(task) })
	w.pass(RoundPeriod)
	if f := w.View(task).Figures; f.Repaired != devices || len(w.store.added()) != devices || len(w.sweptAt()) != 1 {
		t.Errorf("%d results were stored in %d sweeps: %+v", len(w.store.added()), len(w.sweptAt()), f)
	}
}
