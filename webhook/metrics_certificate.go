// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// certificateMetrics tell from when until when the certificate is valid that is served. Both are needed to say that it
// expires soon: of three months that is two weeks, of six days it is a day.
func certificateMetrics(c *certificate) []prometheus.Collector {
	gauge := func(name, help string, at func() time.Time) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "fwupgrade", Subsystem: "webhook", Name: name, Help: help,
		}, func() float64 { return timestamp(at()) })
	}
	return []prometheus.Collector{
		gauge("certificate_start_timestamp_seconds",
			"Since when the certificate that is served is valid, in seconds since 1970.",
			func() time.Time { return c.current.Load().Leaf.NotBefore }),
		gauge("certificate_expiry_timestamp_seconds",
			"When the certificate that is served expires, in seconds since 1970.",
			func() time.Time { return c.current.Load().Leaf.NotAfter }),
	}
}
