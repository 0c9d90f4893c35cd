// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// entrypoint is the one file of the image. Certificates of authorities are not in it: the operator calls nobody but
	// the API server, whose authority every pod gets with its token.
	entrypoint = "/manager"
	// user is nobody in particular, as the Deployments have it.
	user = "65532:65532"
)

// newIndex makes the image of each platform, from nothing but its binary, and the index over them.
func newIndex(o *options, binaries []binary) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range binaries {
		image, err := newImage(o, b)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", b.platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &b.platform},
		})
	}
	return mutate.Annotations(index, o.labels()).(v1.ImageIndex), nil
}

func newImage(o *options, b binary) (v1.Image, error) {
	content, err := layerOf(b.path, o.created)
	if err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON), mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{
		Created: v1.Time{Time: o.created}, CreatedBy: "go build " + o.pkg,
	}})
	if err != nil {
		return nil, fmt.Errorf("append the layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = b.platform.OS, b.platform.Architecture, b.platform.Variant
	config.Created = v1.Time{Time: o.created}
	config.Config = v1.Config{Entrypoint: []string{entrypoint}, User: user, Labels: o.labels()}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("set the configuration: %w", err)
	}
	return mutate.Annotations(image, o.labels()).(v1.Image), nil
}

// layerOf packs a binary into a tar archive with the time that everything in the image has.
func layerOf(path string, created time.Time) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	header := &tar.Header{
		Name: entrypoint[1:], Mode: 0o555, Size: int64(len(content)), ModTime: created, Typeflag: tar.TypeReg,
	}
	if err := writer.WriteHeader(header); err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	if _, err := writer.Write(content); err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	return layer.Bytes(), nil
}

// labels are what the OCI image specification names for all images; they are annotations of the manifests, too.
func (o *options) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       "fwupgrade-operator",
		"org.opencontainers.image.description": "Turns firmware upgrade notifications into FirmwareUpgrade resources",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.created":     o.created.Format(time.RFC3339),
	}
	for key, value := range map[string]string{"version": o.version, "revision": o.revision, "source": o.source} {
		if value != "" {
			labels["org.opencontainers.image."+key] = value
		}
	}
	return labels
}
