// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/load/receiver"
)

const (
	// crdPollInterval and crdTimeout are for the API server to take up a CRD, or to give it up.
	crdPollInterval = 50 * time.Millisecond
	crdTimeout      = 30 * time.Second
)

// inlineSide keeps the results in a list in the status of an object of its own kind, which exists for a turn.
type inlineSide struct {
	receiverSide
}

func newInlineSide() side {
	s := &inlineSide{}
	s.way, s.read = receiver.WayInline, s.fromStatus
	return s
}

// inlineLoads are the loads that the side takes part in: more of them tell nothing new about one writer, and its queue
// makes each of its turns long.
func inlineLoads(o *options) []string {
	return []string{closedKey(o.mainConnections), openKey(o.rates[0])}
}

// start implements side: it installs the kind and creates the object before the receiver starts.
func (s *inlineSide) start(ctx context.Context, turn *turn) (*started, error) {
	crd, err := inlineCRD()
	if err != nil {
		return nil, err
	}
	if err := turn.api.Create(ctx, crd); err != nil {
		return nil, fmt.Errorf("install the inline side's CRD: %w", err)
	}
	object, err := inlineObject(turn)
	if err != nil {
		return nil, err
	}
	// The API server serves a kind some time after its CRD was created.
	err = wait.PollUntilContextTimeout(ctx, crdPollInterval, crdTimeout, true, func(ctx context.Context) (bool, error) {
		err := turn.api.Create(ctx, object)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("create the inline side's object: %w", err)
	}
	return s.receiverSide.start(ctx, turn)
}

// fromStatus returns what the object holds. One that stands there twice was counted twice, which is an error.
func (s *inlineSide) fromStatus(ctx context.Context, turn *turn) ([]result.Result, bool, error) {
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(receiver.InlineGVK())
	if err := turn.api.Get(ctx, client.ObjectKey{Namespace: turn.namespace, Name: receiver.InlineName},
		stored); err != nil {
		return nil, false, fmt.Errorf("read what is stored: %w", err)
	}
	object := &receiver.InlineUpgrade{}
	if err := apiruntime.DefaultUnstructuredConverter.FromUnstructured(stored.Object, object); err != nil {
		return nil, false, fmt.Errorf("decode what is stored: %w", err)
	}
	results := object.Results()
	known := map[result.Result]struct{}{}
	for _, r := range results {
		r.ReceivedAt, r.FailedAt = 0, 0
		if _, ok := known[r]; ok {
			return nil, false, fmt.Errorf("the result of device %s is stored twice", r.DeviceID)
		}
		known[r] = struct{}{}
	}
	return results, true, nil
}

// stop implements side. The objects go with their CRD.
func (s *inlineSide) stop(ctx context.Context, turn *turn) error {
	err := s.receiverSide.stop(ctx, turn)
	crd, crdErr := inlineCRD()
	if crdErr != nil {
		return errors.Join(err, crdErr)
	}
	crdErr = wait.PollUntilContextTimeout(ctx, crdPollInterval, crdTimeout, true, func(ctx context.Context) (bool, error) {
		err := turn.api.Delete(ctx, crd)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if crdErr != nil {
		crdErr = fmt.Errorf("remove the inline side's CRD: %w", crdErr)
	}
	return errors.Join(err, crdErr)
}

func inlineCRD() (*unstructured.Unstructured, error) {
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(receiver.InlineCRD, &crd.Object); err != nil {
		return nil, fmt.Errorf("decode the inline side's CRD: %w", err)
	}
	return crd, nil
}

// inlineObject returns the object of the plan's only task.
func inlineObject(turn *turn) (*unstructured.Unstructured, error) {
	o := turn.plan.Options()
	object := &receiver.InlineUpgrade{
		Spec: receiver.InlineSpec{AppID: o.AppID, OperationID: turn.plan.OperationID(0), TargetVersion: o.TargetVersion},
	}
	object.Namespace, object.Name = turn.namespace, receiver.InlineName
	object.APIVersion, object.Kind = receiver.InlineGVK().ToAPIVersionAndKind()
	content, err := apiruntime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("encode the inline side's object: %w", err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}
