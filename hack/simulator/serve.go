// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// exitDuplicate is the exit code when two tasks did the same.
const exitDuplicate = 4

// serve plays the platform until the context ends. It returns the exit code.
func serve(ctx context.Context, args []string) (int, error) {
	o, err := parseServe(args)
	if err != nil {
		return exitUsage, err
	}
	server, err := northbound.Start(ctx, o.platform)
	if err != nil {
		return exitUsage, err
	}
	if o.caFile != "" {
		if err := os.WriteFile(o.caFile, server.CA(), 0o644); err != nil {
			return exitUsage, errors.Join(fmt.Errorf("write the authority: %w", err), server.Close())
		}
	}
	fmt.Printf("northbound %s\ncontrol %s\napplication %s\n", server.URL(), server.ControlURL(), server.AppID())
	<-ctx.Done()
	err = server.Close()
	report := server.Report()
	if o.report != "" {
		err = errors.Join(err, writeReport(o.report, report))
	}
	if err != nil {
		return exitUsage, err
	}
	if report.Tasks.Duplicates > 0 {
		fmt.Fprintf(os.Stderr, "simulator: %d tasks did what another one had done\n", report.Tasks.Duplicates)
		return exitDuplicate, nil
	}
	return 0, nil
}

func writeReport(path string, report *northbound.Report) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// secretFrom reads a secret from a file. Where there is no such file, it makes one with a new secret.
func secretFrom(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read a secret: %w", err)
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails, by its documentation
	secret := hex.EncodeToString(random)
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		return "", fmt.Errorf("write a secret: %w", err)
	}
	return secret, nil
}
