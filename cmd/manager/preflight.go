// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/store"
)

const (
	// apiServerPatience is how long a start waits for the API server: longer than a restart of it takes, shorter than a
	// person waits for an explanation.
	apiServerPatience = 2 * time.Minute
	// firstRetry and lastRetry are the shortest and the longest pause between two attempts.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 5 * time.Second
	// sayEvery is how often the log says that the API server is still awaited.
	sayEvery = 10 * time.Second
	// attemptTimeout is how long the requests of an attempt may take, but for looking which kinds there are: that takes no
	// context, and has a time-out of its own.
	attemptTimeout = 10 * time.Second
)

// preflight asks the API server, before anything is received or led, for what the components need.
type preflight struct {
	client client.Client
	// host is the API server's address, for messages.
	host                  string
	operatorNS, defaultNS string
	makesPlaceholders     bool
	clock                 clock.Clock
	log                   logr.Logger
}

// await returns when the controllers can start or the context ends, or with a sentence that says why they can't. An API
// server that does not answer, or not yet as it should, is asked again for apiServerPatience.
func (p *preflight) await(ctx context.Context) error {
	began := p.clock.Now()
	var said time.Time
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := p.attempt(ctx)
		if err == nil || !mayPass(err) {
			return err
		}
		now := p.clock.Now()
		if now.Sub(began) >= apiServerPatience {
			return fmt.Errorf("the API server at %s could not be used for %s: %w", p.host, apiServerPatience, err)
		}
		if now.Sub(said) >= sayEvery && ctx.Err() == nil {
			said = now
			p.log.Info("Could not use the API server, will try again", "apiServer", p.host, "error", err.Error(),
				"givingUpIn", (apiServerPatience - now.Sub(began)).Round(time.Second).String())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.clock.After(pause):
		}
	}
}

// attempt looks for everything once. The store is claimed last, so that a mistyped namespace claims nothing.
func (p *preflight) attempt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if err := p.kindsExist(kindsOfControllers()); err != nil {
		return err
	}
	if err := p.operatorNamespaceExists(ctx); err != nil {
		return err
	}
	return store.Claim(ctx, p.client, p.operatorNS)
}

// kindsOfWebhook are the kinds that storing needs: without the ResultStore the policy that looks at it refuses.
func kindsOfWebhook() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		storage.GroupVersion.WithKind("ResultSlice"), storage.GroupVersion.WithKind("ResultStore"),
	}
}

// kindsOfControllers are the kinds that the controllers watch, those of the platform also where nothing is to be
// connected.
func kindsOfControllers() []schema.GroupVersionKind {
	return append(kindsOfWebhook(),
		v1alpha1.GroupVersion.WithKind("FirmwareUpgrade"), v1alpha1.GroupVersion.WithKind("IoTApplication"),
		storage.GroupVersion.WithKind("FirmwareUpgradeTaskRecord"))
}

// kindsExist says which CRDs are missing.
func (p *preflight) kindsExist(kinds []schema.GroupVersionKind) error {
	for _, kind := range kinds {
		_, err := p.client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
		switch {
		case err == nil:
		case meta.IsNoMatchError(err) && !mayPass(err):
			return fmt.Errorf("the API server at %s does not know the kind %s of %s: install the CRDs with "+
				"kubectl apply -k config/crd", p.host, kind.Kind, kind.GroupVersion())
		default:
			return fmt.Errorf("look for the kind %s: %w", kind.Kind, err)
		}
	}
	return nil
}

// operatorNamespaceExists says whether the controllers have a namespace to work in. It lists slices, to see whether
// they may, and tries to store an empty one, as a dry run, which a namespace that is missing refuses.
func (p *preflight) operatorNamespaceExists(ctx context.Context) error {
	err := p.client.List(ctx, &storage.ResultSliceList{}, client.InNamespace(p.operatorNS), client.Limit(1))
	if err != nil {
		return fmt.Errorf("--operator-namespace=%s: %w", p.operatorNS, err)
	}
	// Other refusals, such as a quota that is used up, are no reason not to start: compaction may help.
	if isMissingNamespace(p.tryStoring(ctx)) {
		return fmt.Errorf("--operator-namespace=%s: there is no such namespace: create it, or set the flag to the one "+
			"that the operator is installed in", p.operatorNS)
	}
	return nil
}

// tryStoring stores an empty slice, as a dry run.
func (p *preflight) tryStoring(ctx context.Context) error {
	slice := &storage.ResultSlice{ObjectMeta: metav1.ObjectMeta{Namespace: p.operatorNS, GenerateName: "preflight-"}}
	return p.client.Create(ctx, slice, client.DryRunAll)
}

// checkStoring logs why a webhook that starts could not store a result now; it receives all the same, as that may pass.
// It is a Runnable of the manager, so that nothing waits for it.
func (p *preflight) checkStoring(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := p.kindsExist(kindsOfWebhook())
	if err == nil {
		err = p.tryStoring(ctx)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Error(err, "Could not store results yet: until it works, pushes are answered 503",
			"apiServer", p.host, "operatorNamespace", p.operatorNS)
	}
	return nil
}

// checkPlaceholders tries to make a placeholder, as a dry run, and logs why that is not possible. Everything else works
// without placeholders, so it is no reason not to start.
func (p *preflight) checkPlaceholders(ctx context.Context) {
	if !p.makesPlaceholders {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	placeholder := &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.defaultNS, GenerateName: "preflight-"},
		Spec:       v1alpha1.FirmwareUpgradeSpec{OperationID: "preflight", Placeholder: true},
	}
	err := p.client.Create(ctx, placeholder, client.DryRunAll)
	var advice string
	switch {
	case isMissingNamespace(err):
		advice = "create the namespace, or set --default-namespace to one that exists"
	case apierrors.IsForbidden(err):
		advice = "check that the namespace exists, and set it in config/default/placeholder_namespace.yaml as well, " +
			"which gives the operator its role there"
	default: // whatever it is, making a placeholder meets it again and says so
		return
	}
	p.log.Error(err, "Could not make placeholders for tasks that nobody declared", "defaultNamespace", p.defaultNS,
		"advice", advice)
}

// isMissingNamespace says whether the API server refused to create something because there is no such namespace.
func isMissingNamespace(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.ErrStatus.Details
	return details != nil && details.Kind == "namespaces"
}

// mayPass says whether an error is one of those that an API server gives while it starts, or that a network gives;
// among them that it refuses the credentials, as it has not read who may what.
func mayPass(err error) bool {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	for _, is := range []func(error) bool{
		apierrors.IsServerTimeout, apierrors.IsTimeout, apierrors.IsServiceUnavailable, apierrors.IsTooManyRequests,
		apierrors.IsInternalError, apierrors.IsUnexpectedServerError, apierrors.IsUnauthorized, apierrors.IsForbidden,
	} {
		if is(err) {
			return true
		}
	}
	return false
}
