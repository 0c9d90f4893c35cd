// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/internal/applications"
)

func TestOptionsAreRefused(t *testing.T) {
	cases := map[string]struct {
		change func(*Options)
		want   string
	}{
		"no address":            {func(o *Options) { o.BindAddress = "" }, "is no host:port: write it like :8443"},
		"a port alone":          {func(o *Options) { o.BindAddress = "8443" }, "is no host:port"},
		"a name as port":        {func(o *Options) { o.BindAddress = ":https" }, "has no valid port"},
		"a port too high":       {func(o *Options) { o.BindAddress = ":65536" }, "has no valid port"},
		"a relative path":       {func(o *Options) { o.CallbackPath = "receiver" }, "doesn't begin with a slash"},
		"the root":              {func(o *Options) { o.CallbackPath = "/" }, "ends in a slash"},
		"a trailing slash":      {func(o *Options) { o.CallbackPath = "/a/" }, "ends in a slash"},
		"an empty segment":      {func(o *Options) { o.CallbackPath = "/a//b" }, "segment: remove it"},
		"a dot segment":         {func(o *Options) { o.CallbackPath = "/a/../b" }, "segment: remove it"},
		"an escape":             {func(o *Options) { o.CallbackPath = "/a%20b" }, "may hold only"},
		"a query":               {func(o *Options) { o.CallbackPath = "/a?b" }, "may hold only"},
		"client CA without TLS": {func(o *Options) { o.ClientCAFile = "ca" }, "client certificates need HTTPS"},
		"no authentication":     {func(o *Options) { o.AllowAnonymous = false }, "anybody could push results"},
		"no namespace":          {func(o *Options) { o.Namespace = "" }, "--operator-namespace is empty"},
		"a wrong namespace":     {func(o *Options) { o.Namespace = "A_b" }, "is no name of a namespace"},
		"a negative drain":      {func(o *Options) { o.DrainDuration = -1 }, "is out of range"},
		"a long drain":          {func(o *Options) { o.DrainDuration = time.Hour }, "is out of range"},
		"the path of probes":    {func(o *Options) { o.CallbackPath = ProbePath }, "is where load balancers probe"},
		"a short idle time":     {func(o *Options) { o.IdleTimeout = time.Millisecond }, "--callback-idle-timeout=1ms is out of range"},
		"a long idle time":      {func(o *Options) { o.IdleTimeout = 2 * time.Hour }, "set it between 1s and 1h"},
		"a negative share":      {func(o *Options) { o.ConnectionsPerSource = -1 }, "set it between 1 and 4096"},
		"a share beyond all":    {func(o *Options) { o.ConnectionsPerSource = maxConnections + 1 }, "set it between 1 and 4096"},
		"no client":             {func(o *Options) { o.Config = nil }, "client configuration is missing"},
		"missing secrets": {
			func(o *Options) { o.SecretsFile = "/nowhere" },
			"secrets file /nowhere: can't be read: no such file",
		},
		"missing certificate": {
			func(o *Options) { o.CertDir = "/nowhere" },
			"certificate directory /nowhere: needs a matching tls.crt and tls.key",
		},
		"metrics twice": {func(o *Options) {
			registry := prometheus.NewRegistry()
			o.Registerer = registry
			if _, err := newMetrics(registry); err != nil {
				panic(err)
			}
		}, "register metrics"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := Options{
				BindAddress:    ":0",
				AllowAnonymous: true,
				Namespace:      "fwupgrade-system",
				Config:         &rest.Config{Host: "http://localhost"},
			}
			tc.change(&o)
			_, err := New(o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("want an error with %q, got %v", tc.want, err)
			}
		})
	}
}

func TestOptionsAreAccepted(t *testing.T) {
	secret := writeFile(t, "secret", testSecret)
	apps, err := applications.Load(
		writeFile(t, "applications", "applications: [{appId: a, namespaces: [a], secretsFile: "+secret+"}]"),
	)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]Options{
		"anonymous":               {AllowAnonymous: true},
		"secrets":                 {SecretsFile: secret},
		"secrets of applications": {Applications: apps},
		"both kinds of secrets": {
			SecretsFile:   writeFile(t, "other", otherSecret),
			Applications:  apps,
			DrainDuration: DefaultDrainDuration,
		},
		"below the path of probes": {AllowAnonymous: true, CallbackPath: ProbePath + "/callback"},
		"bounds of connections":    {AllowAnonymous: true, IdleTimeout: time.Hour, ConnectionsPerSource: maxConnections},
		"own path":                 {AllowAnonymous: true, CallbackPath: "/a/b-c_d.e~1"},
	}
	for name, o := range cases {
		t.Run(name, func(t *testing.T) {
			o.BindAddress, o.Namespace, o.Config = "localhost:0", "fwupgrade-system", &rest.Config{Host: "http://localhost"}
			if _, err := New(o); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStopTimeoutCoversTheDrain(t *testing.T) {
	o := Options{DrainDuration: time.Minute}
	if got, least := o.StopTimeout(), time.Minute+StoreDeadline+flushTimeout; got <= least {
		t.Errorf("%s is not longer than %s", got, least)
	}
}
