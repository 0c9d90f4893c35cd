// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"maps"
	"strings"
	"time"
)

// alertCases are the cases of each alert.
func alertCases() map[string]map[string]ruleCase {
	cases := map[string]map[string]ruleCase{}
	for _, some := range []map[string]map[string]ruleCase{
		upgradeCases(), callbackCases(), certificateCases(), storeCases(), controllerCases(),
	} {
		maps.Copy(cases, some)
	}
	return cases
}

// none is the labels of an alert that has none.
var none = []string{"{}"}

func upgradeCases() map[string]map[string]ruleCase {
	const stalled = `fwupgrade_upgrade_stalled_timestamp_seconds{namespace="fleet",name="a",reason="Failed",pod=`
	const notReady = `fwupgrade_application_not_ready_timestamp_seconds{name="meters",reason="WrongCredentials",pod=`
	const undecided = "fwupgrade_platform_undecided_attempts"
	one := []string{`{name="a", namespace="fleet"}`}
	return map[string]map[string]ruleCase{
		"FirmwareUpgradeStalled": {
			"stalled": {stalled + `"x"} 60x10`, 2 * time.Minute, []string{`{name="a", namespace="fleet", reason="Failed"}`}},
			"of two leaders one is told": {stalled + `"x"} 60x10` + "\n" + stalled + `"y"} 60x10`, 2 * time.Minute,
				[]string{`{name="a", namespace="fleet", reason="Failed"}`}},
			"the leader changes": {stalled + `"x"} 60x10` + "\n" + stalled + `"y"} _x19 60x30`, 18 * time.Minute,
				[]string{`{name="a", namespace="fleet", reason="Failed"}`}},
			"its series has ended":  {stalled + `"x"} 60x10`, 40 * time.Minute, nil},
			"failed upgrades exist": {`fwupgrade_firmwareupgrades{phase="Failed",stalled="Failed"} 3x60`, time.Hour, nil},
		},
		"FirmwareUpgradeDeadlineNear": {
			"three hours of 48 are left": {deadline(0, 48*time.Hour), 45 * time.Hour, one},
			"five hours of 48 are left":  {deadline(0, 48*time.Hour), 43 * time.Hour, nil},
			"ten minutes of an hour":     {deadline(0, time.Hour), 50 * time.Minute, nil},
			"an hour has begun":          {deadline(0, time.Hour), 5 * time.Minute, nil},
			"an hour is nearly over":     {deadline(0, time.Hour), 56 * time.Minute, one},
			"four hours of a year":       {deadline(-360*24*time.Hour, 3*time.Hour), time.Hour, one},
			"five hours of a year":       {deadline(-360*24*time.Hour, 6*time.Hour), time.Hour, nil},
			"it has finished in time": {`fwupgrade_upgrade_start_timestamp_seconds{namespace="fleet",name="a"} 0x50
				fwupgrade_upgrade_deadline_timestamp_seconds{namespace="fleet",name="a"} 3600x50`, time.Hour + time.Minute, nil},
		},
		"FirmwareUpgradeApplicationNotReady": {
			"wrong credentials": {notReady + `"x"} 60x60`, 21 * time.Minute,
				[]string{`{name="meters"}`}},
			"another reason": {notReady + `"x"} 60x10` + "\n" +
				strings.Replace(notReady, "WrongCredentials", "Unreachable", 1) + `"x"} _x10 60x30`, 25 * time.Minute,
				[]string{`{name="meters"}`}},
			"the leader changes": {notReady + `"x"} 60x10` + "\n" + notReady + `"y"} _x10 60x30`, 25 * time.Minute,
				[]string{`{name="meters"}`}},
			"corrected in time": {notReady + `"x"} 60x15`, 25 * time.Minute, nil},
		},
		"FirmwareUpgradeCreationUndecided": {
			"longer than the grace": {undecided + `{pod="x"} 1x150`, 101 * time.Minute, none},
			"within the grace":      {undecided + `{pod="x"} 1x70 0x60`, 79 * time.Minute, nil},
			"the leader changes": {undecided + `{pod="x"} 1x50 stale` + "\n" + undecided + `{pod="y"} _x58 1x60`,
				101 * time.Minute, none},
			"another one after it was found": {undecided + ` 1x30 0x30 1x60`, 2 * time.Hour, nil},
			"no attempt is undecided":        {undecided + ` 0x150`, 2 * time.Hour, nil},
		},
		"FirmwareUpgradeNothingArrives": {
			"nothing for 27 hours":           {deadline(0, 48*time.Hour) + last(0), 27 * time.Hour, none},
			"a device may still come online": {deadline(0, 48*time.Hour) + last(0), 26 * time.Hour, nil},
			"nothing ever":                   {deadline(0, 48*time.Hour), 27 * time.Hour, none},
			"a device comes online after 25 hours": {
				deadline(0, 48*time.Hour) + last(25*time.Hour), 27 * time.Hour, nil,
			},
			"the pod that received it is gone": {
				deadline(0, 48*time.Hour) + "\n" +
					`fwupgrade_webhook_last_notification_timestamp_seconds{pod="x"} _x599 36000x60`, 27 * time.Hour, nil,
			},
			"nothing is under way":   {last(0), 40 * time.Hour, nil},
			"it began a moment ago":  {deadline(26*time.Hour, 48*time.Hour) + last(0), 27 * time.Hour, nil},
			"a second one is served": {deadline(0, 48*time.Hour) + last(26*time.Hour), 27 * time.Hour, nil},
		},
		"FirmwareUpgradeTaskUnclaimed": {
			"for an hour":              {`fwupgrade_unclaimed_tasks{pod="x"} 2x70`, 65 * time.Minute, none},
			"until its placeholder is": {"fwupgrade_unclaimed_tasks 2x5 0x70", 65 * time.Minute, nil},
		},
	}
}

