// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// compressed is a text as a compressor writes it.
func compressed(t *testing.T, text string, open func(io.Writer) io.WriteCloser) string {
	t.Helper()
	var b bytes.Buffer
	w := open(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	return compressed(t, text, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

// sendEncoded pushes a body with the given headers Content-Encoding.
func (r *testReceiver) sendEncoded(body []byte, encodings ...string) reply {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost,
		r.base+DefaultCallbackPath+"/"+testSecret, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header["Content-Encoding"] = encodings
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{status: response.StatusCode, body: strings.TrimSpace(string(content))}
}

// TestContentEncoding: a compressed push is a push, whether the header says so, or says something else, or nothing.
// What can't be decoded is stored as it came, so that it can be pushed again with the same outcome.
func TestContentEncoding(t *testing.T) {
	zlibbed := compressed(t, push("d"), func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	deflated := compressed(t, push("d"), func(w io.Writer) io.WriteCloser {
		f, err := flate.NewWriter(w, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	zipped := gzipped(t, push("d"))
	broken := []byte(zipped)
	broken[len(broken)-6] ^= 1 // the checksum
	cases := map[string]struct {
		body      string
		encodings []string
		// reason is how the reason of the rejection begins; empty: the result is recorded.
		reason string
	}{
		"gzip":                       {zipped, []string{"gzip"}, ""},
		"gzip in another case":       {zipped, []string{" GZip "}, ""},
		"gzip by its old name":       {zipped, []string{"x-gzip"}, ""},
		"gzip that nobody announced": {zipped, nil, ""},
		"gzip of odd JSON":           {gzipped(t, "\ufeff"+push("d")+"\n"), []string{"gzip"}, ""},
		"gzip and NULs":              {zipped + "\x00\x00\x00", []string{"gzip"}, ""},
		"gzip and a line feed":       {zipped + "\n", []string{"gzip"}, ""},
		"gzip and a CRLF":            {zipped + "\r\n", nil, ""},
		"gzip in two members":        {gzipped(t, push("d")[:9]) + gzipped(t, push("d")[9:]) + "\x00", nil, ""},
		"deflate":                    {zlibbed, []string{"deflate"}, ""},
		"deflate and NULs":           {zlibbed + "\x00\x00", []string{"deflate"}, ""},
		"deflate without its frame":  {deflated, []string{"deflate"}, ""},
		"identity":                   {push("d"), []string{"identity"}, ""},
		"said to be gzip":            {push("d"), []string{"gzip"}, ""},
		"a charset":                  {push("d"), []string{"UTF-8"}, ""},
		"nothing twice":              {push("d"), []string{"", ""}, ""},
		"gzip of something unusable": {gzipped(t, strings.Replace(push("d"), "SUCCESS", "DONE", 1)), []string{"gzip"},
			`status is "DONE"`},
		"gzip broken off":        {zipped[:len(zipped)-20], []string{"gzip"}, "the body can't be decompressed: unexpected EOF"},
		"gzip with a wrong sum":  {string(broken), []string{"gzip"}, "the body can't be decompressed: gzip: invalid checksum"},
		"gzip and something":     {zipped + "\n{}", []string{"gzip"}, "the body can't be decompressed: "},
		"gzip and half a member": {zipped + zipped[:15], []string{"gzip"}, "the body can't be decompressed: unexpected EOF"},
		"gzip of gzip":           {gzipped(t, zipped), []string{"gzip, gzip"}, "the body is not JSON"},
		"gzip of a little too much": {gzipped(t, push("d")+strings.Repeat(" ", maxBodyBytes+1-len(push("d")))),
			[]string{"gzip"}, "the decompressed body is larger than 65536 bytes"},
		"a bomb": {gzipped(t, strings.Repeat("x", 32<<20)), []string{"gzip"},
			"the decompressed body is larger than 65536 bytes"},
		"no gzip":           {"hello", []string{"gzip"}, "the body is said to be gzip, and is not"},
		"no deflate":        {"hello", []string{"deflate"}, "the body can't be decompressed: "},
		"another encoding":  {"\x8b\x02\x80abc\x03", []string{"br"}, `the body is encoded as "br"; only gzip, deflate`},
		"several encodings": {"\x8b\x02\x80abc\x03", []string{"br , zstd", "gzip"}, `the body is encoded as "br,zstd,gzip"`},
		"a hostile header":  {"\xff", []string{"b\u202er" + strings.Repeat("x", 99)}, "the body is encoded as \"b\ufffdrxxx"},
		"unusable as it is": {"{}", []string{"br"}, "notifyType is missing"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReceiver(t, nil)
			got := r.sendEncoded([]byte(tc.body), tc.encodings...)
			stored := storedIn(t, r.namespace)
			if tc.reason == "" {
				if got.body != `{"result":"recorded"}` || len(stored.results) != 1 || stored.results[0].DeviceID != "d" {
					t.Errorf("answered %s, stored %+v", got.body, stored)
				}
				return
			}
			if len(stored.rejected) != 1 || !strings.HasPrefix(stored.rejected[0].Reason, tc.reason) {
				t.Fatalf("answered %s, stored %+v", got.body, stored)
			}
			rejected := stored.rejected[0]
			kept := append([]byte(rejected.Body), rejected.RawBody...)
			if want := tc.body[:min(len(tc.body), storage.MaxRejectedBodyBytes)]; string(kept) != want {
				t.Errorf("stored %q", kept)
			}
			if rejected.BodyBytes != 0 {
				return // only the beginning is stored
			}
			if again := r.sendEncoded(kept, rejected.ContentEncoding); again.body != got.body {
				t.Errorf("answered %s, and pushed again %s", got.body, again.body)
			}
		})
	}
}
