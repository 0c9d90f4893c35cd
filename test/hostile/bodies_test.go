// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
	"testing"
)

// bodyShape is a body of which one can't tell how large it is, or what it holds, before it was read.
type bodyShape struct {
	encoding string
	body     string
	// answer is a part of what is answered with 200.
	answer string
}

const (
	rejectedAs = `{"result":"rejected","reason":"`
	tooLarge   = rejectedAs + "the decompressed body is larger than 65536 bytes"
	notWhole   = rejectedAs + "the body can't be decompressed"
)

func bodyShapes(t *testing.T) map[string]bodyShape {
	t.Helper()
	plain := notification("compressed", "d", "SUCCESS")
	bomb := packed(t, zeros(256<<20))
	nested := plain
	for range 5 {
		nested = packed(t, strings.NewReader(nested))
	}
	members := strings.Repeat(packed(t, strings.NewReader("")), 2500)
	return map[string]bodyShape{
		"gzip":                  {"gzip", packed(t, strings.NewReader(plain)), `"recorded"`},
		"gzip, not said":        {"", packed(t, strings.NewReader(plain)), `"recorded"`},
		"deflate":               {"deflate", deflated(t, strings.NewReader(plain)), `"recorded"`},
		"a part of a bomb":      {"gzip", bomb[:60000], tooLarge},
		"a whole bomb":          {"gzip", packed(t, zeros(32<<20)), tooLarge},
		"a bomb, not said":      {"", packed(t, zeros(32<<20)), tooLarge},
		"a bomb of deflate":     {"deflate", deflated(t, zeros(32<<20)), tooLarge},
		"a bomb above the size": {"gzip", bomb, rejectedAs + "the body is larger than 65536 bytes"},
		"nested":                {"gzip, gzip, gzip, gzip, gzip", nested, rejectedAs + "the body is not JSON"},
		"a nested bomb":         {"gzip", packed(t, strings.NewReader(packed(t, zeros(32<<20)))), rejectedAs},
		"cut off":               {"gzip", packed(t, strings.NewReader(plain))[:40], notWhole},
		"a wrong checksum":      {"gzip", broken(packed(t, strings.NewReader(plain))), notWhole},
		"the head alone":        {"gzip", "\x1f\x8b", notWhole},
		"many empty members":    {"gzip", members, rejectedAs},
		"a long name":           {"gzip", "\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff" + strings.Repeat("n", 60000), notWhole},
		"no gzip":               {"gzip", `{"notifyType":`, rejectedAs + "the body is said to be gzip, and is not"},
		"another encoding":      {"\u00ff", "x", rejectedAs},
		"many arrays":           {"", strings.Repeat("[", 60000), rejectedAs},
		"many keys":             {"", "{" + strings.Repeat(`"deviceId":"d",`, 4000) + `"x":1}`, rejectedAs},
	}
}

// compressedBodies pushes all of them, again and again and many at a time.
func compressedBodies(t *testing.T, w *webhook) {
	const senders, times = 16, 4
	for name, b := range bodyShapes(t) {
		lines := fmt.Sprintf("Content-Length: %d\r\n", len(b.body))
		if b.encoding != "" {
			lines += "Content-Encoding: " + b.encoding + "\r\n"
		}
		sent := strings.Repeat(request(secret, lines, b.body), times)
		each(senders, func(n int) {
			got := w.exchange(t, source(n%slowSources), sent, times)
			if strings.Count(got.text, b.answer) != times {
				t.Errorf("%s: want %d times %q, got %q", name, times, b.answer, got.text)
			}
		})
	}
}

// packed is what a reader gives, compressed by gzip.
func packed(t *testing.T, from io.Reader) string {
	t.Helper()
	var to bytes.Buffer
	writer := gzip.NewWriter(&to)
	_, err := io.Copy(writer, from)
	must(t, err)
	must(t, writer.Close())
	return to.String()
}

// deflated is the same by deflate.
func deflated(t *testing.T, from io.Reader) string {
	t.Helper()
	var to bytes.Buffer
	writer := zlib.NewWriter(&to)
	_, err := io.Copy(writer, from)
	must(t, err)
	must(t, writer.Close())
	return to.String()
}

// zeros reads so many bytes that can be compressed a thousandfold.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

// Read implements io.Reader.
func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// broken is what is compressed with another checksum.
func broken(compressed string) string {
	changed := []byte(compressed)
	changed[len(changed)-8] ^= 1
	return string(changed)
}
