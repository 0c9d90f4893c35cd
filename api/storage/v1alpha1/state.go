// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// State is how far one device got within one task. The order of the constants is the order of the join: of two
// results of a device the one with the greater state counts.
//
// +kubebuilder:validation:Enum=Idle;Downloading;Downloaded;Updating;Failed;Succeeded
type State string

const (
	// StateIdle means that the platform accepted the device and nothing moves yet (step 0).
	StateIdle State = "Idle"
	// StateDownloading means that the device loads the firmware package (step 1).
	StateDownloading State = "Downloading"
	// StateDownloaded means that the package is on the device (step 2).
	StateDownloaded State = "Downloaded"
	// StateUpdating means that the device installs the package (step 3).
	StateUpdating State = "Updating"
	// StateFailed means that an attempt ended without success (status FAIL). A retry may still succeed.
	StateFailed State = "Failed"
	// StateSucceeded means that the platform reported success (status SUCCESS).
	StateSucceeded State = "Succeeded"
)
