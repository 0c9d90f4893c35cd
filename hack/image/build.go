// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// binary is the program for one platform.
type binary struct {
	platform v1.Platform
	path     string
}

// buildAll builds the program for each platform into a folder, and says so: the first time it takes minutes.
func buildAll(ctx context.Context, o *options, folder string, out io.Writer) ([]binary, error) {
	binaries := make([]binary, 0, len(o.platforms))
	for _, platform := range o.platforms {
		fmt.Fprintf(out, "building %s for %s\n", o.pkg, platform)
		path := filepath.Join(folder, strings.ReplaceAll(platform.String(), "/", "-"))
		if err := build(ctx, o, platform, path); err != nil {
			return nil, err
		}
		binaries = append(binaries, binary{platform: platform, path: path})
	}
	return binaries, nil
}

// build builds a static binary. Nothing of this machine gets into it: neither paths nor the state of the repository,
// nor what the environment says of processors and experiments.
func build(ctx context.Context, o *options, platform v1.Platform, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.linkedVersion="+o.version, "-o", path, o.pkg)
	cmd.Dir = o.folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off",
		"GOEXPERIMENT=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0", "GOARM=7",
		"GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if platform.Architecture == "arm" && platform.Variant != "" {
		cmd.Env = append(cmd.Env, "GOARM="+strings.TrimPrefix(platform.Variant, "v"))
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s for %s: %w\n%s", o.pkg, platform, err, output)
	}
	return nil
}
