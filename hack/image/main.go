// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// The image command builds the operator's container image without a container runtime: one static binary for each
// platform, in an OCI image layout that is packed into a tar archive, and a list of what is in it (SPDX). With --push
// it pushes both to a registry. The same source, version and time give the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	// folder is where go build runs, and pkg the main package, relative to it.
	folder, pkg string
	// image is the name that the image gets, with a tag.
	image     string
	platforms []v1.Platform
	version   string
	revision  string
	source    string
	// created is the time of everything in the image, whenever it is built.
	created time.Time
	out     string
	sbom    string
	push    bool
}

func parse(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("image", flag.ContinueOnError)
	fs.StringVar(&o.folder, "folder", ".", "folder in which go build runs")
	fs.StringVar(&o.pkg, "package", "./cmd/manager", "main package")
	fs.StringVar(&o.image, "image", "fwupgrade-operator:latest", "name and tag of the image")
	platforms := fs.String("platforms", "linux/amd64,linux/arm64", "platforms, separated by commas")
	fs.StringVar(&o.version, "version", "", "version that the binary reports")
	fs.StringVar(&o.revision, "revision", "", "commit, for the label org.opencontainers.image.revision")
	fs.StringVar(&o.source, "source", "", "URL of the repository, for the label org.opencontainers.image.source")
	fs.StringVar(&o.out, "out", "bin/image.tar", "the archive")
	fs.StringVar(&o.sbom, "sbom", "bin/image.spdx.json", "the list of what is in the image (SPDX)")
	fs.BoolVar(&o.push, "push", false, "push the image and the list to the registry in its name")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: every option begins with --", fs.Arg(0))
	}
	for name := range strings.SplitSeq(*platforms, ",") {
		platform, err := v1.ParsePlatform(strings.TrimSpace(name))
		if err != nil || platform.OS == "" || platform.Architecture == "" {
			return nil, fmt.Errorf("--platforms: %q is not an operating system and an architecture, such as linux/arm64", name)
		}
		o.platforms = append(o.platforms, *platform)
	}
	var err error
	o.created, err = sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	return o, err
}

// sourceDate reads the seconds since 1970 that reproducible builds take for the time of what they make.
func sourceDate(seconds string) (time.Time, error) {
	if seconds == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q, not a number of seconds since 1970", seconds)
	}
	return time.Unix(n, 0).UTC(), nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "fwupgrade-image-")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(folder)
	binaries, err := buildAll(ctx, o, folder, out)
	if err != nil {
		return err
	}
	index, err := newIndex(o, binaries)
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("digest of the image: %w", err)
	}
	list, err := newList(o, binaries, digest)
	if err != nil {
		return err
	}
	if err := writeArchive(o, index, filepath.Join(folder, "layout")); err != nil {
		return err
	}
	if err := os.WriteFile(o.sbom, list, 0o644); err != nil {
		return fmt.Errorf("write the list of what is in the image: %w", err)
	}
	fmt.Fprintf(out, "%s: %s, version %s, digest %s\n%s: what is in it\n", o.out, o.image, o.version, digest, o.sbom)
	if !o.push {
		return nil
	}
	if err := push(ctx, o, index, list); err != nil {
		return err
	}
	fmt.Fprintf(out, "pushed %s, and the list attached to it\n", o.image)
	return nil
}
