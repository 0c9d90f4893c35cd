// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/spf13/pflag"
)

// campaignOptions are the flags of a campaign.
type campaignOptions struct {
	upgrades, devices, rate, decodeResults int
	share, finishing                       float64
	restart, verbose                       bool
	managerArgs                            []string
	jsonFile                               string
}

// Bounds of a campaign.
const (
	maxUpgrades       = 20_000
	maxUpgradeDevices = 10_000
)

func parseCampaign(args []string) (*campaignOptions, error) {
	o := &campaignOptions{}
	fs := pflag.NewFlagSet("bench "+commandCampaign, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.IntVar(&o.upgrades, "upgrades", 4000, "FirmwareUpgrades, each of a task of its own")
	fs.IntVar(&o.devices, "devices", 250, "devices that each expects")
	fs.Float64Var(&o.share, "share", 0.1, "share of the devices that report, from 0 to 1; 1 takes some 20 minutes")
	fs.Float64Var(&o.finishing, "finishing", 0.1,
		"share of the upgrades that expect no more devices than report, so that they finish")
	fs.IntVar(&o.rate, "rate", 800, "results a second, in random order over all upgrades")
	fs.BoolVar(&o.restart, "restart", false, "kill the controllers in the middle and start new ones")
	fs.IntVar(&o.decodeResults, "decode-results", 40_000, "results with which decoding alone is measured first")
	fs.StringArrayVar(&o.managerArgs, "manager-arg", nil,
		"a further argument of the operator's controllers; may be repeated")
	fs.BoolVar(&o.verbose, "verbose", false, "show what the operator logs")
	fs.StringVar(&o.jsonFile, "json", "", "file that gets everything that was measured, as JSON")
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	var problems []error
	if fs.NArg() > 0 {
		problems = append(problems, fmt.Errorf("unexpected argument %q: every option begins with --", fs.Arg(0)))
	}
	check := func(name string, value, low, high int) {
		if value < low || value > high {
			problems = append(problems, fmt.Errorf("--%s must be from %d to %d, not %d", name, low, high, value))
		}
	}
	check("upgrades", o.upgrades, 1, maxUpgrades)
	check("devices", o.devices, 1, maxUpgradeDevices)
	check("rate", o.rate, 1, maxRate)
	check("decode-results", o.decodeResults, 1, maxResults)
	if !(o.share > 0 && o.share <= 1) || !(o.finishing >= 0 && o.finishing <= 1) {
		problems = append(problems, errors.New("--share must be greater than 0 and at most 1, --finishing from 0 to 1"))
	}
	return o, errors.Join(problems...)
}

// results is how many results are pushed: from every upgrade the same share of its devices, and one at least.
func (o *campaignOptions) results() int {
	return o.upgrades * max(1, int(math.Round(o.share*float64(o.devices))))
}

// expected returns how many devices the upgrade with the number task expects when so many of them report.
func (o *campaignOptions) expected(task int, reporting int64) int64 {
	if float64(task) < o.finishing*float64(o.upgrades) {
		return reporting
	}
	return int64(o.devices)
}
