// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/creation"
)

// Fields by which the cache finds records: those of a request, and the intents that were for a FirmwareUpgrade, by its
// UID.
const (
	fieldRequestHash = "spec.requestHash"
	fieldIntentFor   = "spec.intent.for.uid"
)

// +kubebuilder:rbac:groups=storage.fwupgrade.io,resources=firmwareupgradetaskrecords,verbs=list;watch;create;delete,namespace=system

// taskLedger keeps the records of created tasks as FirmwareUpgradeTaskRecords in the operator's namespace.
type taskLedger struct {
	// cached reads what the cache has, direct what is stored.
	cached    client.Reader
	direct    client.Reader
	writer    client.Writer
	namespace string
}

// recordCache is a manager's cache of records, which the operator may read in its own namespace alone.
type recordCache struct{ cache.Cache }

// GetCache has the manager start it with its own cache, before anything that reads it.
func (c recordCache) GetCache() cache.Cache { return c.Cache }

func newRecordCache(ctx context.Context, mgr ctrl.Manager, namespace string) (cache.Cache, error) {
	// It is made without asking the API server, which may be away yet: cache.Options.ByObject asks it.
	records, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		DefaultNamespaces: map[string]cache.Config{namespace: {}}, DefaultTransform: cache.TransformStripManagedFields(),
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of records: %w", err)
	}
	if err := mgr.Add(recordCache{records}); err != nil {
		return nil, fmt.Errorf("add the cache of records: %w", err)
	}
	return records, indexRecords(ctx, records)
}

// indexRecords lets the cache find records by these fields.
func indexRecords(ctx context.Context, indexer client.FieldIndexer) error {
	for field, value := range map[string]func(*creation.Record) string{
		fieldRequestHash: func(r *creation.Record) string { return r.RequestHash },
		fieldIntentFor: func(r *creation.Record) string {
			if r.Intent == nil {
				return ""
			}
			return r.Intent.For.UID
		},
	} {
		err := indexer.IndexField(ctx, &storage.FirmwareUpgradeTaskRecord{}, field, func(o client.Object) []string {
			if r, ok := o.(*storage.FirmwareUpgradeTaskRecord); ok && value(&r.Spec) != "" {
				return []string{value(&r.Spec)}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("index FirmwareUpgradeTaskRecords by %s: %w", field, err)
		}
	}
	return nil
}

// Cached implements creation.Ledger.
func (l *taskLedger) Cached(requestHash string) ([]creation.Record, error) {
	list := &storage.FirmwareUpgradeTaskRecordList{}
	err := l.cached.List(context.Background(), list, client.InNamespace(l.namespace),
		client.MatchingFields{fieldRequestHash: requestHash})
	if err != nil {
		return nil, fmt.Errorf("list the cached records of tasks: %w", err)
	}
	return recordsOf(list), nil
}

// All implements creation.Ledger. Without a resourceVersion the API server asks etcd.
func (l *taskLedger) All(ctx context.Context) ([]creation.Record, error) {
	list := &storage.FirmwareUpgradeTaskRecordList{}
	if err := l.direct.List(ctx, list, client.InNamespace(l.namespace)); err != nil {
		return nil, fmt.Errorf("list the records of tasks: %w", err)
	}
	return recordsOf(list), nil
}

func recordsOf(list *storage.FirmwareUpgradeTaskRecordList) []creation.Record {
	records := make([]creation.Record, len(list.Items))
	for i := range list.Items {
		records[i] = list.Items[i].Spec
	}
	return records
}

// Get implements creation.Ledger. The record is listed by its name, as the operator may list them anyway.
func (l *taskLedger) Get(ctx context.Context, name string) (*creation.Record, error) {
	list := &storage.FirmwareUpgradeTaskRecordList{}
	err := l.direct.List(ctx, list, client.InNamespace(l.namespace), client.MatchingFields{"metadata.name": name})
	if err != nil {
		return nil, fmt.Errorf("get the record %s: %w", name, err)
	}
	if len(list.Items) == 0 {
		return nil, creation.ErrNotFound
	}
	return &list.Items[0].Spec, nil
}

// Create implements creation.Ledger.
func (l *taskLedger) Create(ctx context.Context, r *creation.Record) error {
	err := l.writer.Create(ctx, &storage.FirmwareUpgradeTaskRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: creation.Name(r)}, Spec: *r,
	})
	if apierrors.IsAlreadyExists(err) {
		return creation.ErrExists
	}
	if err != nil {
		return fmt.Errorf("store the record %s: %w", creation.Name(r), err)
	}
	return nil
}
