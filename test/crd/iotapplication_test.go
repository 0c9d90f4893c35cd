// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
)

// applicationOf is an IoTApplication with nothing but what is required.
func applicationOf(name, appID string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"appId": appID,
			"northbound": map[string]any{
				"endpoint": "https://iot.example.com:8743", "credentialsRef": map[string]any{"name": "meters"},
			},
		},
	}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("IoTApplication"))
	return u
}

// makeApplication creates an IoTApplication until the test ends.
func makeApplication(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	app := applicationOf(name, "app")
	if err := k8s.Create(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k8s.Delete(context.WithoutCancel(t.Context()), app); err != nil {
			t.Error(err)
		}
	})
	return app
}

// An appId is refused exactly as that of a FirmwareUpgrade is, with a sentence that says what to do.
func TestTextsOfAnApplication(t *testing.T) {
	for name, c := range texts() {
		t.Run(name, func(t *testing.T) {
			err := k8s.Create(t.Context(), applicationOf("text", c.text), client.DryRunAll)
			if c.want == accepted {
				checkRefusal(t, "", err)
				return
			}
			checkRefusal(t, "spec.appId", err)
			if c.want == tooLong { // the API server's own words
				checkRefusal(t, tooLong, err)
				return
			}
			checkRefusal(t, "appId "+c.want, err)
		})
	}
}

