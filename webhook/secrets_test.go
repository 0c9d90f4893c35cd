// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	testclock "k8s.io/utils/clock/testing"

	"fwupgrade.io/operator/internal/applications"
)

func TestSecretsFile(t *testing.T) {
	longest := strings.Repeat("s", maxSecretBytes)
	cases := map[string]struct {
		content string
		// valid are texts that authenticate; the rest of what the file holds must not.
		valid []string
		// want is what the error says; empty: there is none.
		want string
	}{
		"one": {testSecret, []string{testSecret}, ""},
		"several": {
			testSecret + "\r\n# rotated out soon\n\n  " + otherSecret + "  \n",
			[]string{testSecret, otherSecret},
			"",
		},
		"all characters":          {"aZ0-._~aZ0-._~aZ0", []string{"aZ0-._~aZ0-._~aZ0"}, ""},
		"the same twice":          {testSecret + "\n" + testSecret, []string{testSecret}, ""},
		"the longest":             {longest, []string{longest}, ""},
		"the shortest":            {"0123456789abcdef", []string{"0123456789abcdef"}, ""},
		"nothing":                 {"", nil, "holds no secret"},
		"comments":                {"# only\n\n", nil, "holds no secret"},
		"short":                   {testSecret + "\n\n0123456789abcde", nil, "line 3 has fewer than 16 characters"},
		"long":                    {longest + "s", nil, "line 1 has more than 256 characters"},
		"a slash":                 {"0123456789/abcdef", nil, "line 1 can't stand in a URL"},
		"white space within":      {"0123456789 abcdef", nil, "line 1 can't stand in a URL"},
		"beyond ASCII":            {"0123456789äbcdef", nil, "line 1 can't stand in a URL"},
		"a binary":                {"0123456789\x00abcdef", nil, "line 1 can't stand in a URL"},
		"more than one megabyte":  {strings.Repeat("#\n", maxSecretFileBytes), nil, "is larger than"},
		"more than are compared":  {manySecrets(maxSecrets + 1), nil, "remove some"},
		"as many as are compared": {manySecrets(maxSecrets), []string{"0123456789abcdef0000", "0123456789abcdef0999"}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "secrets", tc.content)
			s, err := newSecrets([]secretFile{{path: path}})
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Fatalf("want an error with %q, got %v", tc.want, err)
				}
				if strings.Contains(err.Error(), "0123456789") || strings.Contains(err.Error(), testSecret) {
					t.Errorf("the error tells a secret: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range tc.valid {
				if _, ok := s.lookup(secret); !ok {
					t.Errorf("%q does not authenticate", secret)
				}
			}
			for _, text := range []string{
				"", "# only", "# rotated out soon", tc.valid[0] + "x", tc.valid[0][1:], "  " + tc.valid[0],
			} {
				if _, ok := s.lookup(text); ok {
					t.Errorf("%q authenticates", text)
				}
			}
		})
	}
}

// manySecrets makes distinct secrets, from 0123456789abcdef0000 on.
func manySecrets(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "0123456789abcdef%04d\n", i)
	}
	return b.String()
}

func TestSecretInTwoFiles(t *testing.T) {
	one, other := writeFile(t, "one", testSecret), writeFile(t, "other", otherSecret+"\n"+testSecret)
	cases := map[string]struct {
		files []secretFile
		ok    bool
	}{
		"of one application":  {[]secretFile{{one, scope{"a"}}, {other, scope{"a"}}}, true},
		"of two applications": {[]secretFile{{one, scope{"a"}}, {other, scope{"b"}}}, false},
		"of one and of all":   {[]secretFile{{one, scope{}}, {other, scope{"b"}}}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := newSecrets(tc.files)
			if (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), one) || !strings.Contains(err.Error(), other)) {
				t.Errorf("%q doesn't name both files", err)
			}
		})
	}
}

func TestSecretsRotateWhileRunning(t *testing.T) {
	clk := testclock.NewFakeClock(startTime())
	file := writeFile(t, "secrets", testSecret)
	r := startReceiver(t, func(o *Options) { o.Clock, o.SecretsFile = clk, file })
	status := func(secret string) int {
		return r.send("POST", DefaultCallbackPath+"/"+secret, `{"notifyType":"x"}`).status
	}
	reload := func(what string, holds func() bool) {
		t.Helper()
		eventually(t, what, func() bool { clk.Step(reloadInterval); return holds() })
	}
	if got := status(otherSecret); got != 401 {
		t.Fatalf("the new secret is answered %d before it is known", got)
	}

	overwrite(t, file, testSecret+"\n"+otherSecret)
	reload("the new secret is known", func() bool { return status(otherSecret) == 200 })
	if got := status(testSecret); got != 200 {
		t.Errorf("the old secret is answered %d while both are listed", got)
	}

	overwrite(t, file, otherSecret)
	reload("the old secret is forgotten", func() bool { return status(testSecret) == 401 })

	overwrite(t, file, "short")
	reload(
		"the mistake is noticed",
		func() bool { return r.metric("fwupgrade_webhook_reload_errors_total", "secrets") > 2 },
	)
	if got := status(otherSecret); got != 200 {
		t.Errorf("after a mistake in the file the secret is answered %d", got)
	}
	if n := strings.Count(r.logs.text(), "Could not reload"); n != 1 {
		t.Errorf("a mistake that lasts was logged %d times", n)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	reload("the missing file is noticed", func() bool { return strings.Contains(r.logs.text(), "no such file") })
	if got := status(otherSecret); got != 200 {
		t.Errorf("without its file the secret is answered %d", got)
	}

	overwrite(t, file, testSecret)
	reload("the file is used again", func() bool { return status(testSecret) == 200 && status(otherSecret) == 401 })
	for _, secret := range []string{testSecret, otherSecret} {
		if strings.Contains(r.logs.text(), secret) {
			t.Error("a secret was logged")
		}
	}
}

func TestApplicationSecretsAlone(t *testing.T) {
	dir := t.TempDir()
	overwrite(t, filepath.Join(dir, "secret"), otherSecret)
	overwrite(t, filepath.Join(dir, "applications"), "applications: [{appId: app, namespaces: [a], secretsFile: secret}]")
	apps, err := applications.Load(filepath.Join(dir, "applications"))
	if err != nil {
		t.Fatal(err)
	}
	r := startReceiver(t, func(o *Options) { o.SecretsFile, o.Applications = "", apps })
	if got := r.send("POST", DefaultCallbackPath+"/"+otherSecret, push("d")); got.status != 200 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}
