// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// +kubebuilder:rbac:groups=storage.fwupgrade.io,resources=resultstores,verbs=create
// +kubebuilder:rbac:groups=storage.fwupgrade.io,resources=resultstores,resourceNames=fwupgrade,verbs=get
// +kubebuilder:rbac:groups=storage.fwupgrade.io,resources=resultstores/status,resourceNames=fwupgrade,verbs=update

// claimRetry is how long after an attempt to claim the ResultStore that failed the next one is made.
const claimRetry = 2 * time.Second

// ownedElsewhere says that another installation owns the ResultStore.
type ownedElsewhere struct{ owner, namespace string }

func (e *ownedElsewhere) Error() string {
	return fmt.Sprintf("the FirmwareUpgrades of this cluster belong to the installation in namespace %s, so the one "+
		"in namespace %s does not start: uninstall one of them and, to keep this one, stop the other one and run "+
		"kubectl delete resultstore %s", e.owner, e.namespace, storage.ResultStoreName)
}

// Claim creates the ResultStore for the installation in a namespace, or says by an error in one sentence which other
// installation owns it.
func Claim(ctx context.Context, c client.Client, namespace string) error {
	_, err := claim(ctx, c, namespace)
	return err
}

// claim returns the ResultStore, a new one if there is none.
func claim(ctx context.Context, c client.Client, namespace string) (*storage.ResultStore, error) {
	store := &storage.ResultStore{}
	err := c.Get(ctx, client.ObjectKey{Name: storage.ResultStoreName}, store)
	if apierrors.IsNotFound(err) {
		store = &storage.ResultStore{
			ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName},
			Spec:       storage.ResultStoreSpec{Namespace: namespace},
		}
		err = c.Create(ctx, store)
		if apierrors.IsAlreadyExists(err) { // another one came first
			err = c.Get(ctx, client.ObjectKey{Name: storage.ResultStoreName}, store)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("claim ResultStore %s: %w", storage.ResultStoreName, err)
	}
	if store.Spec.Namespace != namespace {
		return nil, &ownedElsewhere{owner: store.Spec.Namespace, namespace: namespace}
	}
	return store, nil
}

// awaitClaim claims the ResultStore. An API server that is away is asked again; another owner is an error.
func (s *Store) awaitClaim(ctx context.Context) error {
	for {
		err := Claim(ctx, s.client, s.options.Namespace)
		if err == nil || isOwnedElsewhere(err) {
			return err
		}
		ctrl.LoggerFrom(ctx).Error(err, "Could not claim the store, will try again")
		select {
		case <-ctx.Done():
			return nil
		case <-s.options.Clock.After(claimRetry):
		}
	}
}

func isOwnedElsewhere(err error) bool {
	var owned *ownedElsewhere
	return errors.As(err, &owned)
}
