// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	testclock "k8s.io/utils/clock/testing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLinesFit(t *testing.T) {
	long := strings.Repeat("wörter ", 30)
	cases := map[string]struct {
		options Options
		print   func(c *Console)
		want    string
	}{
		"a short line": {
			options: Options{Unicode: true},
			print:   func(c *Console) { c.Line("kurz … ✓") },
			want:    "kurz … ✓\n",
		},
		"a long line": {
			options: Options{Unicode: true, Width: 40},
			print:   func(c *Console) { c.Line(long) },
			want:    "wörter wörter wörter wörter wörter wört…\n",
		},
		"a long line in ASCII": {
			options: Options{Width: 40},
			print:   func(c *Console) { c.Line(long) },
			want:    "w?rter w?rter w?rter w?rter w?rter w?...\n",
		},
		"signs in ASCII": {
			print: func(c *Console) { c.Title("A title …"); c.Line("✓ good"); c.Line("错误码") },
			want:  "\n-- A title ...\nok: good\n???\n",
		},
		"a paragraph": {
			options: Options{Unicode: true, Width: 40},
			print:   func(c *Console) { c.Paragraph("Ready   False  "+strings.Repeat("wörter ", 8)+"\nnext", 7) },
			want: "Ready   False  wörter wörter wörter\n       wörter wörter wörter wörter\n" +
				"       wörter\nnext\n",
		},
		"a word without blanks": {
			options: Options{Unicode: true, Width: 40},
			print:   func(c *Console) { c.Paragraph(strings.Repeat("x", 70), 2) },
			want:    strings.Repeat("x", 40) + "\n  " + strings.Repeat("x", 30) + "\n",
		},
		"wider than allowed, narrower than can be read": {
			options: Options{Unicode: true, Width: 5},
			print:   func(c *Console) { c.Line(strings.Repeat("x", 41)) },
			want:    strings.Repeat("x", 39) + "…\n",
		},
		"in colour": {
			options: Options{Unicode: true, Colour: true},
			print:   func(c *Console) { c.Styled(Red, "bad"); c.Styled(Plain, "so so"); c.Line("good") },
			want:    "\x1b[31mbad\x1b[0m\nso so\ngood\n",
		},
		"without colour": {
			options: Options{Unicode: true},
			print:   func(c *Console) { c.Styled(Red, "bad") },
			want:    "bad\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tc.print(New(&out, tc.options))
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("Unexpected output (-want,+got):\n%s", diff)
			}
		})
	}
}

// TestAFileIsNoTerminal holds that nothing moves and nothing is coloured where the output goes to a file.
func TestAFileIsNoTerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	c := For(file)
	play(c)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Live() || bytes.ContainsAny(got, "\r\x1b") {
		t.Errorf("live: %t, printed %q", c.Live(), got)
	}
}

// play prints what a program does that starts two things and counts to ten.
func play(c *Console) {
	next, end := c.Steps()
	next("etcd")
	next("the operator")
	c.Line("a line meanwhile")
	end(false)
	bar := c.Bar(10)
	for n := range 11 {
		bar.Set(n, "counted, of devices with quite a long text behind the bar that is wider than the terminal is")
	}
	c.Line("above the bar")
	bar.End()
	c.Styled(Green, "done")
}

func TestSteps(t *testing.T) {
	var out bytes.Buffer
	play(New(&out, Options{Unicode: true, Clock: standing()}))
	const want = "  etcd  0 s\n  the operator \na line meanwhile\nabove the bar\ndone\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("Unexpected output (-want,+got):\n%s", diff)
	}
}

// standing returns a clock that stands still until it is stepped.
func standing() *testclock.FakeClock { return testclock.NewFakeClock(time.Unix(0, 0)) }

// writes hands over what is written, piece by piece.
type writes chan string

func (w writes) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// TestADotEachSecond holds that something moves where no line can be redrawn.
func TestADotEachSecond(t *testing.T) {
	const pieces = 4
	out, clock := make(writes, pieces), standing()
	end := New(out, Options{Unicode: true, Clock: clock}).Step("etcd")
	got := []string{<-out}
	for range 2 {
		clock.Step(pulse)
		got = append(got, <-out)
	}
	end(true)
	got = append(got, <-out)
	if diff := cmp.Diff([]string{"  etcd ", ".", ".", " 2 s\n"}, got); diff != "" {
		t.Errorf("Unexpected output (-want,+got):\n%s", diff)
	}
}

// TestDotsFit holds that a step that takes long does not make its line wider than the console.
func TestDotsFit(t *testing.T) {
	var out bytes.Buffer
	c := New(&out, Options{Width: minWidth, Clock: standing()})
	end := c.Step("something")
	for n := range 3 * minWidth {
		c.move("something", n, 0)
	}
	end(false)
	want := "  something ....... stopped after 0 s\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("Unexpected output (-want,+got):\n%s", diff)
	}
}

// TestLive holds that on a terminal no line is wider than it, whatever is redrawn, and that what is left at the end is
// what counts.
func TestLive(t *testing.T) {
	for name, o := range map[string]Options{
		"in colour": {Live: true, Colour: true, Unicode: true, Width: 60},
		"in ASCII":  {Live: true, Width: 60},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			o.Clock = standing()
			play(New(&out, o))
			escape := regexp.MustCompile("\x1b\\[[0-9;]*[mK]")
			var left []string
			for line := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\n"), "\n") {
				parts := strings.Split(escape.ReplaceAllString(line, ""), "\r")
				for _, part := range parts {
					if n := len([]rune(part)); n > 60 {
						t.Errorf("%d columns: %q", n, part)
					}
				}
				left = append(left, parts[len(parts)-1])
			}
			want := []string{
				"✓ etcd (0 s)", "a line meanwhile", "✗ the operator (stopped after 0 s)", "above the bar", "done",
			}
			if !o.Unicode {
				want[0], want[2] = "ok: etcd (0 s)", "failed: the operator (stopped after 0 s)"
			}
			if diff := cmp.Diff(want, left); diff != "" {
				t.Errorf("Unexpected end (-want,+got):\n%s", diff)
			}
			if o.Colour != strings.Contains(out.String(), "\x1b[32m") {
				t.Errorf("colour: %q", out.String())
			}
			bar := "[=======================>]"
			if o.Unicode {
				bar = strings.Repeat("█", barWidth)
			}
			if !strings.Contains(out.String(), "100% ") || !strings.Contains(strings.ReplaceAll(out.String(), ">]", "=]"),
				strings.ReplaceAll(bar, ">]", "=]")) {
				t.Errorf("no full bar in %q", out.String())
			}
		})
	}
}
