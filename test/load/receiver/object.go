// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// WayObject creates one object for each notification: a slice with one result.
const WayObject = "object"

func runObjects(ctx context.Context, o *options, config *rest.Config, ready func()) error {
	client, err := newClient(config)
	if err != nil {
		return err
	}
	return serve(ctx, o.callback, func(ctx context.Context, r result.Result) error {
		return createSlice(ctx, client, o.namespace, r)
	}, ready)
}

// newClient makes a client that is set up as the webhook's.
func newClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := storage.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register kinds: %w", err)
	}
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	scheme.AddUnversionedTypes(metav1.Unversioned, &metav1.Status{})

	own := rest.CopyConfig(config)
	own.GroupVersion = &storage.GroupVersion
	own.APIPath = "/apis"
	own.ContentType = runtime.ContentTypeJSON
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	own.WarningHandler = rest.NoWarnings{}
	own.QPS, own.Burst, own.RateLimiter = -1, 0, nil
	client, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return client, nil
}

// acceptMetadata asks for the metadata of what was created, as the webhook does.
const acceptMetadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

func createSlice(ctx context.Context, client rest.Interface, namespace string, r result.Result) error {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	body, err := json.Marshal(&storage.ResultSlice{
		TypeMeta:   metav1.TypeMeta{APIVersion: storage.GroupVersion.String(), Kind: "ResultSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: "r-" + hex.EncodeToString(random[:])},
		Tables:     result.Pack([]result.Result{r}),
	})
	if err != nil {
		return fmt.Errorf("encode slice: %w", err)
	}
	err = client.Post().
		Namespace(namespace).
		Resource("resultslices").
		SetHeader("Content-Type", runtime.ContentTypeJSON).
		SetHeader("Accept", acceptMetadata).
		MaxRetries(0).
		Body(body).
		Do(ctx).
		Error()
	if err != nil {
		return fmt.Errorf("create slice: %w", err)
	}
	return nil
}
