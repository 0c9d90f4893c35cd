// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plantedSecret is one that the tests of this command plant; the check itself finds it in the code.
const plantedSecret = "a-secret-that-is-planted"

// everyByte percent-encodes all of a text, letters too.
func everyByte(text string) string {
	var out strings.Builder
	for i := range len(text) {
		fmt.Fprintf(&out, "%%%02x", text[i])
	}
	return out.String()
}

// A planted secret is found in every form, and what was found is not printed.
func TestPlantedSecretsAreFound(t *testing.T) {
	const path = "/v1.0.0/messageReceiver/"
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	token := part(`{"alg":"RS256","kid":"1"}`) + "." + part(`{"iss":"kubernetes"}`) + "." + part("a signature of it")
	key := "-----BEGIN " + "EC PRIVATE KEY-----"
	quoted, err := json.Marshal(map[string]string{"url": "https://h" + path + "given-by-nobody-knows&x"})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"in code":                        "it was " + plantedSecret + ".",
		"given to a process":             "msg=given-to-a-process",
		"percent-encoded":                "path=" + url.PathEscape(path+plantedSecret),
		"percent-encoded, every byte":    everyByte(plantedSecret),
		"percent-encoded twice":          url.PathEscape(everyByte(plantedSecret)),
		"in JSON":                        strings.ReplaceAll(plantedSecret, "-", `\u002d`),
		"in base64":                      "data: " + base64.StdEncoding.EncodeToString([]byte(plantedSecret+"\n")),
		"in base64, behind a byte":       base64.StdEncoding.EncodeToString([]byte("/" + plantedSecret + "?x")),
		"in base64, behind two bytes":    base64.StdEncoding.EncodeToString([]byte("s:" + plantedSecret)),
		"an unknown one in the URL":      "POST " + path + "0123456789abcdef",
		"an unknown one in JSON":         string(quoted),
		"an unknown one, slash encoded":  "/v1.0.0/messageReceiver%2F0123456789abcdef",
		"a token of a service account":   "Authorization: Bearer " + token,
		"a private key":                  key,
		"a private key in base64":        "client-key-data: " + base64.StdEncoding.EncodeToString([]byte(key+"\nMHcC")),
		"a key in base64, behind a byte": base64.StdEncoding.EncodeToString([]byte("\n" + key + "\nMHcC")),
		"a key in base64, behind two":    base64.StdEncoding.EncodeToString([]byte("\r\n" + key + "\nMHcC")),
		"a private key, escaped as JSON": strings.ReplaceAll(key, " ", `\u0020`),
	}
	for name, line := range cases {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, "manager-1.secrets", "given-to-a-process\n")
			write(t, folder, "manager-1.log", "begin\n"+line+"\nend\n")
			var out strings.Builder
			err := run(folder, &out)
			if err == nil || !strings.Contains(out.String(), "manager-1.log:2: ") {
				t.Fatalf("not found: %v, %s", err, out.String())
			}
			if strings.Contains(out.String(), line) || strings.Contains(out.String(), plantedSecret) {
				t.Errorf("it prints what it found: %s", out.String())
			}
		})
	}
}

// What is no secret is none.
func TestNothingIsFound(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "test.log", strings.Join([]string{
		"ok  \tfwupgrade.io/operator/webhook\t1.2s",
		`{"level":"info","msg":"Listening","callbackPath":"/v1.0.0/messageReceiver","secret":"5f2c9e10"}`,
		"POST /v1.0.0/messageReceiver/<secret>", "https://host/v1.0.0/messageReceiver/", "-----BEGIN CERTIFICATE-----",
		"100%2 %zz \\u00", "eyJhbGciOiJSUzI1NiJ9 alone",
	}, "\n"))
	var out strings.Builder
	if err := run(folder, &out); err != nil {
		t.Errorf("%v: %s", err, out.String())
	}
}

// A folder without output is no proof.
func TestNoOutputIsNoProof(t *testing.T) {
	if err := run(t.TempDir(), &strings.Builder{}); err == nil {
		t.Error("nothing was looked at, and that is fine")
	}
}

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
