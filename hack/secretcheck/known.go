// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// givenSuffix is how files end that list the secrets a process was given: see hack/local.
	givenSuffix = ".secrets"
	// shortest is how long a secret has to be: a word such as "x" is in every output.
	shortest = 8
)

// secretsGiven returns the secrets that processes were given.
func secretsGiven(folder string) (secrets []string, err error) {
	lists, err := filepath.Glob(filepath.Join(folder, "*"+givenSuffix))
	if err != nil {
		return nil, fmt.Errorf("look for lists of secrets: %w", err)
	}
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			return nil, fmt.Errorf("read the secrets of a process: %w", err)
		}
		secrets = append(secrets, long(strings.Fields(string(content)))...)
	}
	return secrets, nil
}

// secretsInCode returns the strings in tests whose name ends in "secret".
func secretsInCode(root string) (secrets []string, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "bin" || strings.HasPrefix(entry.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			for i := 0; ok && i < len(spec.Names) && i < len(spec.Values); i++ {
				literal, ok := spec.Values[i].(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING || !strings.HasSuffix(strings.ToLower(spec.Names[i].Name), "secret") {
					continue
				}
				if text, err := strconv.Unquote(literal.Value); err == nil {
					secrets = append(secrets, text)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for secrets in the tests: %w", err)
	}
	return long(secrets), nil
}

// long returns what is long enough for a secret.
func long(words []string) (secrets []string) {
	for _, word := range words {
		if len(word) >= shortest {
			secrets = append(secrets, word)
		}
	}
	return secrets
}
