// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package page

import "testing"

func TestMatches(t *testing.T) {
	cases := map[string]struct {
		page, printed string
		want          bool
	}{
		"equal":                     {page: "a\nb\n", printed: "a\nb\n", want: true},
		"another line":              {page: "a\nb\n", printed: "a\nc\n"},
		"a line more":               {page: "a\n", printed: "a\nb\n"},
		"a line less":               {page: "a\nb\n", printed: "a\n"},
		"other columns and times":   {page: "NAME   AGE\nx      9s\n", printed: "NAME  AGE\nx     2m3s \n", want: true},
		"another time of day":       {page: "at 2026-10-26T07:00:00Z\n", printed: "at 2026-10-27T08:11:00Z\n", want: true},
		"a time that is a count":    {page: "9 devices\n", printed: "8 devices\n"},
		"a placeholder in a line":   {page: "a … c\n", printed: "a b b c\n", want: true},
		"and what is behind it":     {page: "a … c\n", printed: "a b b d\n"},
		"a placeholder for lines":   {page: "a\n…\nd\n", printed: "a\nb\nc\nd\n", want: true},
		"a placeholder for nothing": {page: "a\n…\nd\n", printed: "a\nd\n", want: true},
		"signs of patterns":         {page: "a (5) [x] .*\n", printed: "a (5) [x] .*\n", want: true},
		"a sign is no pattern":      {page: "a.c\n", printed: "abc\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Matches(tc.page, tc.printed); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	const good = "## B\nx\n```bash\nls\n```\nIt prints:\n\n```text\na\n```\n\n```console\n$ su\n```\n\n```bash\nid\n```\n"
	blocks, notRun, err := Parse(good)
	if err != nil || len(blocks) != 2 || notRun != 1 {
		t.Fatalf("got %v, %d, %v", blocks, notRun, err)
	}
	want := Block{Line: 3, Section: "B", Commands: "ls\n", Output: "a\n"}
	if blocks[0] != want {
		t.Errorf("got %+v, want %+v", blocks[0], want)
	}
	for name, bad := range map[string]string{
		"another kind":        "```yaml\na\n```\n",
		"an indented fence":   "* a\n\n  ```bash\n  ls\n  ```\n",
		"no kind":             "```\na\n```\n",
		"output alone":        "```text\na\n```\n",
		"output elsewhere":    "```bash\nls\n```\n## C\n```text\na\n```\n",
		"two outputs":         "```bash\nls\n```\n```text\na\n```\n```text\na\n```\n",
		"a block without end": "```bash\na\n",
	} {
		if blocks, _, err := Parse(bad); err == nil {
			t.Errorf("%s: got %v, want an error", name, blocks)
		}
	}
}
