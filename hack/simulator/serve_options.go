// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/hack/simulator/platform"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	platform northbound.Options

	tlsCert, tlsKey, clientCA, caFile     string
	secretFile, controlKeyFile            string
	callbackCA, callbackCert, callbackKey string
	packages, tasks, faults               []string
	fates                                 map[string]string
	report                                string
}

const serveUsage = `Plays the IoT platform: its northbound API, devices that run tasks, and pushes to callbacks.

Serves until it is told to end. Exits with 4 when two tasks did the same, with 2 when it could not serve, else with 0.

Usage:
  simulator serve --secret-file FILE --control-key-file FILE --ca-file FILE [flags]

Flags:
`

// parseServe returns the options that the arguments say.
func parseServe(args []string) (*serveOptions, error) {
	o := &serveOptions{}
	flags := pflag.NewFlagSet("simulator serve", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { fmt.Fprint(os.Stderr, serveUsage+flags.FlagUsages()) }
	o.addFlags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: everything is a flag, see --help", flags.Arg(0))
	}
	return o, errors.Join(o.readSecrets(), o.readTLS(), o.readLists())
}

func (o *serveOptions) addFlags(flags *pflag.FlagSet) {
	o.addServer(flags)
	o.addDevices(flags)
	o.addPush(flags)
}

func (o *serveOptions) addServer(flags *pflag.FlagSet) {
	p := &o.platform
	flags.StringVar(&p.Address, "address", "127.0.0.1:8743", "where the northbound API listens")
	flags.StringVar(&p.ControlAddress, "control-address", "127.0.0.1:8744", "where the control listens, on loopback")
	flags.StringVar(&o.controlKeyFile, "control-key-file", "",
		"bearer token of the control (required); made if there is none")
	flags.StringVar(&o.caFile, "ca-file", "", "write the authority of the made certificates (PEM) to this file")
	flags.StringSliceVar(&p.Names, "tls-name", nil, "further names and addresses of the made certificate")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "certificate (PEM) of the API in place of a made one, with --tls-key")
	flags.StringVar(&o.tlsKey, "tls-key", "", "its key (PEM)")
	flags.StringVar(&o.clientCA, "client-ca", "", "authorities (PEM) of client certificates, which are asked for then")
	flags.StringVar(&p.AppID, "app-id", "", "the application (default: from the seed)")
	flags.StringVar(&o.secretFile, "secret-file", "", "the application's secret (required); made if there is none")
	flags.DurationVar(&p.TokenLifetime, "token-lifetime", northbound.DefaultTokenLifetime, "how long a token is valid")
	flags.IntVar(&p.CallsPerMinute, "calls-per-minute", northbound.DefaultCallsPerMinute,
		"calls that are admitted in any minute")
	flags.StringVar(&p.CallbackKey, "callback-key", northbound.DefaultCallbackKey,
		"key of a subscription's URL: callbackUrl, or callbackurl as the SDKs send it")
	flags.StringArrayVar(&o.faults, "fault", nil,
		"NAME=VALUE, as often as wanted: pushLost=0.1, createdLate=next:1,delay:50m, clockOffset=3h")
	flags.Uint64Var(&p.Faults.Seed, "fault-seed", 0, "what the shares of faults are drawn from (default: the seed)")
	flags.Uint64Var(&p.Seed, "seed", 1, "what ids and fates are derived from")
	flags.Float64Var(&p.Speed, "speed", 1, "how many times faster than the clock devices are, and timers about them")
	flags.StringVar(&o.report, "report", "", "write the report (JSON) to this file at the end")
}

func (o *serveOptions) addDevices(flags *pflag.FlagSet) {
	p, d := &o.platform, &o.platform.Devices
	flags.StringArrayVar(&o.packages, "package", nil,
		"fileId=…,version=…,deviceType=…,model=…,manufacturerName=…, as often as wanted (default: every fileId is one)")
	flags.StringVar(&p.SourceVersion, "source-version", "1.3", "firmware before the upgrade")
	flags.StringVar(&p.TargetVersion, "target-version", "1.6", "firmware of a package that says no version")
	flags.StringToIntVar(&p.Groups, "groups", nil, "device groups and how many devices they have: north=500,south=500")
	flags.StringArrayVar(&o.tasks, "task", nil,
		"operationId=…,devices=COUNT,fileId=…,retries=…,startsIn=…: a task that exists from the start, as often as wanted")
	flags.Float64Var(&d.Fail, "fail", 0.03, "share of the devices that fail")
	flags.Float64Var(&d.Offline, "offline", 0, "share of the devices that don't come online within a day")
	flags.Float64Var(&d.Recover, "recover", 0.5, "share of those that succeed when they are tried again")
	flags.Float64Var(&d.StateChanges, "state-changes", 1, "share of the devices that report the steps of the upgrade")
	flags.StringToStringVar(&o.fates, "fate", nil, "of single devices: ID=succeeds, fails, recovers or offline")
	flags.DurationVar(&d.UpgradeTime, "upgrade-time", northbound.DefaultUpgradeTime, "how long an upgrade takes about")
	flags.DurationVar(&d.Spread, "spread", 5*time.Minute, "how long after the start of a task its last device begins")
	flags.DurationVar(&d.RetryPause, "retry-pause", northbound.DefaultRetryPause,
		"how long after the end of a task its failed devices are tried again")
}