// What an IoTApplication holds is filled in as documented; an empty list of notifications is none, and stays empty.
func TestDefaultsOfAnApplication(t *testing.T) {
	both := []any{"fwUpgradeStateChangeNotify", "fwUpgradeResultNotify"}
	cases := map[string]struct {
		set, want map[string]any
	}{
		"nothing": {map[string]any{}, map[string]any{
			"callsPerMinute": int64(60), "notifications": []any{"fwUpgradeResultNotify"}, "tasks": "Observe",
		}},
		"null": {map[string]any{"callsPerMinute": nil, "notifications": nil, "tasks": nil}, map[string]any{
			"callsPerMinute": int64(60), "notifications": []any{"fwUpgradeResultNotify"}, "tasks": "Observe",
		}},
		"empty list": {map[string]any{"notifications": []any{}}, map[string]any{
			"callsPerMinute": int64(60), "notifications": []any{}, "tasks": "Observe",
		}},
		"all": {
			map[string]any{"callsPerMinute": int64(1), "notifications": both, "suspend": true, "tasks": "Create"},
			map[string]any{"callsPerMinute": int64(1), "notifications": both, "suspend": true, "tasks": "Create"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			app := applicationOf("defaults", "app")
			for field, value := range c.set {
				if err := unstructured.SetNestedField(app.Object, value, "spec", field); err != nil {
					t.Fatal(err)
				}
			}
			if err := k8s.Create(t.Context(), app, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			c.want["appId"] = "app"
			c.want["northbound"] = map[string]any{
				"endpoint": "https://iot.example.com:8743", "credentialsRef": map[string]any{"name": "meters"},
				"callbackKey": "callbackUrl",
			}
			if diff := cmp.Diff(c.want, app.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if got, _, _ := unstructured.NestedInt64(app.Object, "status", "observedGeneration"); got != -1 {
				t.Errorf("status.observedGeneration of an unseen object: want -1, got %d", got)
			}
		})
	}
}

// The operator's own type says "no notifications" so that the API server does not fill the default in.
func TestAnEmptyListOfNotificationsIsSent(t *testing.T) {
	app := &v1alpha1.IoTApplication{
		ObjectMeta: metav1.ObjectMeta{Name: "typed"},
		Spec: v1alpha1.IoTApplicationSpec{
			AppID: "app", Notifications: []v1alpha1.Notification{},
			Northbound: v1alpha1.Northbound{
				Endpoint: "https://iot.example.com", CredentialsRef: v1alpha1.SecretReference{Name: "meters"},
			},
		},
	}
	if err := k8s.Create(t.Context(), app, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if len(app.Spec.Notifications) != 0 {
		t.Errorf("notifications: %v", app.Spec.Notifications)
	}
}

func TestApplicationIsValidated(t *testing.T) {
	app := makeApplication(t, "validated")
	names := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("n-%d", i))
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	north := func(field, value string) string { return fmt.Sprintf(`{"northbound":{%q:%s}}`, field, value) }
	ref := func(field, name string) string { return north(field, fmt.Sprintf(`{"name":%q}`, name)) }
	const result, step = `"fwUpgradeResultNotify"`, `"fwUpgradeStateChangeNotify"`
	cases := map[string]struct {
		spec string // merged into one that is accepted
		want string // part of the message; empty: accepted
	}{
		"no appId":          {`{"appId":null}`, "spec.appId: Required value"},
		"an empty appId":    {`{"appId":""}`, "spec.appId"},
		"a number as appId": {`{"appId":1}`, "spec.appId"},
		"another appId": {
			`{"appId":"other"}`,
			"appId is immutable: for another application create an IoTApplication with another name",
		},

		"no namespaces":        {`{"namespaces":[]}`, ""},
		"64 namespaces":        {`{"namespaces":` + names(64) + `}`, ""},
		"65 namespaces":        {`{"namespaces":` + names(65) + `}`, "spec.namespaces: Too many: 65: must have at most 64 items"},
		"a namespace twice":    {`{"namespaces":["a","b","a"]}`, `spec.namespaces[2]: Duplicate value: "a"`},
		"longest namespace":    {`{"namespaces":["` + strings.Repeat("n", 63) + `"]}`, ""},
		"a long namespace":     {`{"namespaces":["` + strings.Repeat("n", 64) + `"]}`, "spec.namespaces[0]"},
		"an empty namespace":   {`{"namespaces":[""]}`, "spec.namespaces[0]"},
		"an upper-case one":    {`{"namespaces":["Fleet"]}`, "spec.namespaces[0]"},
		"all namespaces":       {`{"namespaces":["*"]}`, "spec.namespaces[0]"},
		"a hyphen at the end":  {`{"namespaces":["fleet-"]}`, "spec.namespaces[0]"},
		"a dot in a namespace": {`{"namespaces":["fleet.a"]}`, "spec.namespaces[0]"},
		"a line feed":          {`{"namespaces":["fleet\n"]}`, "spec.namespaces[0]"},

		"no notifications":     {`{"notifications":[]}`, ""},
		"the steps alone":      {`{"notifications":[` + step + `]}`, ""},
		"both notifications":   {`{"notifications":[` + result + `,` + step + `]}`, ""},
		"a notification twice": {`{"notifications":[` + result + `,` + result + `]}`, "spec.notifications[1]: Duplicate value"},
		"three notifications":  {`{"notifications":[` + result + `,` + step + `,` + result + `]}`, "spec.notifications: Too many"},
		"another notification": {
			`{"notifications":["deviceDataChanged"]}`,
			`Unsupported value: "deviceDataChanged": supported values: ` + result + `, ` + step,
		},

		"one call a minute": {`{"callsPerMinute":1}`, ""},
		"most calls":        {`{"callsPerMinute":6000}`, ""},
		"no calls":          {`{"callsPerMinute":0}`, "spec.callsPerMinute: Invalid value: 0"},
		"negative calls":    {`{"callsPerMinute":-1}`, "spec.callsPerMinute"},
		"too many calls":    {`{"callsPerMinute":6001}`, "spec.callsPerMinute: Invalid value: 6001"},
		"half a call":       {`{"callsPerMinute":0.5}`, "spec.callsPerMinute"},
		"calls as text":     {`{"callsPerMinute":"60"}`, "spec.callsPerMinute"},

		"suspended":         {`{"suspend":true}`, ""},
		"suspended by text": {`{"suspend":"true"}`, "spec.suspend"},

		"no northbound":    {`{"northbound":null}`, "spec.northbound: Required value"},
		"no endpoint":      {north("endpoint", "null"), "spec.northbound.endpoint: Required value"},
		"no credentials":   {north("credentialsRef", "null"), "spec.northbound.credentialsRef: Required value"},
		"no Secret's name": {north("credentialsRef", `{"name":null}`), "spec.northbound.credentialsRef.name: Required value"},

		"a Secret":                 {ref("credentialsRef", "meters.platform-2"), ""},
		"longest name of a Secret": {ref("credentialsRef", strings.Repeat("s", 253)), ""},
		"a long name of a Secret":  {ref("credentialsRef", strings.Repeat("s", 254)), "spec.northbound.credentialsRef.name"},
		"an empty name":            {ref("credentialsRef", ""), "spec.northbound.credentialsRef.name"},
		"a Secret elsewhere":       {ref("credentialsRef", "other/meters"), "spec.northbound.credentialsRef.name"},
		"a Secret above":           {ref("credentialsRef", "../meters"), "spec.northbound.credentialsRef.name"},
		"a Secret in upper case":   {ref("credentialsRef", "Meters"), "spec.northbound.credentialsRef.name"},
		"a TLS Secret":             {ref("tlsRef", "meters-tls"), ""},
		"a TLS Secret elsewhere":   {ref("tlsRef", "other/meters-tls"), "spec.northbound.tlsRef.name"},
		"an empty TLS Secret":      {ref("tlsRef", ""), "spec.northbound.tlsRef.name"},
		"a TLS Secret of no name":  {north("tlsRef", "{}"), "spec.northbound.tlsRef.name: Required value"},

		"a server's name":          {north("serverName", `"Platform-1.example.com"`), ""},
		"longest server's name":    {north("serverName", `"`+strings.Repeat("s", 253)+`"`), ""},
		"a long server's name":     {north("serverName", `"`+strings.Repeat("s", 254)+`"`), "spec.northbound.serverName"},
		"an empty server's name":   {north("serverName", `""`), "spec.northbound.serverName"},
		"a server's name and port": {north("serverName", `"a:8743"`), "spec.northbound.serverName"},
		"a server's wildcard":      {north("serverName", `"*.example.com"`), "spec.northbound.serverName"},
		"a server's name, blank":   {north("serverName", `"a b"`), "spec.northbound.serverName"},
		"a server's name, ended":   {north("serverName", `"example.com."`), "spec.northbound.serverName"},

		"the documented key":  {north("callbackKey", `"callbackUrl"`), ""},
		"the key of SDKs":     {north("callbackKey", `"callbackurl"`), ""},
		"another key":         {north("callbackKey", `"CallbackUrl"`), `supported values: "callbackUrl", "callbackurl"`},
		"no verification":     {north("insecureSkipVerify", "true"), ""}, // there is no such field: it is dropped
		"a list as a mapping": {`{"namespaces":{"a":1}}`, "spec.namespaces"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patch := mergePatch(`{"spec":` + c.spec + `}`)
			checkRefusal(t, c.want, k8s.Patch(t.Context(), app.DeepCopy(), patch, client.DryRunAll))
		})
	}
}

// An endpoint is a scheme, a host and a port: nothing that --platform-hosts does not judge gets into a call. Whether a
// port can be one, --platform-hosts says.
func TestEndpointIsValidated(t *testing.T) {
	app := makeApplication(t, "endpoint")
	const rule = "endpoint is https://host or https://host:port, with nothing before or behind: no user, no path, no " +
		"slash at the end"
	cases := map[string]struct {
		endpoint string
		want     string // part of the message; empty: accepted
	}{
		"a host":              {"https://iot.example.com", ""},
		"a host and a port":   {"https://iot.example.com:8743", ""},
		"one label":           {"https://platform:8743", ""},
		"one letter":          {"https://p:8743", ""},
		"upper case":          {"https://IoT.Example.COM:8743", ""},
		"IPv4":                {"https://192.0.2.1:8743", ""},
		"IPv6":                {"https://[2001:db8::1]:8743", ""},
		"IPv6 without a port": {"https://[::1]", ""},
		"IPv4 in IPv6":        {"https://[::ffff:192.0.2.1]:443", ""},
		"port 0":              {"https://iot.example.com:0", ""},
		"port 65535":          {"https://iot.example.com:65535", ""},
		"port 99999":          {"https://iot.example.com:99999", ""},
		"the longest":         {"https://" + strings.Repeat("h", 292), ""},

		"too long":               {"https://" + strings.Repeat("h", 293), "than 300"},
		"empty":                  {"", rule},
		"http":                   {"http://iot.example.com:8743", rule},
		"the scheme, upper case": {"HTTPS://iot.example.com:8743", rule},
		"no scheme":              {"iot.example.com:8743", rule},
		"no host":                {"https://", rule},
		"only a port":            {"https://:8743", rule},
		"a slash":                {"https://iot.example.com:8743/", rule},
		"a path":                 {"https://iot.example.com:8743/api", rule},
		"a user":                 {"https://me@iot.example.com:8743", rule},
		"a user and a password":  {"https://me:secret@iot.example.com:8743", rule},
		"another host behind @":  {"https://iot.example.com:8743@evil.example", rule},
		"a query":                {"https://iot.example.com:8743?a=b", rule},
		"a fragment":             {"https://iot.example.com:8743#a", rule},
		"a backslash":            {`https://iot.example.com:8743\@evil.example`, rule},
		"an escape":              {"https://iot%2eexample.com:8743", rule},
		"no port behind a colon": {"https://iot.example.com:", rule},
		"a port of six digits":   {"https://iot.example.com:100000", rule},
		"a port's name":          {"https://iot.example.com:https", rule},
		"a negative port":        {"https://iot.example.com:-1", rule},
		"two ports":              {"https://iot.example.com:8743:8743", rule},
		"IPv6 without brackets":  {"https://2001:db8::1", rule},
		"IPv6 with a zone":       {"https://[fe80::1%25eth0]:8743", rule},
		"a hyphen in front":      {"https://-iot.example.com", rule},
		"a dot at the end":       {"https://iot.example.com.:8743", rule},
		"a wildcard":             {"https://*.example.com:8743", rule},
		"another alphabet":       {"https://плат.example:8743", rule},
		"a blank in front":       {" https://iot.example.com:8743", rule},
		"a blank at the end":     {"https://iot.example.com:8743 ", rule},
		"a line feed":            {"https://iot.example.com:8743\n", rule},
		"two lines":              {"https://iot.example.com:8743\nhttps://evil.example", rule},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patch := mergePatch(fmt.Sprintf(`{"spec":{"northbound":{"endpoint":%q}}}`, c.endpoint))
			checkRefusal(t, c.want, k8s.Patch(t.Context(), app.DeepCopy(), patch, client.DryRunAll))
		})
	}
}

