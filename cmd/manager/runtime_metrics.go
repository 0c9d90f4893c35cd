// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// useDefaultRuntimeMetrics replaces what controller-runtime registers of the Go runtime, which is everything, more than
// two hundred series, by what Go programs usually tell.
func useDefaultRuntimeMetrics(registerer prometheus.Registerer) error {
	registerer.Unregister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll)))
	if err := registerer.Register(collectors.NewGoCollector()); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
