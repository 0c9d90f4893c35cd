// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
)

// report is what is drawn of the report that test/load writes, which says what the figures are.
type report struct {
	Options struct {
		MainLoad string `json:"mainLoad"`
		RateLoad string `json:"rateLoad"`
	} `json:"options"`
	Sides  []side   `json:"sides"`
	Loads  []load   `json:"loads"`
	Series []series `json:"series"`
}

type side struct {
	Key   string `json:"key"`
	Title string `json:"title"`
}

type load struct {
	Key         string `json:"key"`
	Title       string `json:"title"`
	Connections int    `json:"connections"`
	PerSecond   int    `json:"perSecond"`
}

func (l load) open() bool { return l.PerSecond > 0 }

type series struct {
	Load   string        `json:"load"`
	Side   string        `json:"side"`
	Rounds []measurement `json:"rounds"`
}

type measurement struct {
	PerSecond        float64            `json:"resultsPerSecond"`
	P50              float64            `json:"p50Ms"`
	P99              float64            `json:"p99Ms"`
	Max              float64            `json:"maxMs"`
	BehindMaxSeconds float64            `json:"statusBehindMaxSeconds"`
	News             *news              `json:"news"`
	CPU              map[string]float64 `json:"cpuSecondsPer1000"`
	EtcdBytes        float64            `json:"etcdBytesPerResult"`
}

// news is how long after the decisive push news were told.
type news struct {
	Status seconds         `json:"statusSeconds"`
	Event  seconds         `json:"eventSeconds"`
	Kinds  map[string]news `json:"kinds"`
}

type seconds struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// behind is how long a news took at the longest; 0 where there were none.
func (n *news) behind() float64 {
	if n == nil {
		return 0
	}
	return max(n.Status.Max, n.Event.Max)
}

func readReport(path string) (*report, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	r := &report{}
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("decode the report %s: %w", path, err)
	}
	if len(r.Series) == 0 {
		return nil, errors.New("nothing was measured")
	}
	return r, nil
}

// value is a figure over the rounds of a series.
type value struct{ median, low, high float64 }

// valueOf returns a figure of a side at a load; ok is false where it was not measured.
func (r *report) valueOf(loadKey, sideKey string, figure func(measurement) float64) (v value, ok bool) {
	for _, s := range r.Series {
		if s.Load != loadKey || s.Side != sideKey || len(s.Rounds) == 0 {
			continue
		}
		var values []float64
		for _, m := range s.Rounds {
			values = append(values, figure(m))
		}
		slices.Sort(values)
		middle := len(values) / 2
		v = value{median: values[middle], low: values[0], high: values[len(values)-1]}
		if len(values)%2 == 0 {
			v.median = (values[middle-1] + values[middle]) / 2
		}
		return v, true
	}
	return value{}, false
}

// loadTitle returns a load's title; its key where the report has no such load.
func (r *report) loadTitle(key string) string {
	for _, l := range r.Loads {
		if l.Key == key {
			return l.Title
		}
	}
	return key
}
