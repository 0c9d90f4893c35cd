// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// The one right the receiver needs:
// +kubebuilder:rbac:groups=storage.fwupgrade.io,resources=resultslices,verbs=create,namespace=system

// creator creates slices. It is the whole of the API server that the committer knows.
type creator interface {
	// create creates the slice that body encodes. The error is the API server's (apimachinery's errors) or the
	// transport's: then the slice may have been created nevertheless.
	create(ctx context.Context, body []byte) error
}

// acceptMetadata asks for the metadata of what was created: the answer need not repeat 256 KiB.
const acceptMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

// store creates slices in the operator's namespace.
type store struct {
	client    rest.Interface
	namespace string
}

func newStore(config *rest.Config, namespace string) (*store, error) {
	scheme := runtime.NewScheme()
	if err := storage.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register kinds: %w", err)
	}
	// Errors of the API server come as a Status of the core version.
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	scheme.AddUnversionedTypes(metav1.Unversioned, &metav1.Status{})

	own := rest.CopyConfig(config)
	own.GroupVersion = &storage.GroupVersion
	own.APIPath = "/apis"
	own.ContentType = runtime.ContentTypeJSON
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	own.WarningHandler = rest.NoWarnings{}
	// The committer writes one slice at a time, so no further limit is needed. One would make pushes miss their deadline.
	own.QPS, own.Burst, own.RateLimiter = -1, 0, nil
	client, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return &store{client: client, namespace: namespace}, nil
}

// create implements creator. It doesn't repeat anything by itself: the committer knows until when it is worth it.
func (s *store) create(ctx context.Context, body []byte) error {
	return s.client.Post().
		Namespace(s.namespace).
		Resource("resultslices").
		SetHeader("Content-Type", runtime.ContentTypeJSON).
		SetHeader("Accept", acceptMetadata).
		MaxRetries(0).
		Body(body).
		Do(ctx).
		Error()
}
