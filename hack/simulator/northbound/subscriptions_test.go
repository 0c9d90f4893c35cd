// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

const callback = "https://127.0.0.1:8443/v1.0.0/messageReceiver/secret-path"

// subscriptionsOf returns the types and URLs that the list shows.
func (c *client) subscriptionsOf(parameters ...string) [][2]string {
	c.t.Helper()
	answer := c.get(subscriptionsPath, parameters...)
	if answer.status != http.StatusOK {
		c.t.Fatalf("list: %d %s", answer.status, answer.body)
	}
	content := answer.json(c.t)
	list, _ := content["subscriptions"].([]any)
	found := [][2]string{}
	for _, each := range list {
		s := each.(object)
		if s["subscriptionId"] == "" {
			c.t.Error("a subscription without an id")
		}
		found = append(found, [2]string{s["notifyType"].(string), s["callbackUrl"].(string)})
	}
	return found
}

func TestSubscriptions(t *testing.T) {
	f := start(t, northbound.Options{})
	if got := f.subscriptionsOf(); len(got) != 0 {
		t.Errorf("at the start: %v", got)
	}
	f.subscribe(resultNotify, callback)
	f.subscribe(stateChangeNotify, callback)
	want := [][2]string{{resultNotify, callback}, {stateChangeNotify, callback}}
	if diff := cmp.Diff(want, f.subscriptionsOf("appId", f.AppID(), "pageNo", "0", "pageSize", "1000")); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], f.subscriptionsOf("notifyType", stateChangeNotify)); diff != "" {
		t.Errorf("of a type (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], f.subscriptionsOf("pageNo", "1", "pageSize", "1")); diff != "" {
		t.Errorf("the second page (-want +got):\n%s", diff)
	}
	other := callback + "2"
	f.subscribe(resultNotify, other)
	if diff := cmp.Diff([][2]string{want[1], {resultNotify, other}}, f.subscriptionsOf()); diff != "" {
		t.Errorf("with a new URL (-want +got):\n%s", diff)
	}
}

func TestDeleteSubscriptions(t *testing.T) {
	cases := map[string]struct {
		parameters []string
		left       int
		status     int
	}{
		"everything": {nil, 0, http.StatusNoContent},
		"of a type":  {[]string{"notifyType", resultNotify}, 1, http.StatusNoContent},
		"of a URL":   {[]string{"callbackUrl", callback}, 2, http.StatusNoContent},
		"of both": {
			[]string{"notifyType", resultNotify, "callbackUrl", callback, "channel", "http"}, 2, http.StatusNoContent,
		},
		"of an unused URL": {[]string{"callbackUrl", "https://127.0.0.1:1/unused"}, 3, http.StatusNotFound},
		"of a channel":     {[]string{"channel", "amqp"}, 3, http.StatusBadRequest},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := start(t, northbound.Options{Faults: northbound.Faults{SubscribeAgain: northbound.SubscribeAgainAdds}})
			f.subscribe(resultNotify, callback)
			f.subscribe(resultNotify, callback+"-of-another-receiver")
			f.subscribe(stateChangeNotify, callback+"-of-another-receiver")
			answer := f.send(http.MethodDelete, subscriptionsPath+query(tc.parameters), "", f.header())
			if answer.status != tc.status {
				t.Errorf("%d %s, want %d", answer.status, answer.body, tc.status)
			}
			if got := f.subscriptionsOf(); len(got) != tc.left {
				t.Errorf("left: %v, want %d", got, tc.left)
			}
			if got := f.Report().Subscriptions; got.Made != 3 || got.Deleted != 3-tc.left {
				t.Errorf("in the ledger: %+v", got)
			}
		})
	}
}

