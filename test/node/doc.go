// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node tests the operator on a real node: kubelet, containerd, kube-proxy and kube-scheduler beside the control
// plane, the image of `make image`, installed as docs/install.md says. `make e2e-node` runs it, as root, in namespaces
// of its own; without that its tests say what is missing, and are skipped.
package node