// What a dry run can't show: an application that was named stays, whatever is taken away in between.
func TestAppIDStays(t *testing.T) {
	app := makeApplication(t, "stays")
	for _, patch := range []string{`{"spec":{"appId":"other"}}`, `{"spec":{"appId":"App"}}`} {
		checkRefusal(t, "appId is immutable", k8s.Patch(t.Context(), app.DeepCopy(), mergePatch(patch)))
	}
	patch := mergePatch(`{"spec":{"appId":"app","suspend":true,"northbound":{"endpoint":"https://other.example.com"}}}`)
	if err := k8s.Patch(t.Context(), app.DeepCopy(), patch); err != nil {
		t.Error(err)
	}
}

func TestStatusOfAnApplicationIsValidated(t *testing.T) {
	app := makeApplication(t, "status")
	subscription := func(notification string) string {
		return fmt.Sprintf(`{"notification":%q,"verifiedTime":"2026-01-01T00:00:00Z","secretVersion":"1"}`, notification)
	}
	result, step := subscription("fwUpgradeResultNotify"), subscription("fwUpgradeStateChangeNotify")
	cases := map[string]struct {
		status string
		want   string // part of the message; empty: accepted
	}{
		"the longest reason":   {fmt.Sprintf(`{"reason":%q}`, strings.Repeat("r", 300)), ""},
		"a long reason":        {fmt.Sprintf(`{"reason":%q}`, strings.Repeat("r", 301)), "status.reason"},
		"both subscriptions":   {`{"subscriptions":[` + result + `,` + step + `]}`, ""},
		"a subscription twice": {`{"subscriptions":[` + result + `,` + result + `]}`, "Duplicate value"},
		"another subscription": {`{"subscriptions":[` + subscription("x") + `]}`, "status.subscriptions[0].notification"},
		"what is announced":    {`{"announced":{"Connected":"True"}}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			patch := mergePatch(`{"status":` + c.status + `}`)
			checkRefusal(t, c.want, k8s.Status().Patch(t.Context(), app.DeepCopy(), patch, client.DryRunAll))
		})
	}
}

func TestColumnsOfIoTApplications(t *testing.T) {
	now := metav1.NewTime(time.Now().Add(-time.Minute))
	app := &v1alpha1.IoTApplication{}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(makeApplication(t, "columns")), app); err != nil {
		t.Fatal(err)
	}
	app.Status = v1alpha1.IoTApplicationStatus{Reason: "CallbackRefused"}
	for kind, status := range map[string]metav1.ConditionStatus{
		v1alpha1.ConditionReady: "False", v1alpha1.ConditionConnected: "True", v1alpha1.ConditionSubscribed: "False",
		v1alpha1.ConditionReceiving: "Unknown",
	} {
		app.Status.Conditions = append(app.Status.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: "R", Message: "about " + kind, LastTransitionTime: now,
		})
	}
	if err := k8s.Status().Update(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	narrow, wide := columns(t, v1alpha1.GroupVersion, "iotapplications", "columns")
	dropAges(t, narrow, "Age")
	if diff := cmp.Diff(map[string]any{
		"Name": "columns", "App": "app", "Ready": "False", "Connected": "True", "Subscribed": "False",
		"Receiving": "Unknown", "Tasks": "Observe", "Reason": "CallbackRefused",
	}, narrow); diff != "" {
		t.Errorf("default columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{
		"Endpoint": "https://iot.example.com:8743", "Message": "about Ready",
	}, wide); diff != "" {
		t.Errorf("wide columns (-want +got):\n%s", diff)
	}
}

// It is found as `kubectl get iotapp`, without a namespace, and among `kubectl get fwupgrade`.
func TestNamesOfIoTApplications(t *testing.T) {
	discovering, err := discovery.NewDiscoveryClientForConfig(admin)
	if err != nil {
		t.Fatal(err)
	}
	served, err := discovering.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range served.APIResources {
		if r.Name != "iotapplications" {
			continue
		}
		if diff := cmp.Diff([]string{"iotapp"}, r.ShortNames); diff != "" || r.Namespaced || r.Kind != "IoTApplication" {
			t.Errorf("%+v", r)
		}
		if diff := cmp.Diff([]string{"fwupgrade"}, r.Categories); diff != "" {
			t.Errorf("categories (-want +got):\n%s", diff)
		}
		return
	}
	t.Error("it is not served")
}
