// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command plot draws what `make bench` measured: it reads the report and writes SVG files, which are the same for the
// same report. It is a module of its own, so that the operator does not depend on what it draws with.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	report := flag.String("report", "bin/bench.json", "the report, as JSON")
	campaign := flag.String("campaign", "", "the report of a campaign, as JSON; without it there is no figure of one")
	out := flag.String("out", "docs/performance", "the folder that gets the SVG files; it is made if it is not there")
	flag.Parse()
	if err := run(*report, *campaign, *out); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(reportFile, campaignFile, folder string) error {
	r, err := readReport(reportFile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	figures := figuresOf(r)
	if campaignFile != "" {
		c, err := readCampaign(campaignFile)
		if err != nil {
			return err
		}
		figures = append(figures, campaignNews(c))
	}
	for _, f := range figures {
		if err := f.save(folder); err != nil {
			return fmt.Errorf("draw %s: %w", f.name, err)
		}
	}
	return nil
}
