// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/prometheus/common/expfmt"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
)

// expectNoSecrets looks for the application's secret, the callback's, every value that was put into its Secrets and
// every access token in everything that was logged, in every object of the operator's kinds, every Event and every
// metric.
func (w *world) expectNoSecrets() {
	w.t.Helper()
	texts := map[string]string{"the log": logged.String(), "a metric": w.metrics()}
	for what, list := range map[string]client.ObjectList{
		"an IoTApplication": &v1alpha1.IoTApplicationList{}, "a FirmwareUpgrade": &v1alpha1.FirmwareUpgradeList{},
		"a slice": &storage.ResultSliceList{}, "an Event": &eventsv1.EventList{},
	} {
		texts[what] = w.listed(list)
	}
	secrets := map[string]string{w.platform.Secret(): "the application's secret", secret: "the callback's secret"}
	for value, key := range w.secrets {
		secrets[value] = "a value of " + key
	}
	for _, token := range w.platform.Tokens() {
		secrets[token] = "an access token"
	}
	for where, text := range texts {
		for value, what := range secrets {
			if strings.Contains(text, value) {
				w.t.Errorf("%s is in %s", what, where)
			}
		}
	}
}

// expectNoSecretsAbout is expectNoSecrets while an application is there, with a status and Events about it.
func (w *world) expectNoSecretsAbout(app *v1alpha1.IoTApplication) {
	w.t.Helper()
	got := &v1alpha1.IoTApplication{}
	err := k8s.Get(context.WithoutCancel(w.t.Context()), client.ObjectKeyFromObject(app), got)
	if apierrors.IsNotFound(err) || w.t.Failed() {
		return // the test deleted it, and declared another one, or did not come so far
	}
	if err != nil || len(got.Status.Conditions) == 0 {
		w.t.Errorf("there is no status to look for secrets in: %v", err)
	}
	if !strings.Contains(w.listed(&eventsv1.EventList{}), string(got.UID)) {
		w.t.Error("there is no Event about the application to look for secrets in")
	}
	w.expectNoSecrets()
}

// listed is all that a kind of objects says, without escapes.
func (w *world) listed(list client.ObjectList) string {
	w.t.Helper()
	if err := k8s.List(context.WithoutCancel(w.t.Context()), list); err != nil {
		w.t.Error(err)
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(list); err != nil {
		w.t.Error(err)
	}
	return text.String()
}

// metrics is all that is measured.
func (w *world) metrics() string {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Error(err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			w.t.Error(err)
		}
	}
	return text.String()
}
