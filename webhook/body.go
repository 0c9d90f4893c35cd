// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// Memory of bodies. What the receiver takes at most, against the 460 MiB of GOMEMLIMIT and the 512 MiB of the container
// in config/webhook/deployment.yaml:
//
//	connections  4,096 x 20 KiB (goroutine, buffers, TLS), estimated                   80 MiB
//	small bodies 4,096 x 4.75 KiB                                                      19 MiB
//	larger ones  maxLargeBodies                                                       128 MiB
//	queue        10,000 x 8 KiB (texts of a result, the beginning of its body)         80 MiB
//	decompression, one at a time: window, tables, the text                            0.3 MiB
//	decoding of what is large or to be repaired, one at a time                        1.7 MiB
//	all else (idle process, slices being written)                                      40 MiB
//
// That is 349 MiB; the rest is for garbage. What a connection takes is estimated: most of it is
// the standard library's.
const (
	// smallBodyBytes is up to how large a body has room in any case: four times the platform's largest notification,
	// so that senders of larger ones, who are few or hostile, cost the platform nothing. It is also what is kept of a
	// body that can't be used.
	smallBodyBytes = storage.MaxRejectedBodyBytes
	// discardedBytes is how much is read at a time of what is thrown away. Together with a small body it is as large
	// as one of the allocator's sizes.
	discardedBytes = 768
	// bodyGrowth is by how much the memory of a body grows whose sender did not announce its size.
	bodyGrowth = 4
	// maxLargeBodies is how many bytes of larger bodies may be under way over all connections: 2,048 bodies of 64 KiB.
	// What is beyond is answered 503 at once.
	maxLargeBodies = 128 << 20
)

// errNoRoom says that too many larger bodies are under way.
var errNoRoom = errors.New("too many large bodies are under way")

// bodyMemory lends memory to bodies. The zero value is ready.
type bodyMemory struct {
	// small are buffers for the next push: smallBodyBytes for its body, discardedBytes for what is thrown away.
	small sync.Pool
	// large is how many bytes are lent to larger bodies.
	large atomic.Int64
}

// body is what a sender sent.
type body struct {
	// bytes are the body or, where it is larger than maxBodyBytes, its beginning: at least smallBodyBytes.
	bytes []byte
	// size is how many bytes were sent or, where these are more than maxDiscardBytes, at least were sent.
	size int64

	memory *bodyMemory
	buffer *[]byte
	lent   int64
}

// read reads a body, of which the sender announced the size or -1. It fails with errNoRoom, or with the error of a
// sender that broke off: a push that was not sent to its end gets no 200. Even then the caller has to release the body.
func (m *bodyMemory) read(from io.Reader, announced int64) (*body, error) {
	b := m.borrow()
	limit := int64(maxBodyBytes)
	switch {
	case announced > maxBodyBytes:
		limit = smallBodyBytes // more of it is of no use
	case announced >= 0:
		limit = announced
		if announced > smallBodyBytes && !b.grow(announced) {
			return b, errNoRoom
		}
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			if int64(cap(b.bytes)) >= limit {
				return b, b.discard(from)
			}
			if !b.grow(min(int64(cap(b.bytes))*bodyGrowth, limit)) {
				return b, errNoRoom
			}
		}
		n, err := from.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		b.size += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

func (m *bodyMemory) borrow() *body {
	buffer, ok := m.small.Get().(*[]byte)
	if !ok {
		buffer = new(make([]byte, smallBodyBytes+discardedBytes))
	}
	return &body{bytes: (*buffer)[:0:smallBodyBytes], memory: m, buffer: buffer}
}

// grow gives the body more memory, unless too much is lent. What it had until now counts until the body is released, as
// it is garbage for a while.
func (b *body) grow(size int64) bool {
	b.lent += size
	if b.memory.large.Add(size) > maxLargeBodies {
		return false
	}
	b.bytes = append(make([]byte, 0, size), b.bytes...)
	return true
}

// discard reads on where there is no more memory: a sender reads the answer only after it has sent the rest. Beyond
// maxDiscardBytes the connection is closed.
func (b *body) discard(from io.Reader) error {
	nowhere := struct{ io.Writer }{io.Discard} // io.Discard itself would bring larger buffers of its own
	n, err := io.CopyBuffer(nowhere, io.LimitReader(from, maxDiscardBytes), (*b.buffer)[smallBodyBytes:])
	b.size += n
	return err
}

// release gives the memory back: the bytes must not be used any more.
func (b *body) release() {
	b.memory.large.Add(-b.lent)
	b.memory.small.Put(b.buffer)
	b.bytes, b.lent = nil, 0
}
