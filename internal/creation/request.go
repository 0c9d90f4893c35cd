// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package creation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/platform"
)

// hashBytes is how much of a SHA-256 a hash has: 128 bits, 32 hexadecimal digits.
const hashBytes = 16

// maxProbes is how many devices of a request are searched for on the platform, until it knows one.
const maxProbes = 3

// Hash returns what a request is known by: 32 hexadecimal digits of a SHA-256 over the application and all of the
// request but createBefore. The order of devices and groups and their repetitions do not matter. Nor do the name, the
// namespace and the UID of who asks, nor how the application is connected: none of their changes may make a second
// task.
func Hash(appID string, t *v1alpha1.TaskRequest) string {
	var window []string
	if t.Window != nil {
		window = []string{instant(t.Window.Start.Time), instant(t.Window.End.Time)}
	}
	targets := targetsOf(t)
	return hashOf([]any{
		appID, t.PackageID, targets.Devices, targets.DeviceGroups, targets.DeviceType, targets.Model,
		targets.ManufacturerName, window, t.Retries, max(1, t.Run),
	})
}

// hashOf is the hash of something that always can be written as JSON.
func hashOf(content any) string {
	text, err := json.Marshal(content)
	if err != nil {
		panic(err) // texts and numbers are JSON
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:hashBytes])
}

// targetsHash tells the devices or the groups of a task from others. What kind of devices they are is no part of it, as
// the platform may leave that out, or add it.
func targetsHash(t platform.Targets) string {
	return hashOf([]any{distinct(t.Devices), distinct(t.DeviceGroups)})
}

// distinct returns the ids in order, each once; never nil, so that none is always written the same.
func distinct(ids []string) []string {
	return slices.Compact(slices.AppendSeq(make([]string, 0, len(ids)), slices.Values(slices.Sorted(slices.Values(ids)))))
}

// instant is a time as a request has it, to the second.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func targetsOf(t *v1alpha1.TaskRequest) platform.Targets {
	if g := t.DeviceGroups; g != nil {
		return platform.Targets{
			DeviceGroups: distinct(g.Names), DeviceType: g.DeviceType, Model: g.Model, ManufacturerName: g.ManufacturerName,
		}
	}
	return platform.Targets{Devices: distinct(t.Devices)}
}

// callOf is the request as the platform is asked.
func callOf(t *v1alpha1.TaskRequest) platform.TaskRequest {
	call := platform.TaskRequest{PackageID: t.PackageID, Targets: targetsOf(t), Retries: int(t.Retries)}
	if t.Window != nil {
		call.Start, call.End = t.Window.Start.Time, t.Window.End.Time
	}
	return call
}

// fingerprint is by what a task on the platform is recognised. The platform does not tell the package of a task, only
// its version.
type fingerprint struct {
	// targetsHash and these tell the task's devices.
	targetsHash string
	probes      []string
	groups      *storage.TaskGroups
	start, end  time.Time
	retries     int32
	// fileVersion is the package's version, empty where it is not known.
	fileVersion string
}

func fingerprintOf(t *v1alpha1.TaskRequest, fileVersion string) fingerprint {
	targets := targetsOf(t)
	f := fingerprint{targetsHash: targetsHash(targets), retries: t.Retries, fileVersion: fileVersion}
	f.probes = targets.Devices[:min(len(targets.Devices), maxProbes)]
	if g := t.DeviceGroups; g != nil {
		f.groups = &storage.TaskGroups{
			Names: targets.DeviceGroups, DeviceType: g.DeviceType, Model: g.Model, ManufacturerName: g.ManufacturerName,
		}
	}
	if t.Window != nil {
		f.start, f.end = t.Window.Start.Time, t.Window.End.Time
	}
	return f
}

func fingerprintOfIntent(i *storage.TaskIntent) fingerprint {
	f := fingerprint{
		targetsHash: i.TargetsHash, probes: i.ProbeDevices, groups: i.Groups, retries: i.Retries, fileVersion: i.FileVersion,
	}
	if i.Window != nil {
		f.start, f.end = i.Window.Start.Time, i.Window.End.Time
	}
	return f
}

// matches says whether a task of the platform has this fingerprint.
func (f *fingerprint) matches(t *platform.Task) bool {
	return f.matchesButVersion(t) && platform.Agrees(t.FileVersion, f.fileVersion)
}

// matchesButVersion says whether a task has this fingerprint, of whatever version its package is.
func (f *fingerprint) matchesButVersion(t *platform.Task) bool {
	if g := f.groups; g != nil && !t.Targets.AreOfKind(g.DeviceType, g.Model, g.ManufacturerName) {
		return false
	}
	return targetsHash(t.Targets) == f.targetsHash && t.Policy.Matches(f.start, f.end, int(f.retries))
}

// resembles says whether a task that was listed for the devices of this fingerprint may be for some of them. It is not
// where it tells others.
func (f *fingerprint) resembles(t *platform.Task) bool {
	if f.groups != nil {
		return len(t.Targets.DeviceGroups) == 0 || haveCommon(t.Targets.DeviceGroups, f.groups.Names)
	}
	return len(t.Targets.Devices) == 0 || haveCommon(t.Targets.Devices, f.probes)
}

func haveCommon(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}

// meets says whether a task could have both fingerprints.
func (f *fingerprint) meets(g *fingerprint) bool {
	return f.targetsHash == g.targetsHash && f.kind() == g.kind() && f.start.Equal(g.start) && f.end.Equal(g.end) &&
		f.retries == g.retries && platform.Agrees(f.fileVersion, g.fileVersion)
}

// kind is what the devices of groups are; empty where the devices are named.
func (f *fingerprint) kind() (kind [3]string) {
	if g := f.groups; g != nil {
		kind = [3]string{g.DeviceType, g.Model, g.ManufacturerName}
	}
	return kind
}
