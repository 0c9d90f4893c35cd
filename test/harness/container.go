// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ContainerArgs are the arguments of the operator's container for a process on this machine: without the addresses,
// which only a pod has for itself, and the components, which local.StartManager sets.
func ContainerArgs(container *corev1.Container, namespace string) []string {
	var args []string
	for _, arg := range container.Args {
		name, _, _ := strings.Cut(arg, "=")
		if strings.HasSuffix(name, "-bind-address") || name == "--components" {
			continue
		}
		args = append(args, strings.ReplaceAll(arg, "$(POD_NAMESPACE)", namespace))
	}
	return args
}

// ContainerEnv are the variables of a container that have a value of their own, as KEY=value.
func ContainerEnv(container *corev1.Container) []string {
	var env []string
	for _, variable := range container.Env {
		if variable.ValueFrom == nil {
			env = append(env, variable.Name+"="+variable.Value)
		}
	}
	return env
}
