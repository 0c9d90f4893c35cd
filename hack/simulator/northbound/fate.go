// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// Fate is what becomes of a device in a task.
type Fate string

// The fates.
const (
	Succeeds Fate = "succeeds"
	// Fails in every attempt.
	Fails Fate = "fails"
	// Recovers fails, and succeeds when it is tried again.
	Recovers Fate = "recovers"
	// Offline never comes online, so that the platform gives up after a day.
	Offline Fate = "offline"
)

// The platform's own timers. Documented.
const (
	onlineTimeout   = 24 * time.Hour
	downloadTimeout = time.Hour
	resultTimeout   = 30 * time.Minute
)

// Texts of failures that follow from what happens, and are not drawn. Documented.
const (
	textOnlineTimeout = "Waiting for the device online timeout"
	textConflict      = "Task Conflict"
	textSameVersion   = "The current version is the same as the target version"
)

// fate is what becomes of a device in an attempt.
type fate struct {
	offline, fails bool
	// steps is true where it reports the steps. ownSubTask is true where a retry has another sub-task: whether it has is
	// not documented, so every other device's has.
	steps, ownSubTask bool
	failure           string
	// begins is how long after the start of the task; each of the others, how long after what comes before it.
	begins, downloads, rests, updates time.Duration
	failsAt                           platform.Kind // the step at which it fails
}

// fateOf draws what becomes of a device. It depends on the seed, the task, the device and the attempt alone.
func (o *Options) fateOf(operationID, deviceID string, attempt uint8) fate {
	random := o.random(saltFate, operationID+" "+deviceID)
	drawn, recovers := random.Float64(), random.Float64() < o.Devices.Recover
	f := fate{steps: random.Float64() < o.Devices.StateChanges, ownSubTask: random.IntN(2) == 0}
	f.begins = part(o.Devices.Spread, random.Float64())
	f.offline = drawn < o.Devices.Offline
	f.fails = f.offline || drawn < o.Devices.Offline+o.Devices.Fail
	if fixed, ok := o.Devices.Fates[deviceID]; ok {
		f.offline, recovers = fixed == Offline, fixed == Recovers
		f.fails = fixed != Succeeds
	}
	if attempt > 0 && recovers {
		f.offline, f.fails = false, false
	}
	f.inAttempt(o, o.random(saltAttempt, operationID+" "+deviceID+" "+strconv.Itoa(int(attempt))))
	return f
}

// inAttempt draws what is another in every attempt.
func (f *fate) inAttempt(o *Options, random *rand.Rand) {
	// From half to one and a half of what is usual, most of it for the download.
	whole := part(o.Devices.UpgradeTime, 0.5+random.Float64())
	f.downloads, f.rests, f.updates = part(whole, 0.6), part(whole, 0.1), part(whole, 0.3)
	if !f.fails {
		return
	}
	if f.offline {
		f.failure = textOnlineTimeout
		return
	}
	for f.failure == "" || f.failure == textOnlineTimeout || strings.HasPrefix(f.failure, textConflict) {
		f.failure = platform.PickFailure(random)
	}
	f.failsAt = platform.StepDownloading
	if random.IntN(2) == 0 {
		f.failsAt = platform.StepUpdating
	}
	switch {
	case strings.Contains(f.failure, "downloaded package timeout"):
		f.failsAt, f.downloads = platform.StepDownloading, downloadTimeout
	case strings.Contains(f.failure, "timeout"):
		f.failsAt, f.updates = platform.StepUpdating, resultTimeout
	}
}

func part(d time.Duration, share float64) time.Duration { return time.Duration(float64(d) * share) }

// isTimeout tells whether a failure counts as a timeout. Inferred from the platform's texts.
func isTimeout(text string) bool { return strings.Contains(text, "timeout") }

// subOperationID returns the id of a device's sub-task.
func (o *Options) subOperationID(operationID, deviceID string, attempt uint8) string {
	if attempt > 0 && !o.fateOf(operationID, deviceID, attempt).ownSubTask {
		attempt = 0
	}
	return platform.HexID(o.random(saltSubTask, operationID+" "+deviceID+" "+strconv.Itoa(int(attempt))))
}

func validFate(f Fate) bool { return slices.Contains([]Fate{Succeeds, Fails, Recovers, Offline}, f) }