func TestCallbackURL(t *testing.T) {
	cases := map[string]bool{
		"https://127.0.0.1:443/path":                         true,
		"http://localhost:8080/path":                         true,
		"http://[::1]:8080/path?a=b":                         true,
		"https://127.0.0.1/path":                             false, // no port
		"https://127.0.0.1:443":                              false, // no path
		"https://127.0.0.1:443/":                             false,
		"https://127.0.0.1:0/path":                           false,
		"https://127.0.0.1:65536/path":                       false,
		"ftp://127.0.0.1:443/path":                           false,
		"127.0.0.1:443/path":                                 false,
		"https://user@127.0.0.1:443/path":                    false,
		"https://192.0.2.1:443/path":                         false, // not on this machine
		"":                                                   false,
		"https://127.0.0.1:443/" + strings.Repeat("a", 2048): false,
	}
	f := start(t, northbound.Options{})
	for url, accepted := range cases {
		answer := f.post(subscribePath, object{"notifyType": resultNotify, "callbackUrl": url})
		switch {
		case accepted && answer.status != http.StatusOK:
			t.Errorf("%.50s: %d %s", url, answer.status, answer.body)
		case !accepted && (answer.status != http.StatusBadRequest || answer.code() != "100222"):
			t.Errorf("%.50s: %d %s, want 100222", url, answer.status, answer.body)
		case url != "" && strings.Contains(answer.body, url):
			t.Errorf("%.50s: the answer has it: %s", url, answer.body)
		}
	}
	f.faults(northbound.Faults{EchoCallbackURL: true})
	const echoed = "https://127.0.0.1/echoed"
	answer := f.post(subscribePath, object{"notifyType": resultNotify, "callbackUrl": echoed})
	if answer.code() != "100222" || !strings.Contains(answer.body, echoed) {
		t.Errorf("echoed: %s", answer.body)
	}
}

func TestCallbackKey(t *testing.T) {
	pages := object{"notifyType": resultNotify, "callbackUrl": callback}
	sdk := object{"notifyType": resultNotify, "callbackurl": callback}
	f := start(t, northbound.Options{CallbackKey: "callbackurl"})
	if answer := f.post(subscribePath, sdk); answer.status != http.StatusOK {
		t.Errorf("callbackurl: %d %s", answer.status, answer.body)
	}
	if answer := f.post(subscribePath, pages); answer.code() != "100228" {
		t.Errorf("callbackUrl: %d %s", answer.status, answer.body)
	}
	f = start(t, northbound.Options{})
	if answer := f.post(subscribePath, sdk); answer.code() != "100228" {
		t.Errorf("callbackurl: %d %s", answer.status, answer.body)
	}
}

func TestSubscribeAgain(t *testing.T) {
	cases := map[northbound.SubscribeAgain]struct{ status, subscriptions int }{
		"":                                {http.StatusOK, 1},
		northbound.SubscribeAgainReplaces: {http.StatusOK, 1},
		northbound.SubscribeAgainAdds:     {http.StatusOK, 2},
		northbound.SubscribeAgainRefused:  {http.StatusConflict, 1},
	}
	for again, tc := range cases {
		f := start(t, northbound.Options{Faults: northbound.Faults{SubscribeAgain: again}})
		f.subscribe(resultNotify, callback)
		f.subscribe(stateChangeNotify, callback)
		answer := f.post(subscribePath, object{"notifyType": resultNotify, "callbackUrl": callback})
		if answer.status != tc.status || tc.status == http.StatusConflict && answer.code() != "100227" {
			t.Errorf("%s: %d %s, want %d", again, answer.status, answer.body, tc.status)
		}
		if got := f.Report().Subscriptions.Current[resultNotify]; got != tc.subscriptions {
			t.Errorf("%s: %d subscriptions, want %d", again, got, tc.subscriptions)
		}
	}
}

func TestSubscriptionsUnlisted(t *testing.T) {
	f := start(t, northbound.Options{Faults: northbound.Faults{SubscriptionsUnlisted: true}})
	if answer := f.get(subscriptionsPath); answer.status != http.StatusNotFound {
		t.Errorf("%d %s", answer.status, answer.body)
	}
}
