// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"
)

// framing follows where in the bytes of a connection requests and their bodies begin and end. It takes them as the HTTP
// server does; where that is in doubt, the rest of the connection is passed on as it is, and the server decides alone.
type framing struct {
	// left is how many bytes are to be passed on until the next line.
	left int64
	part framingPart
	// within is whether the line before was passed on in part.
	within bool

	// begun is whether there was a line of the present head; empty ones before it are allowed. headers is whether another
	// one followed.
	begun, headers bool
	// old is whether the request is of HTTP/1.0, odd whether the server is going to refuse it, proxied whether it is no
	// request but the beginning of the PROXY protocol.
	old, odd, proxied bool
	// length and coding are whether there was a Content-Length, and a Transfer-Encoding; bytes is the former.
	length, coding bool
	bytes          int64

	// ambiguous is whether the last head gave the length of the body in two ways. RFC 9112, 6.3: the connection is closed
	// after such a request, since a proxy on the way may have read another one.
	ambiguous bool
	// lost is whether the rest of the connection is passed on as it is. Of the requests after that nothing is known, so
	// the connection is closed after this one.
	lost bool
	// unframed is whether the last head gave no length that HTTP/1.0 knows: where it is of that version, the server takes
	// the body for an empty one.
	unframed bool
}

// framingPart is what the next line is of.
type framingPart int

const (
	partHead framingPart = iota
	partChunk
	partTrailer
)

// see looks at a line, or a part of it, and changes one that only says that the body is as it is. whole is whether a
// line of a Transfer-Encoding is known not to be continued in the next one.
func (f *framing) see(line []byte, whole bool) {
	first := !f.within
	f.within = line[len(line)-1] != '\n'
	text := bytes.TrimRight(line, "\r\n")
	switch {
	case !first:
		if f.part == partHead && !f.headers {
			withoutLonePercent(line)
		}
	case f.part == partChunk:
		f.chunk(text)
	case len(text) == 0 && f.part == partTrailer:
		f.part = partHead
	case len(text) == 0 && f.begun:
		f.endOfHead()
	case len(text) > 0 && f.part == partHead:
		switch {
		case !f.begun:
			withoutLonePercent(line)
		case whole && !f.within:
			withoutIdentity(line)
		}
		f.headLine(text)
	}
}

// headLine looks at a line of the head.
func (f *framing) headLine(text []byte) {
	if !f.begun {
		f.begun = true
		f.old = !bytes.HasSuffix(text, []byte("HTTP/1.1"))
		f.proxied = bytes.HasPrefix(text, []byte("PROXY "))
		return
	}
	f.headers = true
	name, value, _ := bytes.Cut(text, []byte(":"))
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 63)
		f.odd = f.odd || err != nil || f.within || f.length && int64(n) != f.bytes
		f.length, f.bytes = true, int64(n)
	case bytes.EqualFold(name, []byte(codingField)):
		f.odd = f.odd || f.coding || f.within || !bytes.EqualFold(value, []byte("chunked"))
		f.coding = true
	}
}

// endOfHead decides what follows the head.
func (f *framing) endOfHead() {
	next := framing{ambiguous: f.length && f.coding, unframed: f.coding || !f.length}
	switch {
	case f.odd, f.coding && f.old:
		next.giveUp()
	case f.coding:
		next.part = partChunk
	default:
		next.left = f.bytes
	}
	*f = next
}

// chunk looks at the line that begins a chunk.
func (f *framing) chunk(text []byte) {
	digits, _, _ := bytes.Cut(text, []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 62)
	switch {
	case err != nil || f.within:
		f.giveUp()
	case n == 0:
		f.part = partTrailer
	default:
		f.left = int64(n) + int64(len("\r\n"))
	}
}

// giveUp passes the rest of the connection on as it is.
func (f *framing) giveUp() { f.left, f.lost = math.MaxInt64, true }

// codingField is the name of the header by which a body says how it is sent.
const codingField = "Transfer-Encoding"

// mayHoldCoding says whether a line is one of a Transfer-Encoding.
func mayHoldCoding(line []byte) bool {
	return len(line) > len(codingField) && line[len(codingField)] == ':' &&
		bytes.EqualFold(line[:len(codingField)], []byte(codingField))
}

// withoutIdentity takes what is no coding out of a Transfer-Encoding, within its bytes: an empty one, and "identity",
// which was dropped from HTTP and which old senders still name. The server answers both 501, which costs the push.
func withoutIdentity(line []byte) {
	value := bytes.TrimRight(line[len(codingField)+1:], "\r\n")
	var kept [][]byte
	dropped := false
	for coding := range bytes.SplitSeq(value, []byte(",")) {
		coding = bytes.TrimSpace(coding)
		name, _, _ := bytes.Cut(coding, []byte(";"))
		name = bytes.TrimSpace(name)
		if len(name) == 0 || bytes.EqualFold(name, []byte("identity")) {
			dropped = true
			continue
		}
		kept = append(kept, coding)
	}
	switch {
	case !dropped:
	case len(kept) == 0:
		line[0] = 'X' // a header that means nothing
	default:
		rest := bytes.Join(kept, []byte(","))
		n := copy(value, rest)
		copy(value[n:], bytes.Repeat([]byte(" "), len(value)-n))
	}
}

// withoutLonePercent replaces each percent sign of a request line that escapes nothing, within its bytes. The server
// answers such a line 400, even where it stands after the secret and says nothing. In its place comes a character that
// neither a secret nor a callback path may hold, so that it makes none right. One at the end of a part of a line is
// replaced in any case, since none of a secret or a callback path escapes anything.
func withoutLonePercent(line []byte) {
	for i, c := range line {
		if c != '%' {
			continue
		}
		if n, err := hex.Decode(make([]byte, 1), line[i+1:min(i+3, len(line))]); n == 0 || err != nil {
			line[i] = '!'
		}
	}
}

// stage says, for people, in what of a request the server was when it gave it up.
func (f *framing) stage() string {
	switch {
	case f.proxied:
		return hintProxyProtocol
	case f.begun && !f.headers:
		return "the request line can't be read"
	case f.begun:
		return "a header line can't be read"
	}
	return "Content-Length or Host can't be read, or stands there several times"
}
