// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
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

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
	"fwupgrade.io/operator/test/harness"
)

// operatorNamespace is where the tests of this package store slices: there is one ResultStore in a cluster.
const operatorNamespace = "fwupgrade-system"

// What the tests share: an API server, and its administrator.
var (
	apiServer *rest.Config
	k8s       client.WithWatch
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(cluster *local.Cluster, _ string) (err error) {
		apiServer = cluster.Config()
		if k8s, err = harness.NewClient(cluster); err != nil {
			return err
		}
		return k8s.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}})
	})
}

// storeSlice stores results as the webhook does.
func storeSlice(t *testing.T, results ...result.Result) {
	t.Helper()
	harness.StoreResults(t, k8s, operatorNamespace, results...)
}

// storeOfNewerVersion stores a slice with results of a task of the application "app" which this version can't read.
func storeOfNewerVersion(t *testing.T, operationID string) *storage.ResultSlice {
	t.Helper()
	slice := &storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, GenerateName: "r-"},
		Tables:     result.Pack([]result.Result{reported(operationID, 999, storage.StateSucceeded, "")}),
	}
	slice.Tables[0].Rows = "deviceId,receiveTime,mood\nd,1,good\n"
	if err := k8s.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	return slice
}

// reported is what a device of the application "app" reports now.
func reported(operationID string, device int, state storage.State, desc string) result.Result {
	return result.Result{
		Task: result.Task{AppID: "app", OperationID: operationID}, DeviceID: fmt.Sprintf("d%06d", device),
		ReceivedAt: time.Now().UnixMicro(), ResultFields: storage.ResultFields{State: state, StatusDesc: desc},
	}
}

// startStore runs a store of a leader until the test ends.
func startStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.New(store.Options{
		Client: k8s, Namespace: operatorNamespace, Limit: 1_000_000, RetainRejected: time.Hour, Instance: "test",
		KeepUntil:  func(context.Context, result.Task, time.Time) (time.Time, error) { return time.Time{}, nil },
		LookUp:     func(context.Context, storage.ObjectReference) (bool, bool, error) { return true, true, nil },
		Registerer: prometheus.NewRegistry(), Clock: clock.RealClock{},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Start)
	if err := s.WaitForSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// startControllers runs everything that the leader runs until the test ends, or until stop is called.
func startControllers(t *testing.T, adjust func(*Options)) (stop func()) {
	t.Helper()
	mgr := newManager(t)
	o := Options{
		Namespace: operatorNamespace, DefaultNamespace: "default", Undeclared: UndeclaredAdopt, MaxStoredResults: 1_000_000,
		MaxWritesPerSecond: 150, RetainUnclaimed: 24 * time.Hour, Instance: "test", Registerer: prometheus.NewRegistry(),
		Clock: clock.RealClock{}, CreationGrace: time.Hour,
	}
	if adjust != nil {
		adjust(&o)
	}
	if err := Setup(t.Context(), mgr, o); err != nil {
		t.Fatal(err)
	}
	return run(t, mgr.Start)
}

func newManager(t *testing.T) ctrl.Manager {
	t.Helper()
	scheme, err := harness.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)}, // several tests have a leader each
	})
	if err != nil {
		t.Fatal(err)
	}
	return mgr
}

// run runs until the test ends, or until stop is called.
func run(t *testing.T, start func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- start(ctx) }()
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
