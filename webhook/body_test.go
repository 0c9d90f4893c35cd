// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestBodyMemory: a body gets as much memory as it needs and no more, in steps where its size was not announced; what
// is larger than may be is read to its end, and only its beginning kept. All of it is given back.
func TestBodyMemory(t *testing.T) {
	cases := map[string]struct {
		size, announced int
		kept, most      int // how much is kept, and the memory that may be taken for it
	}{
		"nothing":                         {0, 0, 0, 4 << 10},
		"nothing, not announced":          {0, -1, 0, 4 << 10},
		"small":                           {1000, 1000, 1000, 4 << 10},
		"small, not announced":            {1000, -1, 1000, 4 << 10},
		"as large as a small one":         {4096, 4096, 4096, 4 << 10},
		"larger":                          {4097, 4097, 4097, 4097},
		"large":                           {60000, 60000, 60000, 60000},
		"larger, not announced":           {5000, -1, 5000, 16 << 10},
		"large, not announced":            {60000, -1, 60000, 64 << 10},
		"as large as may be":              {64 << 10, 64 << 10, 64 << 10, 64 << 10},
		"as large as may, not announced":  {64 << 10, -1, 64 << 10, 64 << 10},
		"too large":                       {64<<10 + 1, 64<<10 + 1, 4096, 4 << 10},
		"too large, not announced":        {64<<10 + 1, -1, 64 << 10, 64 << 10},
		"larger by far":                   {2 << 20, 2 << 20, 4096, 4 << 10},
		"larger by far and not announced": {2 << 20, -1, 64 << 10, 64 << 10},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var m bodyMemory
			sent := strings.Repeat("0123456789abcdef", tc.size/16+1)[:tc.size]
			for range 2 { // the second one gets what the first one gave back
				from := &greed{from: iotest.HalfReader(strings.NewReader(sent))}
				b, err := m.read(from, int64(tc.announced))
				if err != nil {
					t.Fatal(err)
				}
				if string(b.bytes) != sent[:tc.kept] || b.size != int64(tc.size) {
					t.Errorf("kept %d bytes of %d", len(b.bytes), b.size)
				}
				if cap(b.bytes) > tc.most || from.most > tc.most {
					t.Errorf("took %d bytes, and read %d at a time", cap(b.bytes), from.most)
				}
				if lent := m.large.Load(); lent > int64(tc.most+16<<10) || tc.most == smallBodyBytes && lent != 0 {
					t.Errorf("counted %d bytes", lent)
				}
				b.release()
				if lent := m.large.Load(); lent != 0 {
					t.Errorf("%d bytes were not given back", lent)
				}
			}
		})
	}
}

// greed notes how much is read at a time at most.
type greed struct {
	from io.Reader
	most int
}

func (g *greed) Read(p []byte) (int, error) {
	g.most = max(g.most, len(p))
	return g.from.Read(p)
}

// TestBodyMemoryOfWhoBreaksOff: memory is given back however the reading ends, and so is what there was no room for.
func TestBodyMemoryOfWhoBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	for name, announced := range map[string]int64{"announced": 60000, "not announced": -1, "too large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			var m bodyMemory
			b, err := m.read(io.MultiReader(strings.NewReader(strings.Repeat("x", 20000)), iotest.ErrReader(broken)), announced)
			if !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			b.release()
			if lent := m.large.Load(); lent != 0 {
				t.Errorf("%d bytes were not given back", lent)
			}
		})
	}
	var m bodyMemory
	m.large.Store(maxLargeBodies)
	for _, announced := range []int64{60000, -1} {
		b, err := m.read(strings.NewReader(strings.Repeat("x", 60000)), announced)
		if !errors.Is(err, errNoRoom) {
			t.Errorf("announced %d: got %v", announced, err)
		}
		b.release()
	}
	if lent := m.large.Load(); lent != maxLargeBodies {
		t.Errorf("%d bytes were not given back", lent-maxLargeBodies)
	}
}
