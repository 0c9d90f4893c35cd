// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package applications

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "applications.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const twoApplications = `
applications:
- appId: bQ3_oneApplication
  namespaces: [meters, fleet]
  secretsFile: secrets/one
- appId: anotherApplication
  namespaces: [meters]
  secretsFile: /etc/secrets/another
- appId: withoutSecrets
  namespaces: [lamps]
`

func TestMap(t *testing.T) {
	path := write(t, twoApplications)
	m, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	permitted := map[string]bool{}
	for _, appID := range []string{"bQ3_oneApplication", "anotherApplication", "withoutSecrets", "unknown", ""} {
		for _, namespace := range []string{"meters", "fleet", "lamps", "default", ""} {
			if m.Permitted(appID, namespace) {
				permitted[appID+" in "+namespace] = true
			}
		}
	}
	want := map[string]bool{
		"bQ3_oneApplication in meters": true,
		"bQ3_oneApplication in fleet":  true,
		"anotherApplication in meters": true,
		"withoutSecrets in lamps":      true,
	}
	if diff := cmp.Diff(want, permitted); diff != "" {
		t.Errorf("permitted (-want +got):\n%s", diff)
	}
	wantApplications := []string{"anotherApplication", "bQ3_oneApplication"}
	if diff := cmp.Diff(wantApplications, m.Applications("meters")); diff != "" {
		t.Errorf("applications (-want +got):\n%s", diff)
	}
	wantFiles := map[string]string{
		"bQ3_oneApplication": filepath.Join(filepath.Dir(path), "secrets/one"),
		"anotherApplication": "/etc/secrets/another",
	}
	if diff := cmp.Diff(wantFiles, m.SecretFiles()); diff != "" {
		t.Errorf("files of secrets (-want +got):\n%s", diff)
	}
}

func TestNilMapPermitsEverything(t *testing.T) {
	var m *Map
	if !m.Permitted("any", "where") || !m.Permitted("", "") {
		t.Error("without a file something was refused")
	}
	if got := m.Applications("where"); got != nil {
		t.Errorf("applications without a file: %q", got)
	}
	if diff := cmp.Diff(map[string]string{}, m.SecretFiles()); diff != "" {
		t.Errorf("files of secrets (-want +got):\n%s", diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	cases := map[string]struct {
		content string
		want    []string
	}{
		"an empty file":          {"", []string{"applications: lists none"}},
		"no applications":        {"applications: []", []string{"applications: lists none"}},
		"no YAML":                {"applications: [", []string{"is not the expected YAML"}},
		"a list at the top":      {"- appId: a", []string{"holds a list where the list applications is expected"}},
		"a text as applications": {"applications: a", []string{"holds a string where the list applications is expected"}},
		"a text as application":  {"applications: [a]", []string{"applications[0] is a string: write appId and namespaces there"}},
		"a number as appId":      {"applications: [{appId: 5, namespaces: [a]}]", []string{"applications[0].appId holds a number: put it in quotes"}},
		"a second appId":         {"applications: [{appId: a, namespaces: [a]}, {appId: 1e5, namespaces: [a]}]", []string{"applications[1].appId holds a number: put it in quotes"}},
		"a truth as namespace":   {"applications: [{appId: a, namespaces: [true]}]", []string{"applications[0].namespaces holds a bool: put it in quotes"}},
		"a text as namespaces":   {"applications: [{appId: a, namespaces: a}]", []string{"applications[0].namespaces holds a string: see the example"}},
		"an unknown key":         {"applications: [{appId: a, namespace: [a]}]", []string{"remove or correct the key", `"applications[0].namespace"`}},
		"an unknown key on top":  {"apps: []", []string{"remove or correct the key", `"apps"`}},
		"a key in another case":  {"applications: [{AppID: a, namespaces: [a]}]", []string{"remove or correct the key", `"applications[0].AppID"`}},
		"a key twice":            {"applications: [{appId: a, appId: b, namespaces: [a]}]", []string{"appId"}},
		"an empty appId":         {`applications: [{appId: "", namespaces: [a]}]`, []string{"applications[0].appId: is missing"}},
		"a missing appId":        {"applications: [{namespaces: [a]}]", []string{"applications[0].appId: is missing"}},
		"a long appId":           {"applications: [{namespaces: [a], appId: " + strings.Repeat("a", 257) + "}]", []string{"longer than 256 bytes"}},
		"a control character":    {`applications: [{appId: "a\tb", namespaces: [a]}]`, []string{"holds a control character"}},
		"an invisible character": {`applications: [{appId: "a\u200bb", namespaces: [a]}]`, []string{"or an invisible one"}},
		"an appId as a block":    {"applications:\n- namespaces: [a]\n  appId: |\n    a\n", []string{"applications[0].appId: has a blank or a line feed at an end"}},
		"a blank at an end":      {`applications: [{appId: "a ", namespaces: [a]}]`, []string{"has a blank or a line feed at an end"}},
		"an appId twice":         {"applications: [{appId: a, namespaces: [a]}, {appId: a, namespaces: [b]}]", []string{"applications[1].appId", "applications[0] already"}},
		"no namespaces":          {"applications: [{appId: a}]", []string{"applications[0].namespaces: lists none"}},
		"an invalid namespace":   {"applications: [{appId: a, namespaces: [a, B_b]}]", []string{"applications[0].namespaces[1]", `"B_b" is no name of a namespace`}},
		"an empty namespace":     {`applications: [{appId: a, namespaces: [""]}]`, []string{"applications[0].namespaces[0]"}},
		"a namespace twice":      {"applications: [{appId: a, namespaces: [a, a]}]", []string{"applications[0].namespaces[1]", "twice"}},
		"more than one megabyte": {"# " + strings.Repeat("a", maxFileBytes), []string{"larger than 1048576 bytes"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := write(t, tc.content)
			_, err := Load(path)
			if err == nil {
				t.Fatal("was accepted")
			}
			for _, part := range append(tc.want, path) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing")
	_, err := Load(path)
	if err == nil || strings.Count(err.Error(), path) != 1 {
		t.Errorf("want an error that names the file once, got %v", err)
	}
}