func callbackCases() map[string]map[string]ruleCase {
	const webhook = "fwupgrade_webhook_queue_entries"
	return map[string]map[string]ruleCase{
		"FirmwareUpgradeWebhookDown": {
			"no series":                                  {"up 1x20", 10 * time.Minute, none},
			"one of two is scraped":                      {`fwupgrade_webhook_queue_entries{pod="x"} 0x20`, 10 * time.Minute, nil},
			"a pod replaced another":                     {webhook + " 0x20 stale _x3 0x20" + prometheusRuns, 27 * time.Minute, nil},
			"it begins to crash":                         {crashing("0x30", webhook, 1, 4), 47 * time.Minute, none},
			"it has crashed since it is there":           {crashing("", webhook, 1, 4), time.Hour, none},
			"it runs for three minutes, again and again": {crashing("", webhook, 3, 4), time.Hour, none},
			"it is away for a minute, again and again":   {crashing("", webhook, 4, 1), time.Hour, nil},
			"two pods crash in turns": {crashing("", webhook+`{pod="x"}`, 3, 3) + "\n" +
				crashing("_x3", webhook+`{pod="y"}`, 3, 3), time.Hour, nil},
			"it was installed a moment ago": {webhook + " _x30 0x60" + prometheusRuns, 36 * time.Minute, nil},
			"Prometheus was away":           {webhook + " 0x20 _x20 0x60\nup 1x20 _x20 1x60", 43 * time.Minute, nil},
		},
		"FirmwareUpgradeNotStored": {
			"the API server is away":    {notifications("not_stored", "0x5 0+10x20"), 20 * time.Minute, none},
			"bodies have no room":       {notifications("busy", "0x5 0+10x20"), 20 * time.Minute, none},
			"a blacklisted host, tried": {notifications("not_stored", "0 0 0 1 1 1 2 2 2 3 3 3 4 4 4 5 5 5"), 17 * time.Minute, none},
			"for a moment":              {notifications("not_stored", "0x5 40x20"), 9 * time.Minute, nil},
			"for four minutes":          {notifications("not_stored", "0x5 10+10x3 40x20"), 12 * time.Minute, nil},
			"for six minutes":           {notifications("not_stored", "0x5 10+10x5 60x20"), 14 * time.Minute, none},
			"long ago":                  {notifications("not_stored", "0x5 0+10x20 210x60"), 50 * time.Minute, nil},
			"others are stored":         {notifications("recorded", "0+100x20"), 20 * time.Minute, nil},
		},
		"FirmwareUpgradeAnswersSlow": {
			"a tenth takes 10 s":    {latency("0+90x30", "0+90x30", "0+100x30"), 25 * time.Minute, none},
			"all take 25 ms":        {latency("0+100x30", "0+100x30", "0+100x30"), 25 * time.Minute, nil},
			"nothing is pushed":     {latency("5x30", "5x30", "10x30"), 25 * time.Minute, nil},
			"slow for five minutes": {latency("0+100x15 1500x5 1500+100x10", "0+100x15 1500x5 1500+100x10", "0+100x30"), 21 * time.Minute, nil},
		},
		"FirmwareUpgradeUnauthorized": {
			"a blacklisted platform tries": {notifications("unauthorized", "0 0 0 1 1 1 2 2 2 3 3 3 4 4 4 5 5 5 6 6 6 7 7 7 8 8 8"), 26 * time.Minute, none},
			"somebody tried by hand":       {notifications("unauthorized", "0x5 3x30"), 20 * time.Minute, nil},
			"scanners":                     {notifications("not_found", "0+100x30"), 20 * time.Minute, nil},
		},
		"FirmwareUpgradeRejected": {
			"one":                {notifications("rejected", "0x5 1x30"), 10 * time.Minute, none},
			"an hour ago":        {notifications("rejected", "0x5 1x90"), 70 * time.Minute, nil},
			"another one's kind": {notifications("ignored", "0+1x30"), 10 * time.Minute, nil},
		},
		"FirmwareUpgradeHandshakeErrors": {
			"the platform does not trust it": {handshakes("refused_by_sender", "0+1x30"), 20 * time.Minute, none},
			"scanners":                       {handshakes("not_tls", "0+100x30"), 20 * time.Minute, nil},
			"a browser, once":                {handshakes("refused_by_sender", "0x5 2x30"), 20 * time.Minute, nil},
		},
		"FirmwareUpgradeConnectionsFull": {
			"a source has its share": {`fwupgrade_webhook_connection_limits_total{outcome="refused",pod="x"} 0+5x30`,
				20 * time.Minute, []string{`{outcome="refused"}`}},
			"idle ones are replaced": {`fwupgrade_webhook_connection_limits_total{outcome="replaced"} 0+5x30`, 20 * time.Minute, nil},
			"for a moment":           {`fwupgrade_webhook_connection_limits_total{outcome="waited"} 0x2 3x60`, 6 * time.Minute, nil},
		},
		"FirmwareUpgradeReloadErrors": {
			"a broken file": {`fwupgrade_webhook_reload_errors_total{file="secrets",pod="x"} 0x2 0+12x30`, 20 * time.Minute,
				[]string{`{file="secrets"}`}},
			"a file that was replaced meanwhile": {`fwupgrade_webhook_reload_errors_total{file="secrets"} 0x2 2x30`, 20 * time.Minute, nil},
		},
	}
}

