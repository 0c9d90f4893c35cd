// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fwupgrade.io/operator/hack/local"
)

func TestCallbackPort(t *testing.T) {
	cases := map[string]struct {
		value   string
		want    int
		wantErr bool
	}{
		"default":    {value: "", want: defaultPort},
		"set":        {value: "9000", want: 9000},
		"no number":  {value: "https", wantErr: true},
		"no port":    {value: "0", wantErr: true},
		"not a port": {value: "65536", wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := callbackPort(tc.value)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestUsageHasACompleteCurlLine(t *testing.T) {
	assets := t.TempDir()
	if err := os.WriteFile(filepath.Join(assets, "kubectl"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	var out bytes.Buffer
	operator := &local.Operator{Kubeconfig: "/somewhere/run/kubeconfig", CallbackURL: "http://127.0.0.1:1/path/secret"}
	if err := printUsage(&out, "/somewhere", operator); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`-d '([^']+)' 'http://127.0.0.1:1/path/secret'\n`).FindStringSubmatch(out.String())
	if match == nil {
		t.Fatalf("no curl line in:\n%s", out.String())
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(match[1]), &body); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"notifyType", "deviceId", "appId", "operationId", "subOperationId", "curVersion", "targetVersion", "sourceVersion",
		"status", "statusDesc", "upgradeTime",
	} {
		if body[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
	if !strings.Contains(out.String(), "export KUBECONFIG=/somewhere/run/kubeconfig\n") {
		t.Errorf("no export of KUBECONFIG in:\n%s", out.String())
	}
}
