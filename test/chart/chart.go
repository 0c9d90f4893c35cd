// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart by Helm's own library: that it gives the objects of config, and that a real API
// server takes them.
package chart
