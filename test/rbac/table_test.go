// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

// The scopes in which rights are looked at.
const (
	everywhere = "everywhere"
	elsewhere  = "another namespace"
)

// table is all that the accounts may do beside what every authenticated account may: "verb group/resource", and the
// name where only one object is meant.
func table() map[string]map[string][]string {
	return map[string]map[string][]string{
		// It faces the internet: what it receives it may store, and nothing else.
		webhookAccount: {
			operatorNamespace: {"create storage.fwupgrade.io/resultslices"},
		},
		controllersAccount: {
			everywhere: {
				"create events.k8s.io/events",
				"create storage.fwupgrade.io/resultstores",
				"get storage.fwupgrade.io/resultstores fwupgrade",
				"list fwupgrade.io/firmwareupgrades",
				"list fwupgrade.io/iotapplications",
				"patch fwupgrade.io/firmwareupgrades",
				"update fwupgrade.io/firmwareupgrades/status",
				"update fwupgrade.io/iotapplications/status",
				"update storage.fwupgrade.io/resultstores/status fwupgrade",
				"watch fwupgrade.io/firmwareupgrades",
				"watch fwupgrade.io/iotapplications",
			},
			operatorNamespace: {
				"create /events",
				"create coordination.k8s.io/leases",
				"create storage.fwupgrade.io/firmwareupgradetaskrecords",
				"create storage.fwupgrade.io/resultslices",
				"delete storage.fwupgrade.io/firmwareupgradetaskrecords",
				"delete storage.fwupgrade.io/resultslices",
				"get coordination.k8s.io/leases fwupgrade-controllers",
				"get storage.fwupgrade.io/resultslices",
				"list storage.fwupgrade.io/firmwareupgradetaskrecords",
				"list storage.fwupgrade.io/resultslices",
				"update coordination.k8s.io/leases fwupgrade-controllers",
				"watch storage.fwupgrade.io/firmwareupgradetaskrecords",
				"watch storage.fwupgrade.io/resultslices",
			},
			placeholderNamespace: {
				"create fwupgrade.io/firmwareupgrades",
				"delete fwupgrade.io/firmwareupgrades",
			},
		},
	}
}