func certificateCases() map[string]map[string]ruleCase {
	const day = 24 * time.Hour
	return map[string]map[string]ruleCase{
		"FirmwareUpgradeCertificateExpires": {
			"13 days of a year":          {certificate(-352*day, 13*day), 65 * time.Minute, none},
			"15 days of a year":          {certificate(-350*day, 15*day+2*time.Hour), 65 * time.Minute, nil},
			"20 days of 90":              {certificate(-70*day, 20*day), 65 * time.Minute, nil},
			"four days of six":           {certificate(-2*day, 4*day), 65 * time.Minute, nil},
			"a day of six":               {certificate(-5*day, day), 65 * time.Minute, none},
			"15 minutes of an hour":      {certificate(0, time.Hour), 45 * time.Minute, nil},
			"11 minutes of an hour":      {certificate(0, time.Hour), 49 * time.Minute, none},
			"it is renewed a bit late":   {"fwupgrade_webhook_certificate_expiry_timestamp_seconds 86400x10 7776000x60\nfwupgrade_webhook_certificate_start_timestamp_seconds -7776000x10 0x60", 65 * time.Minute, nil},
			"plain HTTP, no certificate": {"fwupgrade_webhook_queue_entries 0x70", 65 * time.Minute, nil},
		},
		"FirmwareUpgradeCertificateExpiresSoon": {
			"seven minutes of an hour": {certificate(0, time.Hour), 53 * time.Minute, nil},
			"five minutes of an hour":  {certificate(0, time.Hour), 55 * time.Minute, none},
			"a scrape fails": {"fwupgrade_webhook_certificate_expiry_timestamp_seconds 3600x56 stale\n" +
				"fwupgrade_webhook_certificate_start_timestamp_seconds 0x56 stale", 57 * time.Minute, none},
			"two days of a year":  {certificate(-363*day, 2*day), 30 * time.Minute, none},
			"four days of a year": {certificate(-361*day, 4*day), 30 * time.Minute, nil},
			"expired":             {certificate(-90*day, -day), 30 * time.Minute, none},
			"two days of six":     {certificate(-4*day, 2*day), 30 * time.Minute, nil},
		},
	}
}

