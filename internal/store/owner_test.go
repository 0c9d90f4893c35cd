// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/harness"
)

// encode is a value as JSON.
func encode(t *testing.T, value any) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The first installation owns the store. A second one is told which, and what to do.
func TestClaim(t *testing.T) {
	withoutStore(t)
	for range 2 {
		if err := Claim(t.Context(), k8s, "one"); err != nil {
			t.Fatal(err)
		}
	}
	err := Claim(t.Context(), k8s, "two")
	if err == nil {
		t.Fatal("a second installation may work")
	}
	for _, want := range []string{"namespace one", "namespace two", "kubectl delete resultstore fwupgrade"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %q", want, err)
		}
	}
}

// startStore runs a store as the manager does, with the real clock.
func startStore(t *testing.T, namespace string, c client.WithWatch) (s *Store, ended chan error) {
	t.Helper()
	s, err := New(Options{
		Client: c, Namespace: namespace, Limit: 1000, RetainRejected: time.Hour, Instance: "test",
		Registerer: prometheus.NewRegistry(), Clock: clock.RealClock{},
		KeepUntil: func(context.Context, result.Task, time.Time) (time.Time, error) { return time.Time{}, nil },
		LookUp:    func(context.Context, storage.ObjectReference) (bool, bool, error) { return true, true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- s.Start(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return s, ended
}

// A running store tells of what arrives and of what is deleted by hand, and ends when another installation takes over.
func TestStart(t *testing.T) {
	withoutStore(t)
	namespace := harness.NewNamespace(t, k8s)
	failures := 1 // of the API server, at the start
	flaky := interceptor.NewClient(k8s, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption,
		) error {
			if failures > 0 {
				failures--
				return errors.New("away")
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})
	s, ended := startStore(t, namespace, flaky)
	watcher := s.Watch()
	await := func(want int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			if _, err := watcher.Next(ctx); err != nil {
				t.Fatal(err)
			}
			if s.Summary(taskNumber(0), tally.Query{}).Reported() == want {
				return
			}
		}
	}
	await(0)
	slice := sharedSlice(0, 1)
	slice.Namespace, slice.Name = namespace, "r-0"
	if err := k8s.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	await(5)
	if got := s.LastReceived(taskNumber(0)).UTC(); got != first {
		t.Errorf("want the last result at %s, got %s", first, got)
	}
	if err := k8s.Delete(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	await(0)
	if tasks := s.Tasks(taskNumber(0).OperationID); len(tasks) != 0 || !s.LastReceived(taskNumber(0)).IsZero() {
		t.Errorf("a task without results is left: %v", tasks)
	}

	second, refused := startStore(t, harness.NewNamespace(t, k8s), k8s)
	if err := <-refused; !isOwnedElsewhere(err) || second.Synced() {
		t.Errorf("a second installation works: %v", err)
	}
	store := &storage.ResultStore{ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}}
	if err := k8s.Delete(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, func() string { // it is created again, unless another one is quicker
		err := Claim(t.Context(), k8s, "another")
		if err == nil {
			return ""
		}
		if err := client.IgnoreNotFound(k8s.Delete(t.Context(), store)); err != nil {
			t.Fatal(err)
		}
		return err.Error()
	})
	if err := <-ended; !isOwnedElsewhere(err) {
		t.Errorf("it ended with %v", err)
	}
}
