// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"
	"testing"
)

// Wrong values and combinations are refused with a sentence that names the flag, before an API server is looked for.
func TestWrongFlagsAreRefused(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nowhere")
	cases := map[string]struct {
		args []string
		want string
	}{
		"unknown flag":                {[]string{"--nonsense"}, "unknown flag: --nonsense"},
		"argument":                    {[]string{"nonsense"}, "unexpected argument"},
		"unknown component":           {[]string{"--components=x"}, "--components=x"},
		"no component":                {[]string{"--components="}, "--components"},
		"no authentication":           {nil, "--allow-anonymous"},
		"client CA without HTTPS":     {[]string{"--callback-client-ca-file=ca"}, "--callback-cert-dir"},
		"bad callback path":           {[]string{"--allow-anonymous", "--callback-path=foo"}, "--callback-path"},
		"bad callback address":        {[]string{"--allow-anonymous", "--callback-bind-address=foo"}, "--callback-bind-address"},
		"long drain":                  {[]string{"--allow-anonymous", "--drain-duration=10m"}, "--drain-duration"},
		"unknown policy":              {[]string{"--components=controllers", "--undeclared=Foo"}, "--undeclared=Foo"},
		"short retention":             {[]string{"--components=controllers", "--retain-unclaimed=1s"}, "--retain-unclaimed"},
		"short grace":                 {[]string{"--components=controllers", "--creation-grace=59s"}, "--creation-grace"},
		"no results":                  {[]string{"--components=controllers", "--max-stored-results=0"}, "--max-stored-results"},
		"no status writes":            {[]string{"--components=controllers", "--max-writes-per-second=0"}, "--max-writes-per-second=0"},
		"no default namespace":        {[]string{"--components=controllers", "--default-namespace="}, "--default-namespace"},
		"no name of a namespace":      {[]string{"--components=controllers", "--default-namespace=Nope_"}, "--default-namespace=Nope_ is no name of a namespace"},
		"no name of the operator's":   {[]string{"--components=controllers", "--operator-namespace=Nope_"}, "--operator-namespace=Nope_ is no name of a namespace"},
		"no namespace":                {[]string{"--components=controllers", "--operator-namespace="}, "--operator-namespace"},
		"missing applications file":   {[]string{"--components=controllers", "--applications-file=/nowhere"}, "--applications-file"},
		"webhook's flag elsewhere":    {[]string{"--components=controllers", "--callback-path=/x"}, "nothing heeds --callback-path"},
		"controllers' flag elsewhere": {[]string{"--components=webhook", "--undeclared=Hold"}, "nothing heeds --undeclared"},
		"no list of hosts":            {[]string{"--components=controllers", "--platform-hosts=iot.example.com"}, "--platform-hosts=iot.example.com: write host:port"},
		"a second host of no port":    {[]string{"--components=controllers", "--platform-hosts=a:1,b"}, "--platform-hosts=b: write host:port"},
		"platform's hosts elsewhere":  {[]string{"--components=webhook", "--platform-hosts=a:1"}, "nothing heeds --platform-hosts"},
		"one port twice":              {[]string{"--allow-anonymous", "--metrics-bind-address=:8081"}, "--metrics-bind-address"},
		"the profiles' port twice":    {[]string{"--allow-anonymous", "--pprof-bind-address=:8081"}, "--pprof-bind-address are both :8081"},
		"the callback's port twice":   {[]string{"--allow-anonymous", "--callback-bind-address=:8080"}, "--callback-bind-address"},
		"empty addresses":             {[]string{"--allow-anonymous", "--metrics-bind-address=", "--health-probe-bind-address=", "--kubeconfig=/nowhere"}, "--kubeconfig"},
		"certificate without HTTPS":   {[]string{"--allow-anonymous", "--metrics-cert-dir=/x"}, "--metrics-cert-dir needs --metrics-secure"},
		"HTTPS of no metrics":         {[]string{"--allow-anonymous", "--metrics-secure", "--metrics-bind-address=0"}, "--metrics-secure and --metrics-bind-address=0: metrics are turned off"},
		"HTTPS at no address":         {[]string{"--allow-anonymous", "--metrics-secure", "--metrics-bind-address="}, "metrics are turned off"},
		"no API server":               {[]string{"--allow-anonymous", "--kubeconfig=/nowhere"}, "--kubeconfig"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), c.args, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want a refusal with %q, got %v", c.want, err)
			}
		})
	}
}
