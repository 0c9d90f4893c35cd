// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes the image as an OCI image layout in a tar archive, by way of a folder. The layout has one entry,
// the index over the platforms, so that every tool knows which image is meant.
func writeArchive(o *options, index v1.ImageIndex, folder string) error {
	reference, err := name.NewTag(o.image)
	if err != nil {
		return fmt.Errorf("name of the image: %w", err)
	}
	top := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: index,
		Descriptor: v1.Descriptor{Annotations: map[string]string{
			"org.opencontainers.image.ref.name": reference.TagStr(),
			// By this name containerd keeps the image, and the kubelet finds it.
			"io.containerd.image.name": strings.Replace(reference.Name(), name.DefaultRegistry, "docker.io", 1),
		}},
	})
	if _, err := layout.Write(folder, top); err != nil {
		return fmt.Errorf("write the image layout: %w", err)
	}
	return pack(folder, o.out)
}

// pack writes the files of a folder, in the order of their names, into a tar archive without times and owners.
func pack(folder, path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	writer := tar.NewWriter(file)
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return add(writer, folder, path)
	})
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return writer.Close()
}

func add(writer *tar.Writer, folder, path string) error {
	relative, err := filepath.Rel(folder, path)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: filepath.ToSlash(relative), Mode: 0o644, Size: info.Size(), Typeflag: tar.TypeReg}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(writer, file)
	return err
}