func storeCases() map[string]map[string]ruleCase {
	const limit = "\nfwupgrade_controllers_stored_results_limit 100x60"
	return map[string]map[string]ruleCase{
		"FirmwareUpgradeStoreFills": {
			"81 %":          {"fwupgrade_controllers_store_load 81x60" + limit, 20 * time.Minute, none},
			"80 %":          {"fwupgrade_controllers_store_load 80x60" + limit, 20 * time.Minute, nil},
			"of the leader": {`fwupgrade_controllers_store_load{pod="standby"} 0x60` + "\n" + `fwupgrade_controllers_store_load{pod="leader"} 90x60` + limit, 20 * time.Minute, none},
		},
		"FirmwareUpgradeStoreFull": {
			"all of it":            {"fwupgrade_controllers_store_load 100x60" + limit, 20 * time.Minute, none},
			"99 %":                 {"fwupgrade_controllers_store_load 99x60" + limit, 20 * time.Minute, nil},
			"another installation": {commitErrors("store_full", "0+3x60") + limit, 20 * time.Minute, none},
			"another reason":       {commitErrors("timeout", "0+3x60") + limit, 20 * time.Minute, nil},
		},
		"FirmwareUpgradeUnreadable": {
			"one":                         {"fwupgrade_controllers_unreadable_slices 1x60", 20 * time.Minute, none},
			"while versions are replaced": {"fwupgrade_controllers_unreadable_slices 1x8 0x60", 8 * time.Minute, nil},
		},
	}
}

func controllerCases() map[string]map[string]ruleCase {
	const leads = "fwupgrade_placeholders"
	return map[string]map[string]ruleCase{
		"FirmwareUpgradeNoLeader": {
			"none":                             {`fwupgrade_build_info{pod="x"} 1x60`, 20 * time.Minute, none},
			"it changes":                       {leads + " 0x60 stale _x13 0x60" + prometheusRuns, 77 * time.Minute, nil},
			"it begins to crash":               {crashing("0x60", leads, 1, 5), 97 * time.Minute, none},
			"it has crashed since it is there": {crashing("", leads, 1, 5), 2 * time.Hour, none},
			"it leads for six minutes, again and again": {crashing("", leads, 6, 9), 3 * time.Hour, none},
			"it is away for a minute, again and again":  {crashing("", leads, 4, 1), 2 * time.Hour, nil},
			"it was installed a moment ago":             {leads + " _x60 0x60" + prometheusRuns, 63 * time.Minute, nil},
			"no upgrade but a lead":                     {"fwupgrade_placeholders 0x60", 20 * time.Minute, nil},
		},
		"FirmwareUpgradeTwoLeaders": {
			"two":                 {`fwupgrade_placeholders{pod="x"} 0x60` + "\n" + `fwupgrade_placeholders{pod="y"} 0x60`, 20 * time.Minute, none},
			"one follows another": {`fwupgrade_placeholders{pod="x"} 0x10` + "\n" + `fwupgrade_placeholders{pod="y"} _x10 0x60`, 13 * time.Minute, nil},
		},
		"FirmwareUpgradeEventsWait": {
			"since the beginning":  {"fwupgrade_oldest_waiting_event_timestamp_seconds 0x60", 20 * time.Minute, none},
			"always another one":   {"fwupgrade_oldest_waiting_event_timestamp_seconds _x5 0+60x60", 20 * time.Minute, nil},
			"it has been created":  {"fwupgrade_oldest_waiting_event_timestamp_seconds 0x8", 20 * time.Minute, nil},
			"none waits, no value": {"fwupgrade_placeholders 0x60", 20 * time.Minute, nil},
		},
		"FirmwareUpgradeStatusErrors": {
			"refused":            {statusErrors("other", "0+5x60"), 20 * time.Minute, none},
			"conflicts":          {statusErrors("conflict", "0+5x60"), 20 * time.Minute, nil},
			"at a restart, once": {statusErrors("other", "0x3 8x60"), 10 * time.Minute, nil},
		},
		"FirmwareUpgradeTargetDown": {
			"one pod":           {`up{job="fwupgrade",pod="x"} 0x60` + "\n" + `up{job="fwupgrade",pod="y"} 1x60`, 20 * time.Minute, []string{`{job="fwupgrade", pod="x"}`}},
			"somebody else's":   {`up{job="node"} 0x60`, 20 * time.Minute, nil},
			"while it restarts": {`up{job="fwupgrade"} 1x3 0x4 1x60`, 13 * time.Minute, nil},
			"while it begins":   {`up{job="fwupgrade"} 0x3 1x60`, 13 * time.Minute, nil},
			"it crashes again and again": {`up{job="fwupgrade"} ` + strings.Repeat("0x3 1 ", 20), time.Hour,
				[]string{`{job="fwupgrade"}`}},
			"it is gone": {`up{job="fwupgrade"} 0x5 stale`, 13 * time.Minute, nil},
		},
	}
}
