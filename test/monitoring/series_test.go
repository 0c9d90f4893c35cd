// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"strings"
	"time"
)

// seriesMinutes is how long series of upgrades are: some four days in minutes.
const seriesMinutes = 6000

// deadline is an upgrade whose deadline counts from one time after the beginning of the test and is at another.
func deadline(from, until time.Duration) string {
	const series = "\n" + `fwupgrade_upgrade_%s_timestamp_seconds{namespace="fleet",name="a",pod="x"} %vx%d`
	return fmt.Sprintf(series, "start", from.Seconds(), seriesMinutes) +
		fmt.Sprintf(series, "deadline", until.Seconds(), seriesMinutes)
}

// last says for four days when the last notification arrived: at the beginning of the test, and then at another time.
func last(at time.Duration) string {
	const series = "\n" + `fwupgrade_webhook_last_notification_timestamp_seconds{pod="x"} 0x%d %vx%d`
	minutes := int(at.Minutes())
	return fmt.Sprintf(series, max(0, minutes-1), at.Seconds(), seriesMinutes-minutes)
}

// crashing is a series of a process that can be scraped for some minutes, then not for some, for hours; it is what
// Prometheus makes of it, with a marker that the series has ended. Prometheus itself goes on.
func crashing(before, series string, up, down int) string {
	cycle := fmt.Sprintf(" 0x%d stale _x%d", up-1, down-1)
	return series + " " + before + strings.Repeat(cycle, 40) + prometheusRuns
}

// prometheusRuns is a target of somebody else, which Prometheus scrapes all the time.
const prometheusRuns = "\n" + `up{job="node"} 1x6000`

func notifications(answer, values string) string {
	return fmt.Sprintf(`fwupgrade_webhook_notifications_total{answer=%q,pod="x"} %s`, answer, values)
}

func handshakes(kind, values string) string {
	return fmt.Sprintf(`fwupgrade_webhook_tls_handshake_errors_total{kind=%q,pod="x"} %s`, kind, values)
}

func commitErrors(reason, values string) string {
	return fmt.Sprintf(`fwupgrade_webhook_commit_errors_total{reason=%q,pod="x"} %s`, reason, values)
}

func statusErrors(reason, values string) string {
	return fmt.Sprintf(`fwupgrade_controllers_status_write_errors_total{reason=%q,pod="x"} %s`, reason, values)
}

// latency has the buckets of 25 ms, 5 s and 10 s.
func latency(quick, medium, all string) string {
	const bucket = "fwupgrade_webhook_answer_duration_seconds_bucket{le=%q} %s\n"
	return fmt.Sprintf(bucket, "0.025", quick) + fmt.Sprintf(bucket, "5", medium) + fmt.Sprintf(bucket, "10", all) +
		fmt.Sprintf(bucket, "+Inf", all)
}

// certificate is valid from one time after the beginning of the test until another.
func certificate(from, until time.Duration) string {
	const series = "fwupgrade_webhook_certificate_%s_timestamp_seconds %vx90\n"
	return fmt.Sprintf(series, "start", from.Seconds()) + fmt.Sprintf(series, "expiry", until.Seconds())
}
