// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ResultStoreName is the name of the one ResultStore of a cluster.
const ResultStoreName = "fwupgrade"

// ResultStore says what the store of results is: which installation of the operator owns it, and with it the
// FirmwareUpgrades of the cluster, how much is stored, and whether more can be. There is one in a cluster. The
// installation that creates it owns it; another one refuses to work while it exists.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=resultstores,shortName=fwstore,scope=Cluster,categories=fwupgrade
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'fwupgrade'",message="there is one ResultStore, and its name is fwupgrade"
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=.spec.namespace
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=.status.state
// +kubebuilder:printcolumn:name="Load",type=integer,JSONPath=.status.load
// +kubebuilder:printcolumn:name="Limit",type=integer,JSONPath=.status.limit
// +kubebuilder:printcolumn:name="Results",type=integer,JSONPath=.status.results
// +kubebuilder:printcolumn:name="Rejected",type=integer,JSONPath=.status.rejected
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="Slices",type=integer,JSONPath=.status.slices,priority=1
type ResultStore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says whose the store is.
	// +required
	Spec ResultStoreSpec `json:"spec"`

	// status says how much is stored. Written by the leader of the owning installation.
	// +optional
	Status ResultStoreStatus `json:"status,omitzero"`
}

// ResultStoreSpec says whose the store is.
type ResultStoreSpec struct {
	// namespace is where the owning installation of the operator runs and keeps its ResultSlices. Immutable: to move an
	// installation, delete the ResultStore while no operator runs; slices are not deleted with it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="namespace is immutable: to move the installation, stop the operator and delete the ResultStore"
	Namespace string `json:"namespace"`
}

// StoreState says whether more results can be stored.
//
// +kubebuilder:validation:Enum=Open;NearlyFull;Full
type StoreState string

const (
	// StoreOpen means that results are stored.
	StoreOpen StoreState = "Open"
	// StoreNearlyFull means that results are stored, and that the limit is near.
	StoreNearlyFull StoreState = "NearlyFull"
	// StoreFull means that new results are refused, by an admission policy: pushes are answered 503.
	StoreFull StoreState = "Full"
)

// ResultStoreStatus says how much is stored, a few seconds ago.
type ResultStoreStatus struct {
	// state says whether more results can be stored.
	// +optional
	State StoreState `json:"state,omitempty"`
	// stateTime is since when the state is so. It names the Event about the state, so that nothing is told twice.
	// +optional
	StateTime *metav1.MicroTime `json:"stateTime,omitempty"`
	// load is what the limit bounds: the stored results, and the rejected notifications as so many results as they may
	// be large as.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Load int64 `json:"load"`
	// limit is what load may reach before new results are refused: --max-stored-results.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Limit int64 `json:"limit"`
	// results is how many results are stored, those of one device that are not merged yet counted each.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Results int64 `json:"results"`
	// rejected is how many rejected notifications are stored.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Rejected int64 `json:"rejected"`
	// slices is how many ResultSlices there are.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Slices int64 `json:"slices"`
	// announcedState is the state that was last announced by an Event.
	// +optional
	AnnouncedState StoreState `json:"announcedState,omitempty"`
	// rejectTime is the receive time of the newest rejected notification that an Event announces, or is about to.
	// +optional
	RejectTime *metav1.MicroTime `json:"rejectTime,omitempty"`
	// announcedRejectTime is the receive time of the newest rejected notification that was announced by an Event.
	// +optional
	AnnouncedRejectTime *metav1.MicroTime `json:"announcedRejectTime,omitempty"`
}

// ResultStoreList is a list of ResultStores.
//
// +kubebuilder:object:root=true
type ResultStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ResultStore `json:"items"`
}
