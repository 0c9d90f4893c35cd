// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"k8s.io/utils/clock"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// What the platform does by its documentation, unless options say otherwise.
const (
	DefaultTokenLifetime  = time.Hour
	DefaultCallsPerMinute = 100
	DefaultCallbackKey    = "callbackUrl"
)

// Inferred: how long things take. The documents tell the platform's time-outs, not how long devices need.
const (
	DefaultUpgradeTime = 5 * time.Minute
	DefaultRetryPause  = time.Minute
)

const (
	loopback      = "127.0.0.1:0"
	maxDevices    = 2_000_000 // in all groups together, and in one task
	maxIDBytes    = 256
	minKeyBytes   = 16
	defaultSource = "1.3"
	defaultTarget = "1.6"
)

// Options says what the platform is and what its devices do. The zero value is a platform that works.
type Options struct {
	// Address is where the northbound API listens, ControlAddress, where the control of the simulation does; the
	// latter has to be on loopback. Default: a free port of 127.0.0.1, each.
	Address, ControlAddress string
	// Certificate is the northbound API's. By default one is made, for localhost and its addresses, and for Names.
	Certificate *tls.Certificate
	// Names are further names and addresses that the made certificate is for.
	Names []string
	// ClientCAs are the authorities of client certificates. Nil: none is asked for.
	ClientCAs *x509.CertPool
	// ControlKey is the bearer token of the control; by default one is made.
	ControlKey string

	// AppID and Secret are the application's; by default they are made from the seed.
	AppID, Secret string
	// TokenLifetime is how long a token is valid; default 1 h.
	TokenLifetime time.Duration
	// CallsPerMinute is how many calls are admitted in any minute; default 100.
	CallsPerMinute int
	// CallbackKey is the key of a subscription's URL: callbackUrl, the default, or callbackurl.
	CallbackKey string

	// Packages are the firmware packages. Without any, every fileId is one, of the version TargetVersion.
	Packages []Package
	// SourceVersion is what devices have at the start, TargetVersion, what a package has that is not listed; default
	// 1.3 and 1.6.
	SourceVersion, TargetVersion string
	// Groups are the device groups: how many devices each has.
	Groups map[string]int
	// Tasks exist from the start.
	Tasks []TaskSpec
	// Devices says what the devices do.
	Devices DeviceOptions
	// Push says how to push.
	Push PushOptions
	// Faults are those at the start.
	Faults Faults

	// Seed is what ids and fates are derived from; default 1.
	Seed uint64
	// Clock is the one clock of everything that can be observed, but for how long an answer to a push may take, which
	// is the real time. Default: the real one.
	Clock clock.WithTicker
	// Speed is how many times faster than the clock the devices and the platform's own timers about them are; default 1.
	Speed float64
}

// Package is a firmware package.
type Package struct {
	FileID string
	// Version is the firmware's; default Options.TargetVersion.
	Version string
	// DeviceType, Model and ManufacturerName are what it is for. Empty: for all.
	DeviceType, Model, ManufacturerName string
}

// DeviceOptions says what devices do. Shares are from 0 to 1, and each device's fate is drawn from the seed.
type DeviceOptions struct {
	// Fail is the share that fails, Offline, the share that does not come online before the platform gives up.
	Fail, Offline float64
	// Recover is the share of those that succeeds when the platform tries them again.
	Recover float64
	// StateChanges is the share that reports the steps of the upgrade.
	StateChanges float64
	// UpgradeTime is how long an upgrade takes about; default 5 min. Spread is how long after the start of a task its
	// last device begins; default 0.
	UpgradeTime, Spread time.Duration
	// RetryPause is how long after the end of a task its failed devices are tried again; default 1 min.
	RetryPause time.Duration
	// Fates are those of single devices, by their id, in place of the drawn ones.
	Fates map[string]Fate
}

// PushOptions says how to push.
type PushOptions struct {
	// AllowRemote permits callbacks that are not on this machine.
	AllowRemote bool
	// TLS is used for https callbacks.
	TLS *tls.Config
	// Concurrency is how many pushes are under way to one host at most; default 16.
	Concurrency int
	// Timeout is how long an answer may take, in real time; default 15 s.
	Timeout time.Duration
	// BlacklistAfter is how many failures in a row blacklist the host, BlacklistDuration, for how long; default 10 and
	// 3 min. What was held back is pushed at most BacklogRate a second; default 800.
	BlacklistAfter    int
	BlacklistDuration time.Duration
	BacklogRate       float64
}

