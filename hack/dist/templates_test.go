// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Helm renders every file of the folder: one that is not written any more must go.
func TestStaleTemplatesGo(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "generated")
	stale := filepath.Join(folder, "stale.yaml")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stale, []byte("kind: Role"), 0o600); err != nil {
		t.Fatal(err)
	}
	document := "kind: CustomResourceDefinition\nmetadata:\n  annotations:\n    a: b\n  name: olds.fwupgrade.io"
	if err := writeTemplates(folder, []string{document}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the stale template is still there: %v", err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "crds.yaml"))
	if err != nil || !strings.Contains(string(content), "olds.fwupgrade.io") {
		t.Errorf("%v: %s", err, content)
	}
}
