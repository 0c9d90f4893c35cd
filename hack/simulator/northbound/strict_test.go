// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound_test

import (
	"net/http"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// TestStrict holds that whatever the documents don't have is answered 400 with a text that names it, and is in the
// ledger.
func TestStrict(t *testing.T) {
	f := start(t, northbound.Options{CallsPerMinute: 1000})
	json := func(more ...string) http.Header {
		h := f.header()
		h.Set("Content-Type", "application/json")
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	with := func(header http.Header, name, value string) http.Header {
		h := header.Clone()
		h.Set(name, value)
		return h
	}
	good := `{"fileId":"a","targets":{"devices":["d"]}}`
	credentials := "appId=" + f.AppID() + "&secret=" + f.Secret()
	const get, post, formType = http.MethodGet, http.MethodPost, "application/x-www-form-urlencoded"
	appID, token := f.header()["App_key"], f.header()["Authorization"]
	jsonOnly := http.Header{"Content-Type": {"application/json"}}
	cases := map[string]struct {
		method, path, body string
		header             http.Header
		names              string
	}{
		"idempotency key":   {post, createPath, good, json("Idempotency-Key", "k"), "Idempotency-Key"},
		"unknown header":    {get, operationsPath, "", with(f.header(), "X-Request-Id", "1"), "X-Request-Id"},
		"unknown parameter": {get, operationsPath + "?limit=1", "", f.header(), "limit"},
		"parameter twice":   {get, operationsPath + "?pageNo=0&pageNo=1", "", f.header(), "pageNo"},
		"parameter of GET":  {get, operationsPath + "/x?pageNo=0", "", f.header(), "pageNo"},
		"broken parameters": {get, operationsPath + "?pageNo=%zz", "", f.header(), "parsed"},
		"long parameter":    {get, operationsPath + "?model=" + strings.Repeat("m", 257), "", f.header(), "model"},
		"unknown status":    {get, operationsPath + "?operationStatus=fail", "", f.header(), "operationStatus fail"},
		"unknown operation": {get, operationsPath + "?operationType=x", "", f.header(), "operationType x"},
		"body of GET":       {get, operationsPath, "{}", f.header(), "body"},
		"no app_key":        {get, operationsPath, "", http.Header{"Authorization": token}, "app_key"},
		"no token":          {get, operationsPath, "", http.Header{"App_key": appID}, "Authorization"},
		"basic credentials": {get, operationsPath, "", with(f.header(), "Authorization", "Basic x"), "Bearer"},
		"unknown key":       {post, createPath, good[:len(good)-1] + `,"taskName":"n"}`, json(), "taskName"},
		"unknown inner key": {post, createPath, `{"fileId":"a","targets":{"devices":["d"],"ids":[]}}`, json(), "ids"},
		"another case":      {post, createPath, `{"fileid":"a","targets":{"devices":["d"]}}`, json(), "fileid"},
		"key twice":         {post, createPath, good[:len(good)-1] + `,"fileId":"b"}`, json(), "fileId"},
		"something after":   {post, createPath, good + "{}", json(), "body"},
		"no JSON":           {post, createPath, "<a/>", json(), "body"},
		"a number":          {post, createPath, `{"fileId":1,"targets":{"devices":["d"]}}`, json(), "body"},
		"form for JSON":     {post, createPath, good, json("Content-Type", formType), "Content-Type"},
		"another charset":   {post, createPath, good, json("Content-Type", "application/json; charset=latin1"), "charset"},
		"query of POST":     {post, createPath + "?dryRun=1", good, json(), "dryRun"},
		"much too long":     {post, createPath, strings.Repeat(" ", 1<<20+1), json(), "1 MiB"},
		"unknown type":      {post, subscribePath, `{"notifyType":"deviceAdded","callbackUrl":"u"}`, json(), "deviceAdded"},
		"another appId":     {get, subscriptionsPath + "?appId=other", "", f.header(), "appId"},
		"login in JSON":     {post, loginPath, `{"appId":"a","secret":"b"}`, jsonOnly, "Content-Type"},
		"more in the form":  {post, loginPath, credentials + "&grant=x", form, "grant"},
		"login with header": {post, loginPath, credentials, with(form, "app_key", f.AppID()), "App_key"},
		"login by query":    {post, loginPath + "?" + credentials, credentials, form, "parameter"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := f.Report().Calls
			answer := f.send(tc.method, tc.path, tc.body, tc.header)
			if answer.status != http.StatusBadRequest || !strings.Contains(answer.body, tc.names) || answer.code() == "" {
				t.Errorf("%d %s %v, want 400 and %q", answer.status, answer.body, answer.err, tc.names)
			}
			after := f.Report().Calls
			if after.Beyond != before.Beyond+1 || after.Total != before.Total+1 {
				t.Errorf("in the ledger: %d, want one more than %d", after.Beyond, before.Beyond)
			}
		})
	}
	for name, path := range map[string]string{
		"unknown path": "/v5/iot/batchtasks", "control": "/_/report", "unclean": operationsPath + "//x", "root": "/",
		"trailing": operationsPath + "/",
	} {
		if answer := f.get(path); answer.status != http.StatusNotFound || !strings.Contains(answer.body, path) {
			t.Errorf("%s: %d %s, want 404 and the path", name, answer.status, answer.body)
		}
	}
	if answer := f.send(http.MethodPut, operationsPath, "", f.header()); answer.status != http.StatusNotFound {
		t.Errorf("another method: %d %s", answer.status, answer.body)
	}
	if report := f.Report(); report.Tasks.Created != 0 || report.Calls.Logins != 1 {
		t.Errorf("something was done: %+v %+v", report.Tasks, report.Calls)
	}
}