func setDefault[T comparable](value *T, def T) {
	var zero T
	if *value == zero {
		*value = def
	}
}

func (o *Options) setDefaults() {
	setDefault(&o.Address, loopback)
	setDefault(&o.ControlAddress, loopback)
	setDefault(&o.Seed, 1)
	setDefault(&o.AppID, platform.MakeAppID(o.Seed))
	setDefault(&o.Secret, platform.HexID(o.random(saltSecret, "")))
	setDefault(&o.ControlKey, randomKey())
	setDefault(&o.TokenLifetime, DefaultTokenLifetime)
	setDefault(&o.CallsPerMinute, DefaultCallsPerMinute)
	setDefault(&o.CallbackKey, DefaultCallbackKey)
	setDefault(&o.SourceVersion, defaultSource)
	setDefault(&o.TargetVersion, defaultTarget)
	setDefault(&o.Devices.UpgradeTime, DefaultUpgradeTime)
	setDefault(&o.Devices.RetryPause, DefaultRetryPause)
	setDefault(&o.Push.Concurrency, platform.DefaultConcurrency)
	setDefault(&o.Push.Timeout, platform.DefaultTimeout)
	setDefault(&o.Push.BlacklistAfter, platform.DefaultBlacklistAfter)
	setDefault(&o.Push.BlacklistDuration, platform.DefaultBlacklistDuration)
	setDefault(&o.Push.BacklogRate, platform.DefaultBacklogRate)
	setDefault(&o.Speed, 1)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}

func (o *Options) validate() error {
	var errs []error
	check := func(ok bool, format string, values ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, values...))
		}
	}
	host, _, err := net.SplitHostPort(o.ControlAddress)
	check(err == nil && platform.IsLoopback(host), "the control has to be on loopback, not at %s", o.ControlAddress)
	check(len(o.ControlKey) >= minKeyBytes, "the control's key has less than %d bytes", minKeyBytes)
	check(len(o.AppID) <= maxIDBytes && len(o.Secret) <= maxIDBytes, "the application's id or secret has over 256 bytes")
	check(o.TokenLifetime >= time.Second, "a token must be valid for a second at least, not %s", o.TokenLifetime)
	check(o.CallsPerMinute > 0, "calls a minute must be positive, not %d", o.CallsPerMinute)
	check(o.CallbackKey == "callbackUrl" || o.CallbackKey == "callbackurl",
		"the callback's key must be callbackUrl or callbackurl, not %q", o.CallbackKey)
	check(o.Speed > 0, "the speed must be positive, not %v", o.Speed)
	for name, share := range map[string]float64{
		"fail": o.Devices.Fail, "offline": o.Devices.Offline, "recover": o.Devices.Recover,
		"state-changes": o.Devices.StateChanges, "fail and offline together": o.Devices.Fail + o.Devices.Offline,
	} {
		check(share >= 0 && share <= 1, "%s must be a share from 0 to 1, not %v", name, share)
	}
	for id, fate := range o.Devices.Fates {
		check(validFate(fate), "the fate of %s must be succeeds, fails, recovers or offline, not %q", id, fate)
	}
	check(o.Devices.UpgradeTime > 0 && o.Devices.Spread >= 0 && o.Devices.RetryPause > 0, "durations must be positive")
	check(o.Push.Timeout > 0 && o.Push.BlacklistDuration > 0 && o.Push.BlacklistAfter > 0 && o.Push.BacklogRate > 0 &&
		o.Push.Concurrency > 0, "what says how to push must be positive")
	total := 0
	for name, devices := range o.Groups {
		check(name != "" && len(name) <= maxIDBytes && devices > 0, "group %q has %d devices", name, devices)
		total += devices
	}
	check(total <= maxDevices, "groups must have at most %d devices, not %d", maxDevices, total)
	errs = append(errs, validatePackages(o.Packages), o.Faults.Validate())
	return errors.Join(errs...)
}

func validatePackages(packages []Package) error {
	seen := map[string]bool{}
	for _, p := range packages {
		if p.FileID == "" || len(p.FileID) > maxIDBytes || seen[p.FileID] {
			return fmt.Errorf("a package has no fileId, a too long one, or the same as another: %q", p.FileID)
		}
		seen[p.FileID] = true
	}
	return nil
}
