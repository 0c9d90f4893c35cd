// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
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

// Which secret was used is counted by the beginning of its hash, also for one of a file of an application, and for each
// request that presents it. A wrong one is counted nowhere. Removed secrets are counted no more, and what changed is
// logged, so that the last step of a rotation can be done.
func TestUseOfSecretsIsCounted(t *testing.T) {
	clk := testclock.NewFakeClock(startTime())
	file := writeFile(t, "secrets", testSecret)
	own := writeFile(t, "own", "the-secret-of-an-application")
	apps, err := applications.Load(
		writeFile(t, "applications", "applications: [{appId: app, namespaces: [a], secretsFile: "+own+"}]"),
	)
	if err != nil {
		t.Fatal(err)
	}
	r := startReceiver(t, func(o *Options) { o.Clock, o.SecretsFile, o.Applications = clk, file, apps })
	const metric = "fwupgrade_webhook_secret_requests_total"
	labels := map[string]string{}
	for _, secret := range []string{testSecret, otherSecret, "the-secret-of-an-application"} {
		labels[secret] = fmt.Sprintf("%x", sha256.Sum256([]byte(secret)))[:8]
	}
	series := func() string {
		families, err := r.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() == metric {
					found = append(found, fmt.Sprintf("%s=%v", m.GetLabel()[0].GetValue(), m.GetCounter().GetValue()))
				}
			}
		}
		slices.Sort(found)
		return strings.Join(found, " ")
	}
	want := func(what string, counts map[string]int) {
		t.Helper()
		var wanted []string
		for secret, n := range counts {
			wanted = append(wanted, fmt.Sprintf("%s=%d", labels[secret], n))
		}
		slices.Sort(wanted)
		if diff := cmp.Diff(strings.Join(wanted, " "), series()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	use := func(secret string) { r.send("POST", DefaultCallbackPath+"/"+secret, `{"notifyType":"x"}`) }
	want("at the start", map[string]int{testSecret: 0, "the-secret-of-an-application": 0})
	use(testSecret)
	use(testSecret)
	use("the-secret-of-an-application")
	use(otherSecret)
	want("after pushes", map[string]int{testSecret: 2, "the-secret-of-an-application": 1})

	overwrite(t, file, "# moved down\n"+otherSecret+"\n"+testSecret)
	eventually(t, "the new one is known", func() bool {
		clk.Step(reloadInterval)
		return strings.Contains(series(), labels[otherSecret])
	})
	use(otherSecret)
	use(testSecret)
	want("with both", map[string]int{testSecret: 3, otherSecret: 1, "the-secret-of-an-application": 1})

	overwrite(t, file, otherSecret)
	eventually(t, "the old one is gone", func() bool {
		clk.Step(reloadInterval)
		return !strings.Contains(series(), labels[testSecret])
	})
	want("after the rotation", map[string]int{otherSecret: 1, "the-secret-of-an-application": 1})
	for _, line := range []string{
		fmt.Sprintf(`"Reloaded" "file"="secrets" "secrets"=3 "added"=[%q] "removed"=[]`, labels[otherSecret]),
		fmt.Sprintf(`"Reloaded" "file"="secrets" "secrets"=2 "added"=[] "removed"=[%q]`, labels[testSecret]),
	} {
		if n := strings.Count(r.logs.text(), line); n != 1 {
			t.Errorf("%d times %s in\n%s", n, line, r.logs.text())
		}
	}
}

// There are never more series than secrets, and the log of a change stays short.
func TestManySecretsAreBounded(t *testing.T) {
	file := writeFile(t, "secrets", testSecret)
	s, err := newSecrets([]secretFile{{path: file}})
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, file, manySecrets(maxSecrets))
	changes, err := s.reload()
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(changes...); len(text) > 1024 {
		t.Errorf("logs %d bytes", len(text))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || len(families[0].GetMetric()) > maxSecrets {
		t.Errorf("got %d families, %v", len(families), err)
	}
	if changes, err := s.reload(); err != nil || len(changes) > 0 {
		t.Errorf("nothing changed, but it says %v, %v", changes, err)
	}
}
