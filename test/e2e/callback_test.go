// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/test/harness"
)

const example = `{"notifyType":"fwUpgradeResultNotify","deviceId":"58f0a3ab-9b1c-4f3e-8f4a-6b0a3a2c9d10",` +
	`"appId":"%[1]s","operationId":"%[1]s","subOperationId":"9f2d",` +
	`"curVersion":"1.6","targetVersion":"1.6","sourceVersion":"1.3",` +
	`"status":"SUCCESS","statusDesc":"The device upgrade is successful","upgradeTime":"120"}`

// The answers that the platform gets, and what is left of each push.
func TestCallback(t *testing.T) {
	purgeAll(t) // other tests have rejected notifications, too
	began := time.Now().Truncate(time.Second)
	webhook := startWebhook(t)
	startControllers(t)
	base := "http://" + webhook.CallbackAddress
	good := fmt.Sprintf(example, "callback")
	cases := map[string]struct {
		method, path, body string
		code               int
		result             string
	}{
		"the documented example": {"POST", callbackPath + "/" + secret, good, 200, "recorded"},
		"a repetition":           {"POST", callbackPath + "/" + secret, good, 200, "recorded"},
		"another type":           {"POST", callbackPath + "/" + secret, `{"notifyType":"deviceAdded"}`, 200, "ignored"},
		"below the secret":       {"POST", callbackPath + "/" + secret + "/x", good, 200, "recorded"},
		"no JSON":                {"POST", callbackPath + "/" + secret, "e2e: no JSON", 200, "rejected"},
		"no operationId": {
			"POST",
			callbackPath + "/" + secret,
			`{"notifyType":"fwUpgradeResultNotify","deviceId":"d","status":"FAIL"}`,
			200,
			"rejected",
		},
		"an unknown status": {
			"POST",
			callbackPath + "/" + secret,
			strings.Replace(good, "SUCCESS", "MAYBE", 1),
			200,
			"rejected",
		},
		"too large": {
			"POST",
			callbackPath + "/" + secret,
			good + strings.Repeat(" ", 64<<10),
			200,
			"rejected",
		},
		"a wrong secret":            {"POST", callbackPath + "/not-the-right-secret", good, 401, ""},
		"no secret":                 {"POST", callbackPath, good, 401, ""},
		"another path":              {"POST", "/", good, 404, ""},
		"a path that wants cleaned": {"POST", "/v1.0.0//messageReceiver/" + secret, good, 404, ""},
		"another method":            {"GET", callbackPath + "/" + secret, "", 405, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, body := send(t, c.method, base+c.path, c.body)
			if code != c.code || c.result != "" && !strings.Contains(body, `"result":"`+c.result+`"`) {
				t.Errorf("want %d %s, got %d %s", c.code, c.result, code, body)
			}
			if strings.Contains(body, secret) {
				t.Errorf("the answer has the secret: %s", body)
			}
		})
	}
	fwu := &v1alpha1.FirmwareUpgrade{}
	harness.Eventually(t, func() string {
		list := &v1alpha1.FirmwareUpgradeList{}
		if err := k8s.List(t.Context(), list); err != nil {
			return err.Error()
		}
		for _, f := range list.Items {
			if f.Spec.OperationID == "callback" && f.Status.Devices.Succeeded == 1 {
				*fwu = f
				return ""
			}
		}
		return "the example is not counted"
	})
	checkRejected(t, began)
	checkNoSecret(t, webhook.Tail())
}

// checkRejected looks for the four unusable pushes in the store, and for the Event about them.
func checkRejected(t *testing.T, began time.Time) {
	t.Helper()
	list := &storage.ResultSliceList{}
	if err := k8s.List(t.Context(), list, client.InNamespace(operatorNamespace)); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for i := range list.Items {
		for _, r := range list.Items[i].Rejected {
			if r.Reason == "" || r.ReceiveTime.IsZero() || len(r.Body) > storage.MaxRejectedBodyBytes {
				t.Errorf("rejected notification without its parts: %+v", r)
			}
			bodies = append(bodies, r.Body[:12])
		}
	}
	if len(bodies) != 4 {
		t.Errorf("want 4 rejected notifications stored, got %d: %q", len(bodies), bodies)
	}
	harness.Eventually(t, func() string {
		events := &eventsv1.EventList{}
		if err := k8s.List(t.Context(), events, client.InNamespace(operatorNamespace)); err != nil {
			return err.Error()
		}
		n := 0
		for i := range events.Items {
			if e := &events.Items[i]; e.Reason == "NotificationRejected" && !e.EventTime.Time.Before(began) {
				n++
			}
		}
		return cmp.Diff(1, n) // at most one a minute
	})
}

func checkNoSecret(t *testing.T, log string) {
	t.Helper()
	if strings.Contains(log, secret) {
		t.Error("the log has the secret")
	}
}

func send(t *testing.T, method, url, body string) (code int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
