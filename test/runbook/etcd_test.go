// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/hack/local"
)

const (
	etcdQuota   = 48 << 20
	noiseBytes  = 512 << 10
	mostObjects = 2 * etcdQuota / noiseBytes
)

// TestEtcdIsFull fills etcd with what somebody else stores, until it raises its alarm, and mends it.
func TestEtcdIsFull(t *testing.T) {
	w := start(t, local.Options{EtcdArgs: map[string][]string{"quota-backend-bytes": {fmt.Sprint(etcdQuota)}}})
	w.declare(t, upgradeName, operationID, 60)
	w.push(t, operationID, 60, 0.1)
	w.awaitCounts(t, upgradeName, 54, 6)
	w.fillEtcd(t)
	w.awaitAnswer(t, http.StatusServiceUnavailable)

	w.section(t, "Pushes are answered 503").run(t, "Could not store")
	s := w.section(t, "etcd is full")
	s.run(t, "alarm list")
	s.run(t, "keys-only")
	s.run(t, "kind=")
	s.run(t, "delete configmaps")
	if left := w.kubectl(t, "-n", "noise", "get", "configmaps", "-o", "name"); strings.Contains(left, "noise-") {
		t.Errorf("what fills etcd was not removed: %s", left)
	}
	s.run(t, "defrag")
	w.awaitAnswer(t, http.StatusOK)
	s.run(t, "alarm list")
	s.run(t, "verify")
}

// fillEtcd creates ConfigMaps until etcd has no room.
func (w *world) fillEtcd(t *testing.T) {
	t.Helper()
	w.kubectl(t, "create", "namespace", "noise")
	for i := range mostObjects {
		err := w.k8s.Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "noise", Name: fmt.Sprintf("noise-%d", i)},
			Data:       map[string]string{"noise": strings.Repeat("noise", noiseBytes/len("noise"))},
		})
		switch {
		case err == nil:
		case strings.Contains(err.Error(), "database space exceeded"):
			return
		default:
			t.Fatal(err)
		}
	}
	t.Fatalf("etcd took %d objects of %d bytes", mostObjects, noiseBytes)
}
