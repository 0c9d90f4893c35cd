// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// linkedVersion is set by the linker (-X main.linkedVersion=v0.1.0) where the build sees no repository, as in the
// Dockerfile.
var linkedVersion string //nolint:gochecknoglobals // the linker sets variables of a package only

// build is what this binary was built from.
type build struct {
	// version is the tag of the release, or a pseudo-version with the commit; "unknown" where the build was told neither.
	version string
	// goVersion is the toolchain.
	goVersion string
}

// thisBuild returns what the linker was told, else what the toolchain found in the repository.
func thisBuild() build {
	found := ""
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "(devel)" {
		found = info.Main.Version
	}
	return build{version: cmp.Or(linkedVersion, found, "unknown"), goVersion: runtime.Version()}
}

// String is what --version prints.
func (b build) String() string {
	return fmt.Sprintf("fwupgrade manager %s (%s, %s/%s)", b.version, b.goVersion, runtime.GOOS, runtime.GOARCH)
}

// register adds the metric that tells which build runs; its value is always 1.
func (b build) register(registerer prometheus.Registerer) error {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "fwupgrade_build_info",
		Help:        "1, with the version of the operator and of the Go toolchain that built it.",
		ConstLabels: prometheus.Labels{"version": b.version, "goversion": b.goVersion},
	})
	gauge.Set(1)
	if err := registerer.Register(gauge); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
