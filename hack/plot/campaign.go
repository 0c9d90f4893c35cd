// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// campaign is what is drawn of the report of a campaign.
type campaign struct {
	Upgrades  int   `json:"upgrades"`
	PerSecond int   `json:"perSecond"`
	News      *news `json:"news"`
}

func readCampaign(path string) (*campaign, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the report of the campaign: %w", err)
	}
	c := &campaign{}
	if err := json.Unmarshal(content, c); err != nil {
		return nil, fmt.Errorf("decode the report %s: %w", path, err)
	}
	if c.News == nil || len(c.News.Kinds) == 0 {
		return nil, errors.New("the campaign had no news")
	}
	return c, nil
}

// campaignNews draws how long each kind of news took until its Event existed, which is after it was in the status.
func campaignNews(c *campaign) figure {
	b := bars{
		title: fmt.Sprintf("Time from the decisive push to the Event: %d upgrades, %d results a second", c.Upgrades,
			c.PerSecond),
		axis: "seconds", format: "%.1f",
	}
	quantiles := []struct {
		title string
		of    func(seconds) float64
	}{
		{"median", func(s seconds) float64 { return s.P50 }},
		{"99th percentile", func(s seconds) float64 { return s.P99 }},
		{"longest", func(s seconds) float64 { return s.Max }},
	}
	for _, q := range quantiles {
		b.addGroup(q.title)
	}
	for _, kind := range []string{"first failure", "Degraded", "Finished"} {
		of, ok := c.News.Kinds[kind]
		category := category{title: kind}
		for _, q := range quantiles {
			v := q.of(of.Event)
			category.add(value{median: v, low: v, high: v}, ok)
		}
		b.addCategory(category)
	}
	return b.draw("campaign-news")
}
