// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	cases := map[string]struct {
		change func(*Options)
		says   string
	}{
		"as it should be":         {func(*Options) {}, ""},
		"with a port":             {func(o *Options) { o.Endpoint = "https://iot.example.com:8743" }, ""},
		"IPv6":                    {func(o *Options) { o.Endpoint = "https://[::1]:8743" }, ""},
		"SDK's callback key":      {func(o *Options) { o.CallbackKey = "callbackurl" }, ""},
		"server name":             {func(o *Options) { o.ServerName = "iot.example.com" }, ""},
		"server name with a port": {func(o *Options) { o.ServerName = "iot.example.com:1" }, "serverName"},
		"no endpoint":             {func(o *Options) { o.Endpoint = "" }, "endpoint"},
		"http":                    {func(o *Options) { o.Endpoint = "http://iot.example.com" }, "endpoint"},
		"a user":                  {func(o *Options) { o.Endpoint = "https://me:hunter2@iot.example.com" }, "endpoint"},
		"a bad port and a user":   {func(o *Options) { o.Endpoint = "https://me:hunter2@iot.example.com:x" }, "endpoint"},
		"a path":                  {func(o *Options) { o.Endpoint = "https://iot.example.com/a" }, "endpoint"},
		"a slash":                 {func(o *Options) { o.Endpoint = "https://iot.example.com/" }, "endpoint"},
		"a query":                 {func(o *Options) { o.Endpoint = "https://iot.example.com?a" }, "endpoint"},
		"an empty query":          {func(o *Options) { o.Endpoint = "https://iot.example.com?" }, "endpoint"},
		"a fragment":              {func(o *Options) { o.Endpoint = "https://iot.example.com#" }, "endpoint"},
		"no host":                 {func(o *Options) { o.Endpoint = "https://:8743" }, "endpoint"},
		"an empty port":           {func(o *Options) { o.Endpoint = "https://iot.example.com:" }, "endpoint"},
		"port 0":                  {func(o *Options) { o.Endpoint = "https://iot.example.com:0" }, "endpoint"},
		"port 65536":              {func(o *Options) { o.Endpoint = "https://iot.example.com:65536" }, "endpoint"},
		"no appId":                {func(o *Options) { o.AppID = "" }, "appId"},
		"a long appId":            {func(o *Options) { o.AppID = strings.Repeat("a", 257) }, "appId"},
		"an appId of two lines":   {func(o *Options) { o.AppID = "a\r\nX-Header: b" }, "appId"},
		"no secret":               {func(o *Options) { o.Secret = nil }, "secret"},
		"no calls":                {func(o *Options) { o.CallsPerMinute = 0 }, "callsPerMinute"},
		"many calls":              {func(o *Options) { o.CallsPerMinute = 6001 }, "callsPerMinute"},
		"another callback key":    {func(o *Options) { o.CallbackKey = "url" }, "callbackKey"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := Options{
				Endpoint: "https://iot.example.com", AppID: testAppID, CallsPerMinute: 60,
				Secret: func() ([]byte, error) { return nil, nil },
			}
			tc.change(&o)
			_, err := New(o)
			if (err != nil) != (tc.says != "") {
				t.Fatalf("got %v", err)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("got %q, want what begins with %q", err, tc.says)
			}
		})
	}
}
