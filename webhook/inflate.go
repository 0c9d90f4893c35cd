// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/webhook/wire"
)

// contentEncoding returns how a sender says that its body is encoded, in lower case and without blanks; empty if not at
// all. Several codings are joined by commas.
func contentEncoding(header http.Header) string {
	said := strings.Join(strings.Fields(strings.Join(header.Values("Content-Encoding"), ",")), "")
	encoding := strings.ToLower(result.Clean(said, storage.MaxEncodingBytes))
	if encoding == "identity" {
		return ""
	}
	return encoding
}

// inflater decodes bodies that are compressed. It decompresses one at a time, which takes a fraction of a millisecond,
// so that its memory is fixed however many arrive. The zero value is ready.
type inflater struct {
	decoder wire.Decoder

	mu   sync.Mutex
	gzip members
	text bytes.Buffer
}

// decode decodes a body. What it holds goes before what the sender says of it: proxies compress, decompress and drop
// headers. The error says why it can't be used, for people.
func (f *inflater) decode(body []byte, encoding string) (wire.Notification, error) {
	// No JSON begins so.
	if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		return f.inflate(func() (io.Reader, error) { return &f.gzip, f.gzip.open(body) })
	}
	n, err := f.decoder.Decode(body)
	if unusable, ok := errors.AsType[*wire.Unusable](err); encoding == "" || !ok || !unusable.NotJSON {
		return n, err
	}
	switch encoding {
	case "deflate":
		// The standard means zlib's format; many send it without its frame.
		n, err = f.inflate(func() (io.Reader, error) { return zlib.NewReader(bytes.NewReader(body)) })
		if errors.Is(err, zlib.ErrHeader) {
			n, err = f.inflate(func() (io.Reader, error) { return flate.NewReader(bytes.NewReader(body)), nil })
		}
		return n, err
	case "gzip", "x-gzip":
		return n, errors.New("the body is said to be gzip, and is not")
	}
	return n, fmt.Errorf("the body is encoded as %q; only gzip, deflate and identity are read", encoding)
}

// members reads a body of gzip: one member after the other, as the standard has it, and no further where nothing but
// padding follows. What a whole member with the right checksum holds is not lost to what a sender wrote after it.
type members struct {
	reader gzip.Reader
	rest   *bytes.Buffer
}

func (m *members) open(body []byte) error {
	m.rest = bytes.NewBuffer(body)
	return m.next()
}

func (m *members) next() error {
	err := m.reader.Reset(m.rest)
	m.reader.Multistream(false)
	return err
}

// Read implements io.Reader.
func (m *members) Read(p []byte) (int, error) {
	n, err := m.reader.Read(p)
	if errors.Is(err, io.EOF) && len(bytes.TrimLeft(m.rest.Bytes(), "\x00\r\n\t ")) > 0 {
		err = m.next()
	}
	return n, err
}

// inflate decodes what a decompressor reads, which open makes ready.
func (f *inflater) inflate(open func() (io.Reader, error)) (wire.Notification, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	reader, err := open()
	if err == nil {
		f.text.Reset()
		_, err = f.text.ReadFrom(io.LimitReader(reader, maxBodyBytes+1))
	}
	switch {
	case err != nil:
		return wire.Notification{}, fmt.Errorf("the body can't be decompressed: %w", err)
	case f.text.Len() > maxBodyBytes:
		return wire.Notification{}, fmt.Errorf("the decompressed body is larger than %d bytes", maxBodyBytes)
	}
	return f.decoder.Decode(f.text.Bytes())
}
