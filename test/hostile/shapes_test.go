// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// shape is an odd request. A push is sent right behind it, which nobody may serve unless the request is a right one.
type shape struct {
	// sent is the request.
	sent string
	// status answers it. served is whether the push behind it is served, too, and the connection kept.
	status string
	served bool
	// stranger is what one is answered who has not the right secret, if that is not 401, after which the connection is
	// closed in any case.
	stranger string
	// slow is whether the webhook has to wait for what does not come.
	slow bool
}

// smuggled is the operation of the pushes behind.
const smuggled = "smuggled"

// requestShapes sends all shapes of requests, by one who has the right secret and by a stranger.
func requestShapes(t *testing.T, w *webhook) {
	var slow []func()
	for name, s := range shapes() {
		behind := push(secret, notification(smuggled, name, "SUCCESS"))
		for _, key := range []string{secret, wrongSecret} {
			want := s
			sent := strings.ReplaceAll(s.sent, secret, key) + behind
			if key == wrongSecret && strings.Contains(s.sent, secret) {
				want.served, want.slow = false, s.slow && s.stranger != ""
				if want.status = s.stranger; s.stranger == "" {
					want.status = "401"
				}
			}
			check := func() {
				if problem := w.send(t, sent, want); problem != "" {
					t.Errorf("%s, with %s: %s", name, key, problem)
				}
			}
			if want.slow {
				slow = append(slow, check)
				continue
			}
			check()
			w.checkCountedBeside(t)
		}
	}
	each(len(slow), func(n int) { slow[n]() })
	w.checkCountedBeside(t)
	checkNothingSmuggled(t)
}

// send sends a shape and what is behind it, and says what is wrong with what comes back.
func (w *webhook) send(t *testing.T, sent string, want shape) string {
	t.Helper()
	answers, kept := []string{want.status}, 0
	if want.served {
		answers = append(answers, "200")
		kept = len(answers)
	}
	got := w.exchange(t, source(0), sent, kept)
	if diff := cmp.Diff(answers, got.statuses); diff != "" || got.closed == want.served {
		return fmt.Sprintf("%s closed: %v, answers: %q", diff, got.closed, got.text)
	}
	return ""
}

// checkNothingSmuggled holds that no push was stored but of those shapes behind which one may be served.
func checkNothingSmuggled(t *testing.T) {
	t.Helper()
	all := shapes()
	list := &storage.ResultSliceList{}
	must(t, k8s.List(t.Context(), list, client.InNamespace(operatorNamespace)))
	found := 0
	for i := range list.Items {
		results, err := result.Unpack(list.Items[i].Tables)
		must(t, err)
		for _, r := range results {
			if r.OperationID != smuggled {
				continue
			}
			found++
			if !all[r.DeviceID].served {
				t.Errorf("what was behind %q was stored", r.DeviceID)
			}
		}
	}
	if found == 0 {
		t.Error("nothing that may be stored was: the test looks for the wrong thing")
	}
}

// shapes are all of them.
func shapes() map[string]shape {
	all := map[string]shape{}
	for _, some := range []map[string]shape{
		lengthShapes(), codingShapes(), chunkShapes(), headShapes(), versionShapes(), methodShapes(),
	} {
		for name, s := range some {
			all[name] = s
		}
	}
	return all
}

// body is the body of a shape that can be read; chunked is the same in chunks.
const body = `{"notifyType":"ping"}`

func chunked() string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

const codingLine = "Transfer-Encoding: chunked\r\n"

func lengthLine() string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }

