// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"net/http"
	"testing"
	"time"
)

// When the last notification arrived that was stored as a result is a metric: there is none before the first, and what
// is not a result does not count.
func TestLastNotificationIsSeen(t *testing.T) {
	const name = "fwupgrade_webhook_last_notification_timestamp_seconds"
	r := startReceiver(t, func(o *Options) { o.AllowAnonymous = true })
	for _, body := range []string{`{"notifyType":"other"}`, "no JSON"} {
		if got := r.send(http.MethodPost, DefaultCallbackPath, body); got.status != http.StatusOK {
			t.Fatalf("got %+v", got)
		}
	}
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			t.Errorf("want no time before the first result, got %v", family)
		}
	}
	before := time.Now()
	if got := r.send(http.MethodPost, DefaultCallbackPath, push("d1")); got.status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	eventually(t, "the time is told", func() bool { return r.metric(name) >= timestamp(before) })
	if at := r.metric(name); at > timestamp(time.Now()) {
		t.Errorf("it is told to have arrived at %v, which is not yet", at)
	}
}
