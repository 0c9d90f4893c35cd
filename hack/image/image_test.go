// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// made is what a run of the command wrote.
type made struct{ archive, list []byte }

// makeImage runs the command on a small program of the tests, for two platforms.
func makeImage(t *testing.T, more ...string) made {
	t.Helper()
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := t.TempDir()
	archive, list := filepath.Join(dir, "image.tar"), filepath.Join(dir, "list.json")
	args := append([]string{
		"--package=./testdata/hello", "--version=v1.2.3", "--revision=abc", "--out=" + archive, "--sbom=" + list,
	}, more...)
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	return made{read(t, archive), read(t, list)}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The same source, version and time give the same bytes, whatever the environment says. Another version
// gives others.
func TestReproducible(t *testing.T) {
	first := makeImage(t)
	for name, value := range map[string]string{
		"GOAMD64": "v3", "GOARM64": "v9.0", "GOEXPERIMENT": "jsonv2", "GOFIPS140": "latest", "GOFLAGS": "-tags=a",
	} {
		t.Setenv(name, value)
	}
	second := makeImage(t)
	if !bytes.Equal(first.archive, second.archive) {
		t.Error("two builds gave two archives")
	}
	if diff := cmp.Diff(string(first.list), string(second.list)); diff != "" {
		t.Error("two builds gave two lists:", diff)
	}
	if other := makeImage(t, "--version=v1.2.4"); bytes.Equal(first.archive, other.archive) {
		t.Error("two versions gave the same archive: nothing was compared")
	}
}

// unpack unpacks the archive into a folder, as a tool that reads OCI image layouts would.
func unpack(t *testing.T, archive []byte) layout.Path {
	t.Helper()
	dir := t.TempDir()
	for reader := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		content, err := io.ReadAll(reader)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// platforms returns the images of an index by their platforms.
func platforms(t *testing.T, index v1.ImageIndex) map[string]v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, descriptor := range manifest.Manifests {
		if images[descriptor.Platform.String()], err = index.Image(descriptor.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return images
}

func TestArchive(t *testing.T) {
	top, err := unpack(t, makeImage(t, "--image=registry.example.com/a/b:v1.2.3").archive).ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout has %d entries: tools would not know which is meant", len(manifest.Manifests))
	}
	want := map[string]string{
		"org.opencontainers.image.ref.name": "v1.2.3", "io.containerd.image.name": "registry.example.com/a/b:v1.2.3",
	}
	if diff := cmp.Diff(want, manifest.Manifests[0].Annotations); diff != "" {
		t.Error(diff)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	images := platforms(t, index)
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		image := images[platform]
		if image == nil {
			t.Errorf("there is no image for %s", platform)
			continue
		}
		checkConfig(t, platform, image)
	}
}

// The name in containerd is the one that the kubelet asks for.
func TestShortName(t *testing.T) {
	top, err := unpack(t, makeImage(t, "--platforms=linux/amd64").archive).ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	want := "docker.io/library/fwupgrade-operator:latest"
	if got := manifest.Manifests[0].Annotations["io.containerd.image.name"]; got != want {
		t.Errorf("want %s, got %s", want, got)
	}
}

func checkConfig(t *testing.T, platform string, image v1.Image) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{User: "65532:65532", Entrypoint: []string{"/manager"}, Labels: map[string]string{
		"org.opencontainers.image.title":       "fwupgrade-operator",
		"org.opencontainers.image.description": "Turns firmware upgrade notifications into FirmwareUpgrade resources",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.created":     "2023-11-14T22:13:20Z",
		"org.opencontainers.image.version":     "v1.2.3",
		"org.opencontainers.image.revision":    "abc",
	}}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("%s: %s", platform, diff)
	}
	if got := config.OS + "/" + config.Architecture; got != platform {
		t.Errorf("%s: the configuration says %s", platform, got)
	}
	var files []string
	for reader := tar.NewReader(mutate.Extract(image)); ; {
		header, err := reader.Next()
		if err != nil {
			break
		}
		files = append(files, fmt.Sprintf("%s %o", header.Name, header.Mode))
	}
	if diff := cmp.Diff([]string{"manager 555"}, files); diff != "" {
		t.Errorf("%s: %s", platform, diff)
	}
}

// The image is pushed with the list attached, and comes back as it was.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	image := strings.TrimPrefix(server.URL, "http://") + "/fwupgrade-operator:v1.2.3"
	pushed := makeImage(t, "--image="+image, "--push")

	tag, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	for platform, image := range platforms(t, index) {
		checkConfig(t, platform, image)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	referrers, err := remote.Referrers(tag.Context().Digest(digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := referrers.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].ArtifactType != spdxMediaType {
		t.Fatalf("want one list that refers to the image, got %+v", manifest.Manifests)
	}
	attached, err := remote.Image(tag.Context().Digest(manifest.Manifests[0].Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := attached.Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(pushed.list), string(list)); diff != "" {
		t.Error(diff)
	}
}

// The operator itself: static, with its version, and its modules in the list.
func TestOperator(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the binary of the image runs on Linux")
	}
	made := makeImage(t, "--folder=../..", "--package=./cmd/manager", "--platforms=linux/"+runtime.GOARCH)
	top, err := unpack(t, made.archive).ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := top.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	reader := tar.NewReader(mutate.Extract(platforms(t, index)["linux/"+runtime.GOARCH]))
	if _, err := reader.Next(); err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "manager")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "fwupgrade manager v1.2.3 (") {
		t.Errorf("--version: %v: %s", err, out)
	}
	if bytes.Contains(content, []byte("ld-linux")) {
		t.Error("the binary needs a dynamic linker")
	}
	checkList(t, made.list)
}

func checkList(t *testing.T, list []byte) {
	t.Helper()
	var document spdxDocument
	if err := json.Unmarshal(list, &document); err != nil {
		t.Fatal(err)
	}
	packages, ids := map[string]string{}, map[string]bool{}
	for _, p := range document.Packages {
		packages[p.Name] = p.VersionInfo
		if ids[p.SPDXID] {
			t.Errorf("%s stands there twice", p.SPDXID)
		}
		ids[p.SPDXID] = true
	}
	if packages["fwupgrade.io/operator"] != "v1.2.3" {
		t.Errorf("the operator's version: %q", packages["fwupgrade.io/operator"])
	}
	for _, module := range []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "stdlib"} {
		if packages[module] == "" {
			t.Errorf("%s is missing", module)
		}
	}
	for _, relationship := range document.Relationships {
		for _, id := range []string{relationship.Element, relationship.Related} {
			if id != documentID && !ids[id] {
				t.Errorf("a relationship names %s, which is not there", id)
			}
		}
	}
}

func TestWrongFlags(t *testing.T) {
	cases := map[string]struct{ argument, want string }{
		"a platform":  {"--platforms=linux", `--platforms: "linux" is not an operating system and an architecture`},
		"an argument": {"image", "unexpected argument"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), []string{tc.argument}, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want %s, got %v", tc.want, err)
			}
		})
	}
}