// lengthShapes say how long the body is, in odd ways.
func lengthShapes() map[string]shape {
	length := func(lines ...string) shape {
		return shape{sent: request(secret, strings.Join(lines, ""), body), status: "400", stranger: "400"}
	}
	right := func(lines ...string) shape {
		return shape{sent: request(secret, strings.Join(lines, ""), body), status: "200", served: true}
	}
	n := len(body)
	return map[string]shape{
		"one length":               right(lengthLine()),
		"the same length twice":    right(lengthLine(), lengthLine()),
		"two lengths":              length(lengthLine(), "Content-Length: 5\r\n"),
		"two lengths in a line":    length(fmt.Sprintf("Content-Length: %d, 5\r\n", n)),
		"a length and an odd one":  length(lengthLine(), "Content-Length: x\r\n"),
		"a plus before a length":   length(fmt.Sprintf("Content-Length: +%d\r\n", n)),
		"a negative length":        length("Content-Length: -1\r\n"),
		"a hexadecimal length":     length("Content-Length: 0x15\r\n"),
		"a length with a fraction": length(fmt.Sprintf("Content-Length: %d.0\r\n", n)),
		"a length in words":        length("Content-Length: twenty\r\n"),
		"an empty length":          length("Content-Length:\r\n"),
		"a length beyond 64 bits":  length("Content-Length: 99999999999999999999\r\n"),
		"a blank in a length":      length("Content-Length: 2 1\r\n"),
		"a blank before the colon": length(fmt.Sprintf("Content-Length : %d\r\n", n)),
		"NUL in a length":          length(fmt.Sprintf("Content-Length: %d\x00\r\n", n)),
		"the largest length": {
			sent: request(secret, "Content-Length: 9223372036854775807\r\n", body), status: "408", slow: true,
		},
		"no length": {sent: request(secret, "", ""), status: "200", served: true},
	}
}

// codingShapes say how the body is encoded, in odd ways.
func codingShapes() map[string]shape {
	twoWays := func(lines ...string) shape {
		return shape{sent: request(secret, strings.Join(lines, ""), chunked()), status: "200"}
	}
	unknown := func(lines ...string) shape {
		return shape{sent: request(secret, strings.Join(lines, ""), chunked()), status: "501", stranger: "501"}
	}
	odd := func(lines ...string) shape {
		return shape{sent: request(secret, strings.Join(lines, ""), chunked()), status: "400", stranger: "400"}
	}
	return map[string]shape{
		"chunks":                       {sent: request(secret, codingLine, chunked()), status: "200", served: true},
		"chunks and a length":          twoWays(codingLine, lengthLine()),
		"a length and chunks":          twoWays(lengthLine(), codingLine),
		"chunks and a length of 0":     twoWays(codingLine, "Content-Length: 0\r\n"),
		"chunks and a great length":    twoWays("Content-Length: 60000\r\n", codingLine),
		"chunks in upper case, length": twoWays("TRANSFER-ENCODING: CHUNKED\r\n", lengthLine()),
		"line feeds alone, two ways": {
			sent: strings.ReplaceAll(request(secret, codingLine+lengthLine(), ""), "\r\n", "\n") + chunked(), status: "200",
		},
		"a coding twice":              unknown(codingLine, codingLine),
		"a coding twice in a line":    unknown("Transfer-Encoding: chunked, chunked\r\n"),
		"a coding with x":             unknown("Transfer-Encoding: xchunked\r\n"),
		"a coding with a parameter":   unknown("Transfer-Encoding: chunked;q=1\r\n"),
		"a coding in quotation marks": unknown("Transfer-Encoding: \"chunked\"\r\n"),
		"gzip and chunks":             unknown("Transfer-Encoding: gzip, chunked\r\n"),
		"a coding that a VT begins":   odd("Transfer-Encoding: \x0bchunked\r\n"),
		"a coding that NUL ends":      odd("Transfer-Encoding: chunked\x00\r\n"),
		"a blank after the name":      odd("Transfer-Encoding : chunked\r\n", lengthLine()),
		"a TAB after the name":        odd("Transfer-Encoding\t: chunked\r\n", lengthLine()),
		"a folded coding":             twoWays("Transfer-Encoding:\r\n chunked\r\n", lengthLine()),
		"a folded second coding":      unknown("Transfer-Encoding: chunked\r\n , identity\r\n"),
		"a coding folded into Host":   odd(" Transfer-Encoding: chunked\r\n", lengthLine()),
		"a coding behind a bare CR":   odd("X: a\rTransfer-Encoding: chunked\r\n", lengthLine()),
		"a coding behind a bare LF":   twoWays("X: a\nTransfer-Encoding: chunked\r\n", lengthLine()),
		"a folded length, then two ways": {
			sent: request(secret, fmt.Sprintf("Content-Length:\r\n %d\r\n", len(body)), body) +
				request(secret, codingLine+lengthLine(), chunked()), status: "200", // and the second one is not served
		},
		"a long line with a length, then two ways": {
			sent: request(secret, fmt.Sprintf("Content-Length: %s%d\r\n", strings.Repeat(" ", 2000), len(body)), body) +
				request(secret, codingLine+lengthLine(), chunked()), status: "200",
		},
	}
}

