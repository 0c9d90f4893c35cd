// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import "testing"

func TestIsUTF8(t *testing.T) {
	cases := map[string]struct {
		env  map[string]string
		want bool
	}{
		"nothing is set":      {},
		"LANG":                {env: map[string]string{"LANG": "en_US.UTF-8"}, want: true},
		"as Debian writes it": {env: map[string]string{"LANG": "C.utf8"}, want: true},
		"C":                   {env: map[string]string{"LANG": "C"}},
		"LC_ALL goes first":   {env: map[string]string{"LC_ALL": "C", "LANG": "en_US.UTF-8"}},
		"an empty one is none": {
			env: map[string]string{"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, want: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := isUTF8(func(name string) string { return tc.env[name] }); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

func TestQuoted(t *testing.T) {
	for word, want := range map[string]string{
		"jane@example.com": "jane@example.com", "a b'c": `'a b'\''c'`, "$(x)": "'$(x)'", "": "''",
	} {
		if got := Quoted(word); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
