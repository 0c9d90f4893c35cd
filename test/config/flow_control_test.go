// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

// classified is how the API server took a request.
type classified struct{ Schema, Level string }

// classifier notes how the API server took the last request of a client.
type classifier struct {
	next http.RoundTripper

	mu            sync.Mutex
	schema, level string // UIDs
}

func (c *classifier) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(request)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.schema = response.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID)
		c.level = response.Header.Get(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID)
	}
	return response, err
}

// last returns the names of the FlowSchema and the level of the last request.
func (c *classifier) last(t *testing.T) classified {
	t.Helper()
	schemas, levels := &flowcontrolv1.FlowSchemaList{}, &flowcontrolv1.PriorityLevelConfigurationList{}
	must(t, k8s.List(t.Context(), schemas))
	must(t, k8s.List(t.Context(), levels))
	c.mu.Lock()
	defer c.mu.Unlock()
	got := classified{Schema: c.schema, Level: c.level}
	for i := range schemas.Items {
		if string(schemas.Items[i].UID) == c.schema {
			got.Schema = schemas.Items[i].Name
		}
	}
	for i := range levels.Items {
		if string(levels.Items[i].UID) == c.level {
			got.Level = levels.Items[i].Name
		}
	}
	return got
}

// classifying returns a client of a service account, and what notes how its requests are taken.
func classifying(t *testing.T, account string) (client.Client, *classifier) {
	t.Helper()
	config, c := accountConfig(t, account), &classifier{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		c.next = next
		return c
	})
	return clientFor(t, config), c
}

func lease(name string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}}
}

// How requests are taken is decided before they are authorized, so what is refused counts as well.
func TestRequestsAreClassified(t *testing.T) {
	first := classified{"fwupgrade-controllers-first", "leader-election"}
	telling := classified{"fwupgrade-controllers", "fwupgrade-telling"}
	store := &storage.ResultStore{ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}}
	others := classified{"service-accounts", "workload-low"}
	fwu := &v1alpha1.FirmwareUpgrade{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "x"}}
	cases := map[string]struct {
		account string
		request func(ctx context.Context, c client.Client) error
		want    classified
	}{
		"the webhook stores": {webhookAccount, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, newSlice(operatorNamespace))
		}, classified{"fwupgrade-webhook", "fwupgrade-storing"}},
		"the webhook asks whose a token is": {webhookAccount, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "made up"}})
		}, others},
		"the webhook asks what it may do": {webhookAccount, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, &authorizationv1.SelfSubjectAccessReview{})
		}, others},
		"a lease is renewed": {controllerAccount, func(ctx context.Context, c client.Client) error {
			return c.Update(ctx, lease("x"))
		}, first},
		"a lease is read": {controllerAccount, func(ctx context.Context, c client.Client) error {
			return c.Get(ctx, client.ObjectKeyFromObject(lease("x")), lease("x"))
		}, first},
		"the store is claimed": {controllerAccount, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, store.DeepCopy())
		}, first},
		"the store is said to be full": {controllerAccount, func(ctx context.Context, c client.Client) error {
			return c.Status().Update(ctx, store.DeepCopy())
		}, first},
		"a status is written": {controllerAccount, func(ctx context.Context, c client.Client) error {
			return c.Status().Update(ctx, fwu.DeepCopy())
		}, telling},
		"a slice is compacted": {controllerAccount, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, newSlice(operatorNamespace))
		}, telling},
		"slices are read": {controllerAccount, func(ctx context.Context, c client.Client) error {
			return c.List(ctx, &storage.ResultSliceList{}, client.InNamespace(operatorNamespace))
		}, telling},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c, noted := classifying(t, tc.account)
			harness.Eventually(t, func() string {
				// Some of it is refused, for what is named here does not exist.
				_ = tc.request(t.Context(), c)
				return cmp.Diff(tc.want, noted.last(t))
			})
		})
	}
	t.Cleanup(func() {
		must(t, client.IgnoreNotFound(k8s.Delete(context.WithoutCancel(t.Context()), store)))
	})
}

// The API server says of a FlowSchema whose level is missing that it is dangling.
func TestFlowSchemasHaveTheirLevels(t *testing.T) {
	harness.Eventually(t, func() string {
		list := &flowcontrolv1.FlowSchemaList{}
		must(t, k8s.List(t.Context(), list, client.MatchingLabels{"app.kubernetes.io/name": "fwupgrade"}))
		got := map[string]string{}
		for i := range list.Items {
			for _, condition := range list.Items[i].Status.Conditions {
				got[list.Items[i].Name] += fmt.Sprintf("%s=%s", condition.Type, condition.Status)
			}
		}
		return cmp.Diff(map[string]string{
			"fwupgrade-controllers": "Dangling=False", "fwupgrade-controllers-first": "Dangling=False",
			"fwupgrade-webhook": "Dangling=False",
		}, got)
	})
}
