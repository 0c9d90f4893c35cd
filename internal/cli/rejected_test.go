// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

const secret = "0123456789abcdef0123456789abcdef"

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func rejectedAt(ago time.Duration, reason, body string) storage.RejectedNotification {
	return storage.RejectedNotification{ReceiveTime: metav1.NewMicroTime(now.Add(-ago)), Reason: reason, Body: body}
}

// storeRejected stores rejected notifications, one of them twice, as after a compaction that broke off.
func storeRejected(t *testing.T, f *fleet) {
	t.Helper()
	compressed := rejectedAt(2*time.Hour, "operationId is missing", "")
	compressed.RawBody, compressed.ContentEncoding = zipped(t, `{"n":2}`), "gzip"
	cut := rejectedAt(90*time.Minute, "the body is larger than 65536 bytes", `{"n":"\u001b[31m`)
	cut.BodyBytes = 70000
	const reason = `status is "FAILED", not SUCCESS or FAIL: a sentence that is too long for one line`
	old := rejectedAt(72*time.Hour, reason, `{"n":0}`)
	f.storeSlice(&storage.ResultSlice{Rejected: []storage.RejectedNotification{
		rejectedAt(time.Hour, "deviceId is missing", `{"n":3}`), compressed,
	}})
	f.storeSlice(&storage.ResultSlice{Rejected: []storage.RejectedNotification{old, compressed, cut}})
}

// receiver is a webhook that answers as it is told, and remembers what it got.
type receiver struct {
	*httptest.Server
	answers []string // status and body
	got     []string
}

func newReceiver(t *testing.T, answers ...string) *receiver {
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Error(err)
		}
		encoding := request.Header.Get("Content-Encoding")
		r.got = append(r.got, strings.TrimSpace(request.Method+" "+request.URL.Path+" "+encoding+" ")+" "+string(body))
		status, answer := 200, `{"result":"recorded"}`
		if n := len(r.got); n <= len(r.answers) {
			code, text, _ := strings.Cut(r.answers[n-1], " ")
			status, answer = map[string]int{"200": 200, "302": 302, "401": 401, "503": 503}[code], text
		}
		w.Header().Set("Location", request.URL.String())
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) callback() string { return r.URL + "/v1.0.0/messageReceiver/" + secret }

func TestRejected(t *testing.T) {
	f := newFleet(t)
	storeRejected(t, f)
	f.record("reader", "rejected")
	f.record("reader", "rejected", "list", "--since", "110m", "-o", "json")
	f.record("reader", "rejected", "--since", "2026-03-01T10:00:00Z", "-o", "wide")
	f.record("reader", "rejected", "--since", "1m")
	to := newReceiver(t)
	f.env[envCallbackURL] = to.callback()
	f.record("reader", "rejected", "replay", "--since", "1d", "--dry-run")
	if len(to.got) > 0 {
		t.Errorf("a dry run pushed %q", to.got)
	}
	f.record("reader", "rejected", "replay", "--since", "1d")
	path := "POST /v1.0.0/messageReceiver/" + secret
	want := []string{path + " gzip " + string(zipped(t, `{"n":2}`)), path + ` {"n":3}`}
	if diff := cmp.Diff(want, to.got); diff != "" {
		t.Errorf("pushed (-want +got):\n%s", diff)
	}
	to = newReceiver(t, `200 {"result":"rejected","reason":"deviceId is missing"}`, `503 {"error":"could not be stored"}`,
		`200 {"result":"ignored","reason":"not a firmware upgrade notification: `+secret+`"}`)
	f.env[envCallbackURL] = to.callback()
	f.record("reader", "rejected", "replay")
	f.golden("rejected")
}

// On a terminal nothing hides in what came, whichever field it is in.
func TestRejectedOnATerminal(t *testing.T) {
	f := newFleet(t)
	hidden := rejectedAt(time.Minute, "a\u009bb", "c\u009bd")
	hidden.ContentEncoding = "e\u009bf"
	f.storeSlice(&storage.ResultSlice{Rejected: []storage.RejectedNotification{hidden}})
	for terminal, want := range map[bool]int{true: 0, false: 3} {
		streams, out, _ := buffers()
		s := newSession(f.options(streams))
		s.look.terminal = terminal
		*s.flags.KubeConfig = kubeconfig
		must(t, s.listRejected(t.Context(), time.Time{}, formatJSON))
		if got := strings.Count(out.String(), "\u009b"); got != want {
			t.Errorf("terminal %t: %q", terminal, out)
		}
	}
}

// The callback's URL is in no output, whatever the other side is or says.
func TestReplayKeepsTheSecret(t *testing.T) {
	f := newFleet(t)
	storeRejected(t, f)
	closed := newReceiver(t)
	closed.Close()
	cases := map[string]struct{ url, want string }{
		"nobody there":     {closed.callback(), "no answer failed: dial tcp"},
		"a wrong secret":   {newReceiver(t, `401 {"error":"no valid credentials in /x/`+secret+`"}`).callback(), "401 failed: no valid"},
		"a stranger":       {newReceiver(t, "200 no such page: "+secret).callback(), "is not the operator's"},
		"a redirect":       {newReceiver(t, "302 ").callback(), "302 failed"},
		"no URL":           {"https://" + secret + "\x7f/", "the callback's URL is not a URL"},
		"another protocol": {"ftp://example.com/" + secret, "the callback's URL is not a URL"},
		"too long":         {"https://example.com/" + secret + strings.Repeat("a", maxURLBytes), "the file is longer than 8192 bytes"},
		"TLS":              {"https" + strings.TrimPrefix(newReceiver(t).callback(), "http"), "no answer failed: http: server gave HTTP"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "url.txt")
			must(t, os.WriteFile(file, []byte(c.url+"\n"), 0o600))
			code, out, errOut := f.run("reader", "rejected", "replay", "--callback-url-file", file)
			if code == exitGood || !strings.Contains(out+errOut, c.want) {
				t.Errorf("code %d, want %q in:\n%s%s", code, c.want, out, errOut)
			}
			if strings.Contains(out+errOut, secret) {
				t.Errorf("it told the secret:\n%s%s", out, errOut)
			}
			if pushes := strings.Count(out, " failed"); pushes > 2 { // an answer, and the summary
				t.Errorf("it went on:\n%s", out)
			}
		})
	}
}

