// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// push pushes the image, and the list of what is in it as a referrer: whoever has the image finds the list by it. The
// credentials are those of ~/.docker/config.json.
func push(ctx context.Context, o *options, index v1.ImageIndex, list []byte) error {
	tag, err := name.NewTag(o.image)
	if err != nil {
		return fmt.Errorf("name of the image: %w", err)
	}
	with := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if err := remote.WriteIndex(tag, index, with...); err != nil {
		return fmt.Errorf("push the image: %w", err)
	}
	attached, err := referrer(o, index, list)
	if err != nil {
		return err
	}
	digest, err := attached.Digest()
	if err != nil {
		return fmt.Errorf("digest of the list: %w", err)
	}
	if err := remote.Write(tag.Context().Digest(digest.String()), attached, with...); err != nil {
		return fmt.Errorf("push the list of what is in the image: %w", err)
	}
	return nil
}

// referrer makes an artifact of the list that refers to the image.
func referrer(o *options, index v1.ImageIndex, list []byte) (v1.Image, error) {
	subject, err := partial.Descriptor(index)
	if err != nil {
		return nil, fmt.Errorf("describe the image: %w", err)
	}
	artifact := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), spdxMediaType)
	artifact, err = mutate.AppendLayers(artifact, static.NewLayer(list, spdxMediaType))
	if err != nil {
		return nil, fmt.Errorf("make an artifact of the list: %w", err)
	}
	annotated := mutate.Annotations(artifact, o.labels()).(v1.Image)
	return mutate.Subject(annotated, *subject).(v1.Image), nil
}
