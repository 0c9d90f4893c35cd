// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What the pods need of their limits, in a table. Only that nothing is killed and that everything is counted is
// asserted.
func testMemory(t *testing.T, n *node) {
	n.kubectl(t, "-n", operatorNamespace, "rollout", "restart", "deployment/"+webhookName, "deployment/"+controllersName)
	n.awaitRollout(t)
	n.awaitAvailable(t)
	pods := append(n.pods(t, "webhook"), n.pods(t, "controllers")...)
	leader := n.leader(t, pods)

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "pod\twhen\tRSS\tits peak\tcgroup's peak\tlimit\t")
	measure := func(when string) {
		for i := range pods {
			fmt.Fprintln(w, memoryRow(t, &pods[i], leader, when))
		}
	}
	time.Sleep(10 * time.Second) // what was needed to start is garbage by now
	measure("idle")

	steady := newPlan(t, "steady", max(1, int(*rate*30)))
	declared := n.declare(t, steady)
	l := startLoad(t, steady, n.callback(t), *rate)
	<-l.done
	measure(fmt.Sprintf("%.0f a second", *rate))
	requireOnly200(t, l, "steady load")
	n.requireCounted(t, declared, l, 0)

	many := newPlan(t, "many", *results)
	declared = n.declare(t, many)
	l = startLoad(t, many, n.callback(t), 0)
	<-l.done
	requireOnly200(t, l, "as fast as it goes")
	n.requireCounted(t, declared, l, 0)
	measure(fmt.Sprintf("%d results more", *results))
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("memory in MiB:\n%s", table.String())
	for i := range pods {
		if again := n.pod(t, pods[i].Name).Status.ContainerStatuses[0]; again.RestartCount > 0 {
			t.Errorf("%s was restarted: %+v", pods[i].Name, again.LastTerminationState.Terminated)
		}
	}
}

func memoryRow(t *testing.T, pod *corev1.Pod, leader, when string) string {
	t.Helper()
	name := pod.Labels["app.kubernetes.io/component"]
	if pod.Name == leader {
		name = "leader"
	}
	pid := process(t, pod)
	most, err := peak(pid)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%s\t", name, when, kibibytes(t, pid, "VmRSS")>>10,
		kibibytes(t, pid, "VmHWM")>>10, most>>20, pod.Spec.Containers[0].Resources.Limits.Memory())
}

// leader waits until one of the pods leads, not one that went, and returns its name.
func (n *node) leader(t *testing.T, pods []corev1.Pod) string {
	t.Helper()
	var leader string
	eventually(t, func() string {
		leases := &coordinationv1.LeaseList{}
		if err := n.client.List(t.Context(), leases, client.InNamespace(operatorNamespace)); err != nil {
			return err.Error()
		}
		for i := range leases.Items {
			for j := range pods {
				holder := leases.Items[i].Spec.HolderIdentity
				if holder != nil && strings.HasPrefix(*holder, pods[j].Name+"_") {
					leader = pods[j].Name
					return ""
				}
			}
		}
		return "none of the pods leads"
	})
	return leader
}
