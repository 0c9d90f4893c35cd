// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/prometheus/common/expfmt"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
)

// expectNoSecrets looks for the application's secret, the callback's and every access token in everything that was
// logged, in every object of the operator's kinds, every Event and every metric.
func (w *world) expectNoSecrets() {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	texts := map[string]string{"the log": logged.String()}
	applications, upgrades := &v1alpha1.IoTApplicationList{}, &v1alpha1.FirmwareUpgradeList{}
	slices, events := &storage.ResultSliceList{}, &eventsv1.EventList{}
	for what, list := range map[string]client.ObjectList{
		"an IoTApplication": applications, "a FirmwareUpgrade": upgrades, "a slice": slices, "an Event": events,
	} {
		if err := k8s.List(ctx, list); err != nil {
			w.t.Error(err)
		}
		text, err := json.Marshal(list)
		if err != nil {
			w.t.Error(err)
		}
		texts[what] = string(text)
	}
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Error(err)
	}
	var metrics strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&metrics, family); err != nil {
			w.t.Error(err)
		}
	}
	texts["a metric"] = metrics.String()
	secrets := map[string]string{w.platform.Secret(): "the application's secret", secret: "the callback's secret"}
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
