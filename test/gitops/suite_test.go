// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitops tests FirmwareUpgrades as tools of GitOps meet them: what they take for ready, how they apply, find
// drift, prune and replace, and the manifests and scripts that we give to people who use them.
package gitops

import (
	"context"
	"errors"
	"flag"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/test/harness"
)

// update writes what is generated from real objects: the test data of the health script, the patch that installs it,
// and the table of the manual.
var update = flag.Bool("update", false, "write the generated files instead of comparing with them")

// operatorNamespace is where results are stored.
const operatorNamespace = "fwupgrade-system"

// What the tests share: an API server, its administrator, and a kubeconfig of his.
var (
	apiServer  *rest.Config
	k8s        client.WithWatch
	kubeconfig string
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(cluster *local.Cluster, dir string) (err error) {
		apiServer, kubeconfig = cluster.Config(), filepath.Join(dir, "kubeconfig")
		if k8s, err = harness.NewClient(cluster); err != nil {
			return err
		}
		return errors.Join(
			cluster.WriteKubeconfig(kubeconfig),
			k8s.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}),
		)
	})
}

// path returns the path of a file of this module.
func path(t *testing.T, elements ...string) string {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	return filepath.Join(append([]string{root}, elements...)...)
}

// kubectl runs the real one as the administrator, and returns what that printed and with which code it ended.
func kubectl(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	output, err := harness.Kubectl(t.Context(), kubeconfig, args...)
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		return output, ended.ExitCode()
	}
	must(t, err)
	return output, 0
}

// mustKubectl runs kubectl and fails the test where that fails.
func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, code := kubectl(t, args...)
	if code != 0 {
		t.Fatalf("kubectl %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// operator says how the operator runs.
type operator struct {
	// ahead is how far its clock is ahead, for what takes a while.
	ahead time.Duration
	// undeclared is what becomes of tasks that nobody declared.
	undeclared string
	// applications says which namespace may claim which application's tasks; nil permits everything.
	applications *applications.Map
}

// aheadClock is ahead of the time.
type aheadClock struct {
	clock.RealClock
	by time.Duration
}

func (c aheadClock) Now() time.Time                  { return c.RealClock.Now().Add(c.by) }
func (c aheadClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// run runs the operator's controllers until the test ends, or until stop is called.
func (o operator) run(t *testing.T) (stop func()) {
	t.Helper()
	scheme, err := harness.NewScheme()
	must(t, err)
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)}, // several tests have an operator each
	})
	must(t, err)
	must(t, controllers.Setup(t.Context(), mgr, controllers.Options{
		Namespace: operatorNamespace, DefaultNamespace: "default", Undeclared: o.undeclared, Applications: o.applications,
		MaxStoredResults: 1_000_000, MaxWritesPerSecond: 150, RetainUnclaimed: 24 * time.Hour, Instance: "test",
		CreationGrace: time.Hour,
		Registerer:    prometheus.NewRegistry(), Clock: aheadClock{by: o.ahead},
	}))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}
