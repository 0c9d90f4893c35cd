// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package applications

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// maxFileBytes bounds the file: a ConfigMap can't be larger either.
const maxFileBytes = 1 << 20

// file is the format of the applications file.
type file struct {
	// Applications are the known applications; the others may not be claimed by anybody.
	Applications []application `json:"applications"`
}

// application is an entry of the file.
type application struct {
	// AppID is the platform's id of the application.
	AppID string `json:"appId"`
	// Namespaces may claim the application's tasks.
	Namespaces []string `json:"namespaces"`
	// SecretsFile holds callback secrets that authenticate pushes of this application only, one a line.
	SecretsFile string `json:"secretsFile"`
}

// Load reads an applications file: YAML, at most 1 MiB, keys exactly as documented. The error names the file, the key
// and what to change. Files of secrets are named by it but not read here.
func Load(path string) (*Map, error) {
	content, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("applications file %s: %w", path, err)
	}
	f, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("applications file %s: %w", path, err)
	}
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("applications file %s: %w", path, err)
	}
	return newMap(f, filepath.Dir(path)), nil
}

func readBounded(path string) ([]byte, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", unwrapPath(err))
	}
	defer func() { _ = opened.Close() }()
	content, err := io.ReadAll(io.LimitReader(opened, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", unwrapPath(err))
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes: split the installation or shorten it", maxFileBytes)
	}
	return content, nil
}

// unwrapPath leaves the path out of an error whose message names it already.
func unwrapPath(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// parse is strict: a misspelt key would otherwise silently permit or refuse something. Keys are matched by case.
func parse(content []byte) (*file, error) {
	asJSON, err := yaml.YAMLToJSONStrict(content)
	if err != nil {
		return nil, fmt.Errorf("is not the expected YAML: %w", err)
	}
	f := &file{}
	strict, err := kjson.UnmarshalStrict(asJSON, f)
	if err != nil {
		return nil, wrongType(asJSON, err)
	}
	if len(strict) > 0 {
		return nil, fmt.Errorf("remove or correct the key: %w", errors.Join(strict...))
	}
	return f, nil
}

// wrongType says in the words of YAML which value is not what it has to be.
func wrongType(asJSON []byte, err error) error {
	entries := struct {
		Applications []json.RawMessage `json:"applications"`
	}{}
	if json.Unmarshal(asJSON, &entries) == nil {
		for i, entry := range entries.Applications {
			wrong, ok := errors.AsType[*json.UnmarshalTypeError](json.Unmarshal(entry, &application{}))
			if !ok {
				continue
			}
			if wrong.Field == "" {
				return fmt.Errorf("applications[%d] is a %s: write appId and namespaces there", i, inYAML(wrong.Value))
			}
			if wrong.Type.Kind() == reflect.String && (wrong.Value == "bool" || strings.HasPrefix(wrong.Value, "number")) {
				return fmt.Errorf("applications[%d].%s holds a %s: put it in quotes", i, wrong.Field, wrong.Value)
			}
			return fmt.Errorf("applications[%d].%s holds a %s: see the example in docs/operations.md", i, wrong.Field,
				inYAML(wrong.Value))
		}
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("holds a %s where the list applications is expected: see the example in docs/operations.md",
			inYAML(wrong.Value))
	}
	return fmt.Errorf("is not the expected YAML: %w", err)
}

// inYAML is what people who write YAML call a kind of JSON value.
func inYAML(kind string) string {
	switch kind {
	case "array":
		return "list"
	case "object":
		return "map"
	}
	return kind
}

func (f *file) validate() error {
	if len(f.Applications) == 0 {
		return errors.New("applications: lists none, so nobody could claim anything: add one, or don't pass the file")
	}
	seen := make(map[string]int, len(f.Applications))
	for i, a := range f.Applications {
		at := fmt.Sprintf("applications[%d]", i)
		if err := checkAppID(a.AppID); err != nil {
			return fmt.Errorf("%s.appId: %w", at, err)
		}
		if first, ok := seen[a.AppID]; ok {
			return fmt.Errorf("%s.appId: %q is the appId of applications[%d] already: put all its namespaces there",
				at, a.AppID, first)
		}
		seen[a.AppID] = i
		if err := checkNamespaces(at+".namespaces", a.Namespaces); err != nil {
			return err
		}
	}
	return nil
}

func checkAppID(appID string) error {
	switch {
	case appID == "":
		return errors.New("is missing: set it to the application's id on the platform")
	case len(appID) > storage.MaxIDBytes:
		return fmt.Errorf("is longer than %d bytes: no notification can carry it", storage.MaxIDBytes)
	case strings.TrimSpace(appID) != appID:
		return errors.New("has a blank or a line feed at an end: write it in quotes on one line, not as a block (|)")
	case strings.ContainsFunc(appID, func(r rune) bool { return r == utf8.RuneError || result.IsHidden(r) }):
		return errors.New("holds a control character or an invisible one: no notification can carry it")
	}
	return nil
}

func checkNamespaces(at string, namespaces []string) error {
	if len(namespaces) == 0 {
		return fmt.Errorf("%s: lists none: add the namespaces that may claim the application's tasks", at)
	}
	for i, namespace := range namespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return fmt.Errorf("%s[%d]: %q is no name of a namespace: %s", at, i, namespace, strings.Join(problems, ", "))
		}
		if slices.Contains(namespaces[:i], namespace) {
			return fmt.Errorf("%s[%d]: %q is listed twice: remove one", at, i, namespace)
		}
	}
	return nil
}
