// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// WayFloor is the operator's webhook whose slices become ConfigMaps on their way to the API server: the same bytes,
// but opaque. What this API server can store at all, without looking into it.
const WayFloor = "floor"

// SliceKey is the key of a ConfigMap under which the slice stands, as JSON.
const SliceKey = "slice"

func runFloor(ctx context.Context, o *options, config *rest.Config, ready func()) error {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &opaque{next: next} })
	return runWebhook(ctx, o, config, ready)
}

// opaque turns the creation of a slice into that of a ConfigMap that holds it, encoded as the API server takes
// ConfigMaps fastest.
type opaque struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *opaque) RoundTrip(request *http.Request) (*http.Response, error) {
	slice, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the slice: %w", err)
	}
	if err := request.Body.Close(); err != nil {
		return nil, fmt.Errorf("read the slice: %w", err)
	}
	body, err := configMapOf(slice)
	if err != nil {
		return nil, err
	}
	own := request.Clone(request.Context())
	// /apis/storage.fwupgrade.io/v1alpha1/namespaces/<namespace>/resultslices
	parts := strings.Split(request.URL.Path, "/")
	own.URL.Path = "/api/v1/namespaces/" + parts[len(parts)-2] + "/configmaps"
	own.Header.Set("Content-Type", runtime.ContentTypeProtobuf)
	own.Body, own.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return t.next.RoundTrip(own)
}

func configMapOf(slice []byte) ([]byte, error) {
	var named metav1.PartialObjectMetadata
	if err := json.Unmarshal(slice, &named); err != nil {
		return nil, fmt.Errorf("read the slice's name: %w", err)
	}
	var encoded bytes.Buffer
	err := protobuf.NewSerializer(clientgoscheme.Scheme, clientgoscheme.Scheme).Encode(&corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: named.Name},
		BinaryData: map[string][]byte{SliceKey: slice},
	}, &encoded)
	if err != nil {
		return nil, fmt.Errorf("encode ConfigMap: %w", err)
	}
	return encoded.Bytes(), nil
}
