// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hostile attacks the installed operator. The manager's binary runs as the Deployments of config/default have
// it, under their service accounts and against a real control plane. While somebody attacks it, honest senders push.
package hostile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

const (
	// operatorNamespace is the one of config/default.
	operatorNamespace = "fwupgrade-system"
	// wantedFiles is how many files the tests open at most: each connection is one.
	wantedFiles = 12000
)

// What the tests share: a control plane with config/default applied, and its administrator.
var (
	cluster    *local.Cluster
	k8s        client.Client
	kubeconfig string
)

func TestMain(m *testing.M) {
	harness.SkipUnlessSlow("the attacks on the webhook")
	if why := unable(); why != "" {
		fmt.Println("SKIPPED: the attacks on the webhook: " + why)
		os.Exit(0)
	}
	harness.Main(m, local.Options{}, func(c *local.Cluster, dir string) (err error) {
		cluster, kubeconfig = c, filepath.Join(dir, "kubeconfig")
		if k8s, err = harness.NewClient(c); err != nil {
			return err
		}
		if err := c.WriteKubeconfig(kubeconfig); err != nil {
			return err
		}
		return harness.Install(context.Background(), kubeconfig)
	})
}

// unable says why the attacks can't be run on this machine, if they can't.
func unable() string {
	if runtime.GOOS != "linux" {
		return "they need /proc and all of 127.0.0.0/8, which Linux has"
	}
	if err := raiseFileLimit(); err != nil {
		return err.Error()
	}
	return ""
}

// raiseFileLimit lets this process open as many files as the attacks need.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if limit.Cur >= wantedFiles {
		return nil
	}
	limit.Cur, limit.Max = wantedFiles, max(limit.Max, wantedFiles)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("open %d files at a time (ulimit -n): %w", wantedFiles, err)
	}
	return nil
}

// must fails the test if something that it needs went wrong.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
