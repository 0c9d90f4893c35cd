// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"flag"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"fwupgrade.io/operator/hack/local"
)

// What a busy machine may want to have smaller: counts are asserted, never times.
var (
	rate    = flag.Float64("rate", 800, "notifications a second")
	results = flag.Int("results", 100_000, "results that are stored when memory is measured")
)

// TestNode runs all tests on one node, in this order.
func TestNode(t *testing.T) {
	root, err := local.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if lacks := missing(root); len(lacks) > 0 {
		for _, lack := range lacks {
			t.Log(lack)
		}
		t.Skip("skipped: there is no node")
	}
	log.SetLogger(logr.Discard()) // that of the client, which would complain about its absence
	n, err := startNode(t.Context(), root, os.Getenv(envDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		test func(*testing.T, *node)
	}{
		{"InstallByManifest", testInstallByManifest},
		{"InstallByChart", testInstallByChart},
		{"ProbeTakesStoppedProcessOutOfService", testProbe},
		{"RolloutAndDrainUnderLoad", testRolloutAndDrain},
		{"KilledWebhook", testKilledWebhook},
		{"UnfinishedBodiesFitIntoLimit", testUnfinishedBodies},
		{"OutOfMemoryLosesNothing", testOutOfMemory},
		{"NodeRestart", testNodeRestart},
		{"PolicyAppliedAgainFollowsStore", testPolicyAppliedAgain},
		{"Memory", testMemory},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.test(t, n) }) {
			n.explain(t)
		}
	}
}
