// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// The secretcheck command looks for secrets in what the tests and the processes that they started printed: `make test`
// keeps all of it in a folder. It ends with 1 if there is one, and says where, and not what.
//
// It knows the secrets that managers were given (hack/local notes them), those in the code of the tests, and those that
// have a shape: a callback's URL with a secret, the token of a service account, a private key.
package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fwupgrade.io/operator/hack/local"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: secretcheck <folder>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "secretcheck:", err)
		os.Exit(1)
	}
}

func run(folder string, out io.Writer) error {
	root, err := local.ModuleRoot()
	if err != nil {
		return err
	}
	known, err := secretsInCode(root)
	if err != nil {
		return err
	}
	given, err := secretsGiven(folder)
	if err != nil {
		return err
	}
	found, files, err := check(folder, newFinder(append(known, given...)))
	if err != nil {
		return err
	}
	for _, f := range found {
		fmt.Fprintln(out, f)
	}
	switch {
	case len(found) > 0:
		return fmt.Errorf("%d lines with a secret in what was printed", len(found))
	case files == 0:
		return fmt.Errorf("there is no output in %s", folder)
	}
	fmt.Fprintf(out, "secretcheck: no secret in the output of %d processes; looked for %d, and for what looks like one\n",
		files, len(known)+len(given))
	return nil
}

// check looks through all files of the folder, but for those that list secrets.
func check(folder string, f *finder) (found []string, files int, err error) {
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, givenSuffix) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		number := 0
		for line := range strings.Lines(string(content)) {
			number++
			if what := f.find(line); what != "" {
				found = append(found, fmt.Sprintf("%s:%d: %s", path, number, what))
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read what was printed: %w", err)
	}
	return found, files, nil
}
