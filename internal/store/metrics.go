// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the store. No label holds a platform id or an object's name.
type metrics struct {
	slicesWritten prometheus.Counter
	slicesDeleted prometheus.Counter
}

// metricsPrefix is that of all metrics of the leader.
const metricsPrefix = "fwupgrade_controllers_"

func newMetrics(reg prometheus.Registerer, index *index, limit int) (*metrics, error) {
	m := &metrics{
		slicesWritten: counter("slices_written_total", "Slices written by compaction, retention, purges and releases."),
		slicesDeleted: counter("slices_deleted_total", "Slices deleted by compaction, retention, purges and releases."),
	}
	for _, c := range []prometheus.Collector{
		m.slicesWritten, m.slicesDeleted,
		gauge("stored_results", "Results in the stored slices.",
			func() float64 { return float64(index.usage().results) }),
		gauge("store_load", "What --max-stored-results bounds: the stored results, and the rejected notifications as "+
			"so many results as they may be large as.", func() float64 { return float64(index.usage().load) }),
		gauge("stored_results_limit", "The limit of stored results, --max-stored-results.",
			func() float64 { return float64(limit) }),
		gauge("stored_slices", "Stored slices.", func() float64 { return float64(index.usage().slices) }),
		gauge("unreadable_slices", "Stored slices that this version can't read completely; they are left as they are.",
			func() float64 { return float64(index.unreadable()) }),
		gauge("devices", "Devices in the tally, over all tasks.",
			func() float64 { return float64(index.tally.Size()) }),
		gauge("tasks", "Tasks in the tally.", func() float64 { return float64(index.tally.Count()) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help})
}

func gauge(name, help string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, value)
}