// chunkShapes are bodies in odd chunks.
func chunkShapes() map[string]shape {
	chunks := func(text string) shape {
		return shape{sent: request(secret, codingLine, text), status: "408"}
	}
	slow := func(s shape) shape { s.slow = true; return s }
	first := fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
	extended := func(bytes int) string {
		return fmt.Sprintf("%x;x=%s\r\n%s\r\n0\r\n\r\n", len(body), strings.Repeat("x", bytes), body)
	}
	return map[string]shape{
		"a chunk with an extension":   {sent: request(secret, codingLine, extended(10)), status: "200", served: true},
		"a chunk with a long one":     {sent: request(secret, codingLine, extended(2000)), status: "200"},
		"an extension of 100 KB":      chunks(extended(100000)),
		"a trailer with a length":     {sent: request(secret, codingLine, first+"0\r\nContent-Length: 5\r\n\r\n"), status: "200", served: true},
		"a trailer with a coding":     {sent: request(secret, codingLine, first+"0\r\nTransfer-Encoding: x\r\n\r\n"), status: "200", served: true},
		"trailers of 10 MB":           chunks(first + "0\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 10000)),
		"a chunk of 2 to the 64":      chunks("10000000000000000\r\n" + body),
		"a chunk of -1":               chunks("-1\r\n" + body),
		"a chunk of +5":               chunks("+5\r\nhello\r\n0\r\n\r\n"),
		"a chunk of 0x5":              chunks("0x5\r\nhello\r\n0\r\n\r\n"),
		"a chunk without a size":      chunks("\r\n" + body + "\r\n0\r\n\r\n"),
		"a chunk of NUL":              chunks("\x00\r\n" + body),
		"a chunk longer than it says": chunks("5\r\nhello, you\r\n0\r\n\r\n"),
		"a chunk with a bare LF":      chunks("5\nhello\r\n0\r\n\r\n"),
		"an end with a bare LF":       chunks("5\r\nhello\n0\r\n\r\n"),
		"a chunk that does not come":  slow(chunks("7fffffffffffffff\r\n" + body)),
		"an extension with bare CR":   chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"),
	}
}

// headShapes have odd lines of headers.
func headShapes() map[string]shape {
	odd := func(lines string) shape {
		return shape{sent: request(secret, lengthLine()+lines, body), status: "400", stranger: "400"}
	}
	large := func(lines string) shape {
		return shape{sent: request(secret, lengthLine()+lines, body), status: "431", stranger: "431"}
	}
	right := func(lines string) shape {
		return shape{sent: request(secret, lengthLine()+lines, body), status: "200", served: true}
	}
	return map[string]shape{
		"a folded header":          right("X: a\r\n b\r\n"),
		"a header with ESC":        odd("X: \x1b[2J\r\n"),
		"a header with NUL":        odd("X: \x00\r\n"),
		"a header with a bare CR":  odd("X: a\rb\r\n"),
		"a name with NUL":          odd("X\x00: a\r\n"),
		"a name with a blank":      odd("X Y: a\r\n"),
		"a name that is not ASCII": odd("X\u202e: a\r\n"),
		"a header without a name":  odd(": a\r\n"),
		"a header without a colon": odd("nonsense\r\n"),
		"a second Host":            odd("Host: other\r\n"),
		"a header of 20 KB":        large("X: " + strings.Repeat("x", 22<<10) + "\r\n"),
		"a header of 10 MB":        large("X: " + strings.Repeat("x", 10<<20) + "\r\n"),
		"5000 headers":             large(strings.Repeat("X: y\r\n", 5000)),
		"a path of 100 KB":         large("").withPath(strings.Repeat("x", 100000)),
		"an odd expectation":       {sent: request(secret, lengthLine()+"Expect: nothing\r\n", body), status: "417", stranger: "417"},
		"an expectation":           right("Expect: 100-continue\r\n"),
		"an upgrade to HTTP/2":     right("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
		"NUL in the path":          odd("").withPath("\x00"),
		"ESC in the path":          odd("").withPath("\x1b[2J"),
		"a bare CR for all lines":  {sent: strings.ReplaceAll(request(secret, lengthLine(), body), "\r\n", "\r"), status: "400", stranger: "400"},
		"a lone percent sign":      right("").withPath("/%zz"),
		"an escaped line end":      right("").withPath("/%0d%0aX:%20y"),
		"bytes that are not UTF-8": right("").withPath("/\xff\xfe"),
		"no Host":                  {sent: strings.Replace(request(secret, lengthLine(), body), "Host: h\r\n", "", 1), status: "400", stranger: "400"},
	}
}

// withPath adds something to the path behind the secret.
func (s shape) withPath(more string) shape {
	s.sent = strings.Replace(s.sent, secret, secret+more, 1)
	return s
}

// versionShapes are of odd versions of HTTP.
func versionShapes() map[string]shape {
	version := func(version string) string {
		return strings.Replace(request(secret, lengthLine(), body), "HTTP/1.1", version, 1)
	}
	old := func(lines string) string {
		return strings.Replace(request(secret, lines, body), "HTTP/1.1", "HTTP/1.0", 1)
	}
	return map[string]shape{
		"HTTP/0.9":                     {sent: "GET /\r\n", status: "400"},
		"HTTP/1.0 with a length":       {sent: version("HTTP/1.0"), status: "200"},
		"HTTP/1.0, kept alive":         {sent: old(lengthLine() + "Connection: keep-alive\r\n"), status: "200", served: true},
		"HTTP/1.0 without a length":    {sent: old(""), status: "400"},
		"HTTP/1.0 in chunks":           {sent: strings.Replace(request(secret, codingLine, chunked()), "HTTP/1.1", "HTTP/1.0", 1), status: "400"},
		"HTTP/1.2":                     {sent: version("HTTP/1.2"), status: "200", served: true},
		"HTTP/2.0":                     {sent: version("HTTP/2.0"), status: "505", stranger: "505"},
		"HTTP/2 with prior knowledge":  {sent: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", status: "404"},
		"HTTP/3.0":                     {sent: version("HTTP/3.0"), status: "505", stranger: "505"},
		"http/1.1 in lower case":       {sent: version("http/1.1"), status: "400", stranger: "400"},
		"a version with a long number": {sent: version("HTTP/1.11"), status: "400", stranger: "400"},
		"the PROXY protocol":           {sent: "PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n", status: "400"},
	}
}

// methodShapes are requests that are no pushes.
func methodShapes() map[string]shape {
	method := func(method string) shape {
		return shape{sent: strings.Replace(push(secret, body), "POST", method, 1), status: "405"}
	}
	to := func(target, status string) shape {
		return shape{sent: fmt.Sprintf("GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target), status: status}
	}
	all := map[string]shape{
		"another host's URL":      {sent: strings.Replace(push(secret, body), " /", " http://other/", 1), status: "200", served: true},
		"a probe":                 to("/healthz", "200"),
		"a probe with a body":     {sent: "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\nx", status: "200"},
		"a probe by POST":         {sent: "POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", status: "405"},
		"the root":                to("/", "404"),
		"a path to be cleaned":    to("//v1.0.0/../v1.0.0/messageReceiver", "404"),
		"the callback alone":      to(callbackPath, "401"),
		"an escaped callback":     to("/v1.0.0/message%52eceiver/"+secret, "404"),
		"all of the server":       {sent: "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", status: "404"},
		"a tunnel":                {sent: "CONNECT other:443 HTTP/1.1\r\nHost: h\r\n\r\n", status: "404"},
		"metrics on the callback": to("/metrics", "404"),
	}
	escaped := to("/v1.0.0/message%52eceiver/"+secret, "404")
	escaped.stranger = "404"
	all["an escaped callback"] = escaped
	odd := method("\u202e")
	odd.status, odd.stranger = "400", "400"
	all["an odd method"] = odd
	for _, name := range []string{"GET", "PUT", "DELETE", "TRACE", "BREW"} {
		all["the method "+name] = method(name)
	}
	return all
}
