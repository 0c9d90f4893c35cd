// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"fwupgrade.io/operator/test/wrappers"
)

// A variable of a script that is not set does not select everything.
func TestEmptyFlags(t *testing.T) {
	f := newFleet(t)
	for _, args := range []string{
		"results a --missing-from", "results a --device", "results a --state", "results a --output",
		"results a --operator-namespace", "rejected --since", "rejected list --since", "rejected replay --since",
		"rejected replay --callback-url-file", "rejected replay --callback-ca-file", "campaign --selector",
	} {
		words := strings.Fields(args)
		code, out, errOut := f.run("viewer", append(words, "")...)
		want := "error: " + words[len(words)-1] + " is empty: give it a value, or leave it out\n"
		if code != exitUnknown || out != "" || !strings.HasPrefix(errOut, want) {
			t.Errorf("%s: code %d: %s%s", args, code, out, errOut)
		}
	}
}

// A list of devices that can't be one is not compared.
func TestListOfDevicesIsNone(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).App("app"))
	f.storeSlices(1, reported(f.task(), "d", time.Minute, succeeded, ""))
	var wide []byte // UTF-16, little endian
	for _, unit := range utf16.Encode([]rune("d\r\n")) {
		wide = append(wide, byte(unit), byte(unit>>8)) //nolint:gosec // The lower byte, and the upper one.
	}
	const noText = "is no text in UTF-8: save the list in UTF-8, one id a line"
	path := filepath.Join(t.TempDir(), "devices")
	for name, c := range map[string]struct{ list, want string }{
		"empty":              {"", "it has no ids"},
		"blanks":             {"\ufeff\n \t\r\n", "it has no ids"},
		"UTF-16":             {string(wide), "line 1 " + noText},
		"UTF-16 with a mark": {"\xff\xfe" + string(wide), "line 1 " + noText},
		"NUL":                {"d\nd\x00\n", "line 2 " + noText},
		"Latin-1":            {"d\nz\xe4hler\n", "line 2 " + noText},
	} {
		f.in = c.list
		must(t, os.WriteFile(path, []byte(c.list), 0o600))
		for _, file := range []string{"-", path} {
			code, out, errOut := f.run("reader", "results", "meters", "--missing-from", file)
			if want := "error: read the list of devices: " + c.want + "\n"; code != exitUnknown || out != "" || errOut != want {
				t.Errorf("%s from %s: code %d: %s%s", name, file, code, out, errOut)
			}
		}
	}
}