// Who gives the URL where it does not belong does not find it in the output.
func TestReplayKeepsAMisplacedSecret(t *testing.T) {
	f := newFleet(t)
	url := "example.com/v1.0.0/messageReceiver/" + secret
	cases := map[string]struct{ arg, want string }{
		"instead of its file":      {"--callback-url-file=https://" + url, "--callback-url-file is a URL"},
		"half of it":               {"--callback-url-file=" + url, "read the callback's URL from a file: no such file"},
		"instead of the CA's file": {"--callback-ca-file=https://" + url, "read the callback's CA: no such file"},
		"as an argument":           {"https://" + url, "replay takes flags only"},
	}
	for name, c := range cases {
		f.env[envCallbackURL] = "https://" + url
		code, out, errOut := f.run("reader", "rejected", "replay", c.arg)
		if code != exitUnknown || !strings.Contains(errOut, c.want) || strings.Contains(out+errOut, secret) {
			t.Errorf("%s: code %d, want %q in: %s%s", name, code, c.want, out, errOut)
		}
	}
}

// Nothing of a secret is left, whichever form of which part of the URL a text has.
func TestNothingOfTheSecretIsLeft(t *testing.T) {
	to, err := url.Parse("https://longuser1:password@example.com/shortsec/shortsec-and-longer/p%41th%2Fs3cret?token=a%2Bsecret+value")
	must(t, err)
	c := &callback{url: to}
	for _, text := range []string{
		"shortsec-and-longer", "shortsec", "longuser1", "password", "p%41th%2Fs3cret", "pAth/s3cret", "a%2Bsecret+value",
		"a+secret value", to.String(), to.RequestURI(),
	} {
		if got := c.redact("<" + text + ">"); got != "<***>" {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// What was pushed before an interrupt is told, also of the push that it broke off. A dry run needs no URL, and what is
// left out is no failure.
func TestReplayTellsWhatWasPushed(t *testing.T) {
	f := newFleet(t)
	storeRejected(t, f)
	code, out, _ := f.run("reader", "rejected", "replay", "--since", "1d", "--dry-run")
	if want := "2 would be pushed again, 1 left out.\n"; code != exitGood || !strings.HasSuffix(out, want) {
		t.Errorf("code %d: %s", code, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pushes := 0
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pushes++; pushes == 2 {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, `{"result":"recorded"}`)
	}))
	defer to.Close()
	f.env[envCallbackURL] = to.URL + "/" + secret
	streams, stdout, errOut := buffers()
	code = Run(ctx, []string{"--kubeconfig", kubeconfig, "rejected", "replay"}, f.options(streams))
	if code != exitInterrupted || strings.Contains(errOut.String(), "alike") ||
		!strings.Contains(stdout.String(), "no answer failed: context canceled\n") ||
		!strings.HasSuffix(stdout.String(), "2 pushed again: 1 recorded, 1 failed, 2 not pushed.\n") {
		t.Errorf("code %d: %s%s", code, stdout, errOut)
	}
}

// A callback over HTTPS is pushed to when its certificate is of the CA that was given, and not otherwise.
func TestReplayChecksTheCertificate(t *testing.T) {
	f := newFleet(t)
	storeRejected(t, f)
	to := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"result":"recorded"}`)
	}))
	to.Config.ErrorLog = nil
	t.Cleanup(to.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, certificatePEM(to), 0o600))
	f.env[envCallbackURL] = to.URL + "/" + secret
	cases := map[string]struct {
		args []string
		want int
	}{
		"unknown CA":   {nil, exitBad},
		"the CA":       {[]string{"--callback-ca-file", ca}, exitGood},
		"not checked":  {[]string{"--callback-insecure-skip-tls-verify"}, exitGood},
		"a file of no": {[]string{"--callback-ca-file", os.DevNull}, exitUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := f.run("reader", append([]string{"rejected", "replay"}, c.args...)...)
			if code != c.want {
				t.Errorf("code %d, want %d: %s%s", code, c.want, out, errOut)
			}
		})
	}
}

func TestParseSince(t *testing.T) {
	cases := map[string]string{
		"":                     "0001-01-01T00:00:00Z",
		"90m":                  "2026-03-01T10:30:00Z",
		"7d":                   "2026-02-22T12:00:00Z",
		"2026-02-01":           "2026-02-01T00:00:00Z",
		"2026-02-01T07:00:00":  "2026-02-01T07:00:00Z",
		"2026-02-01T07:00:00Z": "2026-02-01T07:00:00Z",
		"-1h":                  "error", "d": "error", "-7d": "error", "yesterday": "error", "99999999999999d": "error",
	}
	for text, want := range cases {
		got := "error"
		if at, err := parseSince(text, now); err == nil {
			got = rfc3339(at)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
