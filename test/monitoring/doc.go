// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests config/monitoring with Prometheus' own libraries: every alert fires when it should and does
// not when it should not, and every query of the dashboard finds data in what the operator serves. It is a module of
// its own, so that the operator does not depend on Prometheus.
package monitoring
