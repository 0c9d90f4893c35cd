// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

func killAPIServer(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	defer s.outage(time.Now())
	err := s.cluster.KillAPIServer()
	sleep(ctx, f.lasts)
	return errors.Join(err, s.cluster.RestartAPIServer())
}

func stopAPIServer(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	defer s.outage(time.Now())
	return stop(ctx, s.cluster.SignalAPIServer, f.lasts)
}

// slowAPIServer lets it run a quarter of the time.
func slowAPIServer(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	var errs []error
	for end := time.Now().Add(f.lasts); time.Now().Before(end) && ctx.Err() == nil && len(errs) == 0; {
		if err := stop(ctx, s.cluster.SignalAPIServer, 150*time.Millisecond); err != nil {
			errs = append(errs, err)
		}
		sleep(ctx, 50*time.Millisecond)
	}
	return errors.Join(errs...)
}

func killEtcd(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	defer s.outage(time.Now())
	err := s.cluster.KillEtcd()
	sleep(ctx, f.lasts)
	return errors.Join(err, s.cluster.RestartEtcd(), s.answering())
}

func stopEtcd(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	defer s.outage(time.Now())
	err := stop(ctx, s.cluster.SignalEtcd, f.lasts)
	return errors.Join(err, s.answering())
}

// healing bounds how long healing may take.
const healing = 2 * time.Minute

// answering waits until the API server writes.
func (s *system) answering() error {
	ctx, cancel := context.WithTimeout(context.Background(), healing)
	defer cancel()
	return insist(ctx, func(ctx context.Context) error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "probe-"}}
		if err := s.api.Create(ctx, object); err != nil {
			return err
		}
		return s.api.Delete(ctx, object)
	})
}

const (
	ballastBytes = 1000 << 10
	// filling bounds how long ballast is written: where the disk is slow, etcd is not full then.
	filling = 20 * time.Second
)

// The keys of the ballast, beside those of the API server.
const ballastFrom, ballastTo = "/ballast/", "/ballast0"

// fillEtcd writes until etcd's quota is reached, so that it takes nothing but deletions. It is healed as an
// administrator would: the ballast is deleted, what etcd holds of the past is compacted, the file is defragmented, and
// the alarm is disarmed.
func fillEtcd(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	began := time.Now()
	writing, cancel := context.WithTimeout(ctx, filling)
	defer cancel()
	var full atomic.Bool
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			if s.writeBallast(writing, writer) {
				full.Store(true)
				cancel()
			}
		})
	}
	writers.Wait()
	if full.Load() {
		defer s.outage(began)
		sleep(ctx, f.lasts)
	}
	healed, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing)
	defer cancel()
	if err := errors.Join(s.drain(healed), s.answering()); err != nil || full.Load() {
		return err
	}
	return errNothing
}

// writeBallast writes until etcd is full, and says whether it is.
func (s *system) writeBallast(ctx context.Context, writer int) bool {
	value := bytes.Repeat([]byte("x"), ballastBytes)
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Appendf(nil, "%s%d-%d", ballastFrom, writer, i)
		err := s.etcd(ctx, "/v3/kv/put", map[string]any{"key": key, "value": value}, nil)
		if err != nil && strings.Contains(err.Error(), "database space exceeded") {
			return true
		}
	}
	return false
}

// drain makes etcd take writes again.
func (s *system) drain(ctx context.Context) error {
	var deleted struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	ballast := map[string]any{"key": []byte(ballastFrom), "range_end": []byte(ballastTo)}
	if err := s.etcd(ctx, "/v3/kv/deleterange", ballast, &deleted); err != nil {
		return err
	}
	past := map[string]any{"revision": deleted.Header.Revision, "physical": true}
	if err := s.etcd(ctx, "/v3/kv/compaction", past, nil); err != nil {
		return err
	}
	if err := s.etcd(ctx, "/v3/maintenance/defragment", map[string]any{}, nil); err != nil {
		return err
	}
	var raised struct {
		Alarms []map[string]any `json:"alarms"`
	}
	if err := s.etcd(ctx, "/v3/maintenance/alarm", map[string]any{"action": "GET"}, &raised); err != nil {
		return err
	}
	for _, alarm := range raised.Alarms { // each names its member
		alarm["action"] = "DEACTIVATE"
		if err := s.etcd(ctx, "/v3/maintenance/alarm", alarm, nil); err != nil {
			return err
		}
	}
	return nil
}

// etcd calls etcd by its JSON gateway.
func (s *system) etcd(ctx context.Context, path string, body, answer any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode a request to etcd: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cluster.EtcdURL()+path, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("make a request to etcd: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask etcd: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("etcd answered %s to %s: %s", response.Status, path, text), err)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(text, answer)
}

// fillStore lowers the limit of stored results until the store is full, and raises it again.
func fillStore(ctx context.Context, s *system, f fault, _ *rand.Rand) error {
	limited := func(ctx context.Context, extra ...string) error {
		for _, slot := range s.controllers {
			if err := slot.restart(ctx, extra...); err != nil {
				return err
			}
		}
		return nil
	}
	if err := limited(ctx, "--max-stored-results=10"); err != nil {
		return err
	}
	full := false
	for i := 0; i < 60 && !full && sleep(ctx, time.Second); i++ {
		store := &storage.ResultStore{}
		err := s.api.Get(ctx, client.ObjectKey{Name: storage.ResultStoreName}, store)
		full = err == nil && store.Status.State == storage.StoreFull
	}
	if full {
		defer s.outage(time.Now().Add(-2 * time.Second)) // it has been full since the look before
		sleep(ctx, f.lasts)
	}
	healed, cancel := context.WithTimeout(context.WithoutCancel(ctx), healing)
	defer cancel()
	if err := limited(healed); err != nil {
		return err
	}
	err := insist(healed, func(ctx context.Context) error {
		store := &storage.ResultStore{}
		if err := s.api.Get(ctx, client.ObjectKey{Name: storage.ResultStoreName}, store); err != nil {
			return err
		}
		if store.Status.State == storage.StoreFull {
			return errors.New("the store is still full")
		}
		return nil
	})
	if err != nil || full {
		return err
	}
	return errNothing
}
