// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	// envLogDir names a folder that gets the output of every manager, a file each, beside where it goes otherwise:
	// `make test` looks for secrets there, with hack/secretcheck.
	envLogDir = "FWUPGRADE_LOG_DIR"
	// keptSecrets is how the names of the files end that list the secrets the processes were given, one a line.
	keptSecrets = ".secrets"
)

// keptOutput is the file that gets what a manager prints.
type keptOutput struct{ file *os.File }

// keepOutput opens that file, and notes which secrets the manager gets by its arguments; nil if nobody asked for it.
func keepOutput(args []string) (*keptOutput, error) {
	dir := os.Getenv(envLogDir)
	if dir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of %s: %w", envLogDir, err)
	}
	file, err := os.CreateTemp(dir, "manager-*.log")
	if err != nil {
		return nil, fmt.Errorf("keep the output of the manager: %w", err)
	}
	secrets := strings.TrimSuffix(file.Name(), ".log") + keptSecrets
	if err := os.WriteFile(secrets, []byte(secretsOf(args)), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("note the secrets of the manager: %w", err), file.Close())
	}
	return &keptOutput{file}, nil
}

// with returns what gets the output: the file, and the writer that got it anyway.
func (k *keptOutput) with(output io.Writer) io.Writer {
	switch {
	case k == nil:
		return output
	case output == nil:
		return k.file
	}
	return io.MultiWriter(output, k.file)
}

func (k *keptOutput) close() error {
	if k == nil {
		return nil
	}
	return k.file.Close()
}

// secretsOf returns the content of the files of secrets that arguments of the manager name. One that can't be read
// holds no secret for the manager either.
func secretsOf(args []string) string {
	var content strings.Builder
	read := func(path string) {
		if text, err := os.ReadFile(path); err == nil {
			content.WriteString(string(text) + "\n")
		}
	}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "--callback-secrets-file":
			read(value)
		case "--applications-file":
			var file struct {
				Applications []struct {
					SecretsFile string `json:"secretsFile"`
				} `json:"applications"`
			}
			text, err := os.ReadFile(value)
			if err != nil || yaml.Unmarshal(text, &file) != nil {
				continue
			}
			for _, application := range file.Applications {
				path := application.SecretsFile
				if !filepath.IsAbs(path) {
					path = filepath.Join(filepath.Dir(value), path)
				}
				if application.SecretsFile != "" {
					read(path)
				}
			}
		}
	}
	return content.String()
}
