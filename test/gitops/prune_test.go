// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"fmt"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// TestPruneLeavesNoPlaceholder holds that what Git does not name any more goes by its label, that no placeholder takes
// its place, and that its results are there for one that is declared anew.
func TestPruneLeavesNoPlaceholder(t *testing.T) {
	operator{undeclared: controllers.UndeclaredAdopt}.run(t)
	ns := harness.NewNamespace(t, k8s)
	operation := "prune-" + ns
	file := inGit(t, fmt.Sprintf(manifest, ns, "canary", operation))
	apply(t, file)
	storeResults(t, devices(operation, 3, 0)...)
	await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))

	mustKubectl(t, "-n", ns, "delete", "fwu", "-l", waveLabel+"=wave-1", "--timeout=30s")
	harness.AwaitReleased(t, k8s, operatorNamespace, operation)
	checkNoPlaceholder(t, operation)

	apply(t, file)
	fwu := await(t, ns, "canary", hasReason(v1alpha1.ReasonSucceeded))
	if problem := wantSucceeded(fwu, 3); problem != "" {
		t.Error(problem)
	}
}

// TestRenameIsQuiet holds that one that gets another name by one apply, the new one before the old one is pruned, ends
// Ready with all counts, without a Warning.
func TestRenameIsQuiet(t *testing.T) {
	operator{undeclared: controllers.UndeclaredAdopt}.run(t)
	ns := harness.NewNamespace(t, k8s)
	operation := "rename-" + ns
	apply(t, inGit(t, fmt.Sprintf(manifest, ns, "old", operation)))
	storeResults(t, devices(operation, 3, 0)...)
	old := await(t, ns, "old", hasReason(v1alpha1.ReasonSucceeded))
	harness.Eventually(t, func() string { // creation times have seconds
		if time.Since(old.CreationTimestamp.Time) < 2*time.Second {
			return "the new one would not be younger"
		}
		return ""
	})

	apply(t, inGit(t, fmt.Sprintf(manifest, ns, "new", operation)))
	await(t, ns, "new", hasReason(v1alpha1.ReasonAwaitingTask))
	mustKubectl(t, "-n", ns, "delete", "fwu/old", "--timeout=30s")
	anew := await(t, ns, "new", func(fwu *v1alpha1.FirmwareUpgrade) string {
		if problem := hasReason(v1alpha1.ReasonSucceeded)(fwu); problem != "" {
			return problem
		}
		return isQuiet(fwu)
	})
	if problem := wantSucceeded(anew, 3); problem != "" {
		t.Error(problem)
	}
	checkNoWarnings(t, anew)
	checkNoPlaceholder(t, operation)
}

// checkNoWarnings holds that there are Events about an object, and that none is a Warning.
func checkNoWarnings(t *testing.T, fwu *v1alpha1.FirmwareUpgrade) {
	t.Helper()
	list := &eventsv1.EventList{}
	must(t, k8s.List(t.Context(), list, client.InNamespace(fwu.Namespace)))
	about := 0
	for _, e := range list.Items {
		if e.Regarding.UID != fwu.UID {
			continue
		}
		about++
		if e.Type != "Normal" {
			t.Errorf("%s %s: %s", e.Type, e.Reason, e.Note)
		}
	}
	if about == 0 {
		t.Error("there are no Events about it")
	}
}

// checkNoPlaceholder holds that a task has no placeholder, once a task that nobody declared has got one.
func checkNoPlaceholder(t *testing.T, operation string) {
	t.Helper()
	stranger := fmt.Sprintf("stranger-%d", time.Now().UnixNano())
	storeResults(t, devices(stranger, 1, 0)...)
	name := claim.PlaceholderName(result.Task{AppID: "app", OperationID: stranger})
	await(t, "default", name, func(*v1alpha1.FirmwareUpgrade) string { return "" })
	list := &v1alpha1.FirmwareUpgradeList{}
	must(t, k8s.List(t.Context(), list))
	for _, fwu := range list.Items {
		if fwu.Spec.Placeholder && fwu.Spec.OperationID == operation {
			t.Errorf("there is the placeholder %s/%s", fwu.Namespace, fwu.Name)
		}
	}
}
