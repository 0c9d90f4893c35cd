// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	_ "embed" // the CRD
	"encoding/json"
	"fmt"
	"path"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// WayInline appends each notification to a list in the status of the task's object: read, append, update. It has one
// writer, as a controller has: several would refuse each other's updates, so that they are slower together than one.
const WayInline = "inline"

// InlineName is the name of the object, which has to exist.
const InlineName = "task"

const inlineResource = "inlineupgrades"

// InlineCRD is the object's CRD, as YAML.
//
//go:embed inline_crd.yaml
var InlineCRD []byte

// InlineGVK is the object's kind.
func InlineGVK() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "bench.fwupgrade.io", Version: "v1", Kind: "InlineUpgrade"}
}

// InlineUpgrade is a task with its results in the status.
type InlineUpgrade struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              InlineSpec   `json:"spec"`
	Status            InlineStatus `json:"status"`
}

// InlineSpec is what all results of the task share.
type InlineSpec struct {
	AppID         string `json:"appId,omitempty"`
	OperationID   string `json:"operationId"`
	TargetVersion string `json:"targetVersion,omitempty"`
}

// InlineStatus has the results in the order in which they were stored.
type InlineStatus struct {
	Results []InlineResult `json:"results,omitempty"`
}

// InlineResult is a result without what stands in the spec.
type InlineResult struct {
	DeviceID       string        `json:"deviceId"`
	SubOperationID string        `json:"subOperationId,omitempty"`
	State          storage.State `json:"state"`
	SourceVersion  string        `json:"sourceVersion,omitempty"`
	CurVersion     string        `json:"curVersion,omitempty"`
	StatusDesc     string        `json:"statusDesc,omitempty"`
	UpgradeTime    string        `json:"upgradeTime,omitempty"`
	ReceivedAt     int64         `json:"receivedAt"`
	FailedAt       int64         `json:"failedAt,omitempty"`
}

// inlineOf returns a result as it stands in the list.
func inlineOf(r result.Result) InlineResult {
	return InlineResult{
		DeviceID: r.DeviceID, SubOperationID: r.SubOperationID, State: r.State,
		SourceVersion: r.SourceVersion, CurVersion: r.CurVersion, StatusDesc: r.StatusDesc, UpgradeTime: r.UpgradeTime,
		ReceivedAt: r.ReceivedAt, FailedAt: r.FailedAt,
	}
}

// Results returns what the object holds.
func (u *InlineUpgrade) Results() []result.Result {
	results := make([]result.Result, len(u.Status.Results))
	for i, r := range u.Status.Results {
		results[i] = result.Result{
			Task:           result.Task{AppID: u.Spec.AppID, OperationID: u.Spec.OperationID},
			DeviceID:       r.DeviceID,
			SubOperationID: r.SubOperationID,
			ResultFields: storage.ResultFields{
				State: r.State, TargetVersion: u.Spec.TargetVersion, SourceVersion: r.SourceVersion,
				CurVersion: r.CurVersion, StatusDesc: r.StatusDesc, UpgradeTime: r.UpgradeTime,
			},
			ReceivedAt: r.ReceivedAt, FailedAt: r.FailedAt,
		}
	}
	return results
}

func runInline(ctx context.Context, o *options, config *rest.Config, ready func()) error {
	client, err := newClient(config)
	if err != nil {
		return err
	}
	writer := make(chan struct{}, 1)
	return serve(ctx, o.callback, func(ctx context.Context, r result.Result) error {
		select {
		case writer <- struct{}{}:
			defer func() { <-writer }()
			return appendInline(ctx, client, inlinePath(o.namespace), r)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}, ready)
}

// inlinePath returns where the API server has the object of a namespace.
func inlinePath(namespace string) string {
	version := InlineGVK().GroupVersion()
	return path.Join("/apis", version.Group, version.Version, "namespaces", namespace, inlineResource, InlineName)
}

// appendInline reads the object at a path of the API server, appends the result and writes the status.
func appendInline(ctx context.Context, client rest.Interface, at string, r result.Result) error {
	content, err := client.Get().AbsPath(at).Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	object := &InlineUpgrade{}
	if err := json.Unmarshal(content, object); err != nil {
		return fmt.Errorf("decode the object: %w", err)
	}
	object.Status.Results = append(object.Status.Results, inlineOf(r))
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode the object: %w", err)
	}
	err = client.Put().AbsPath(at, "status").
		SetHeader("Content-Type", runtime.ContentTypeJSON).
		MaxRetries(0).
		Body(body).
		Do(ctx).
		Error()
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}
