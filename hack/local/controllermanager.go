// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// controllers are those of kube-controller-manager that change what the operator sees: deleted namespaces go, owned
// objects are collected, quotas are counted, roles aggregate, and namespaces get their default service account.
const controllers = "namespace-controller,garbage-collector-controller,resourcequota-controller," +
	"clusterrole-aggregation-controller,serviceaccount-controller"

const controllerManagerTimeout = 60 * time.Second

// startControllerManager starts kube-controller-manager and waits until it works: a default service account appears.
func (c *Cluster) startControllerManager(ctx context.Context, further []string) error {
	binary, err := Asset(controllerManagerName)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(c.guard.dir, controllerManagerName+".kubeconfig")
	if err := c.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	log, err := c.openLog(controllerManagerName)
	if err != nil {
		return err
	}
	process, err := StartProcess(controllerManagerName, binary, []string{
		"--kubeconfig=" + kubeconfig,
		"--controllers=" + strings.Join(append([]string{controllers}, further...), ","),
		"--leader-elect=false",
		"--secure-port=0", // serves nothing
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--concurrent-gc-syncs=4",
	}, nil, log, nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.controllerManager = process
	c.mu.Unlock()
	return c.waitForServiceAccount(ctx, process)
}

func (c *Cluster) waitForServiceAccount(ctx context.Context, process *Process) error {
	clients, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, controllerManagerTimeout)
	defer cancel()
	err = wait.PollUntilContextCancel(ctx, readyPollInterval, true, func(ctx context.Context) (bool, error) {
		if err := process.Err(); err != nil {
			return false, err
		}
		_, err := clients.CoreV1().ServiceAccounts(corev1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, nil // until it exists; the deadline ends the wait
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", controllerManagerName, err)
	}
	return nil
}