func (o *serveOptions) addPush(flags *pflag.FlagSet) {
	p := &o.platform.Push
	flags.BoolVar(&p.AllowRemote, "allow-remote", false, "permit callbacks that are not on this machine")
	flags.StringVar(&o.callbackCA, "callback-ca", "",
		"authorities (PEM) of the callbacks' certificates (default: the system's)")
	flags.StringVar(&o.callbackCert, "callback-client-cert", "",
		"client certificate (PEM) to present to callbacks, with --callback-client-key")
	flags.StringVar(&o.callbackKey, "callback-client-key", "", "its key (PEM)")
	flags.IntVar(&p.Concurrency, "concurrency", platform.DefaultConcurrency, "pushes under way to one host at most")
	flags.DurationVar(&p.Timeout, "timeout", platform.DefaultTimeout, "how long the answer to a push may take")
	flags.IntVar(&p.BlacklistAfter, "blacklist-after", platform.DefaultBlacklistAfter,
		"failures in a row that blacklist the host")
	flags.DurationVar(&p.BlacklistDuration, "blacklist-duration", platform.DefaultBlacklistDuration,
		"how long until the host is tried again")
	flags.Float64Var(&p.BacklogRate, "backlog-rate", platform.DefaultBacklogRate,
		"pushes a second of what a blacklisting held back")
}

func (o *serveOptions) readSecrets() error {
	if o.secretFile == "" || o.controlKeyFile == "" {
		return errors.New("--secret-file and --control-key-file are required")
	}
	var secretErr, keyErr error
	o.platform.Secret, secretErr = secretFrom(o.secretFile)
	o.platform.ControlKey, keyErr = secretFrom(o.controlKeyFile)
	return errors.Join(secretErr, keyErr)
}

func (o *serveOptions) readTLS() error {
	certificate, err := pairFrom("--tls-cert", "--tls-key", o.tlsCert, o.tlsKey)
	if err != nil {
		return err
	}
	o.platform.Certificate = certificate
	if o.clientCA != "" {
		if o.platform.ClientCAs, err = poolFrom("--client-ca", o.clientCA); err != nil {
			return err
		}
	}
	o.platform.Push.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.callbackCA != "" {
		if o.platform.Push.TLS.RootCAs, err = poolFrom("--callback-ca", o.callbackCA); err != nil {
			return err
		}
	}
	client, err := pairFrom("--callback-client-cert", "--callback-client-key", o.callbackCert, o.callbackKey)
	if client != nil {
		o.platform.Push.TLS.Certificates = []tls.Certificate{*client}
	}
	return err
}

// pairFrom reads a certificate and its key; nil where neither is given.
func pairFrom(certFlag, keyFlag, cert, key string) (*tls.Certificate, error) {
	if (cert == "") != (key == "") {
		return nil, fmt.Errorf("%s and %s belong together: give both", certFlag, keyFlag)
	}
	if cert == "" {
		return nil, nil //nolint:nilnil // there is none, and that is right
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFlag, err)
	}
	return &pair, nil
}

func poolFrom(flag, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s has no certificate in PEM", flag, path)
	}
	return pool, nil
}

// readLists reads the flags that may be given several times.
func (o *serveOptions) readLists() error {
	var errs []error
	for _, text := range o.faults {
		errs = append(errs, o.platform.Faults.Set(text))
	}
	for id, fate := range o.fates {
		if o.platform.Devices.Fates == nil {
			o.platform.Devices.Fates = map[string]northbound.Fate{}
		}
		o.platform.Devices.Fates[id] = northbound.Fate(fate)
	}
	for _, text := range o.packages {
		p := northbound.Package{}
		errs = append(errs, assign("--package", text, map[string]any{
			"fileId": &p.FileID, "version": &p.Version, "deviceType": &p.DeviceType, "model": &p.Model,
			"manufacturerName": &p.ManufacturerName,
		}))
		o.platform.Packages = append(o.platform.Packages, p)
	}
	for _, text := range o.tasks {
		t := northbound.TaskSpec{}
		errs = append(errs, assign("--task", text, map[string]any{
			"operationId": &t.OperationID, "devices": &t.Count, "fileId": &t.FileID, "retries": &t.Retries,
			"startsIn": &t.StartsIn,
		}))
		o.platform.Tasks = append(o.platform.Tasks, t)
	}
	return errors.Join(errs...)
}

// assign reads key=value,key=value.
func assign(flag, text string, into map[string]any) error {
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch to := into[key].(type) {
		case *string:
			*to = value
		case *northbound.Duration:
			if err := to.UnmarshalText([]byte(value)); err != nil {
				return fmt.Errorf("%s: %s: %w", flag, key, err)
			}
		case *int:
			number, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("%s: %s must be a number, not %q", flag, key, value)
			}
			*to = number
		default:
			return fmt.Errorf("%s: there is no %q", flag, key)
		}
	}
	return nil
}
