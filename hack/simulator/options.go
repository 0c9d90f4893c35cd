// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// options are the flags.
type options struct {
	plan platform.PlanOptions
	push platform.PushOptions

	json, devicesFile             string
	caFile, clientCert, clientKey string
	insecureSkipVerify            bool
}

const usage = `Pushes the notifications of firmware upgrade tasks to a callback, as the IoT platform does.

Exits with 0 when everything was delivered, with 3 when something was not, with 2 when nothing was pushed.

Usage:
  simulator --url http://127.0.0.1:18443/v1.0.0/messageReceiver/SECRET [flags]
  source bin/run/env && simulator [flags]      # to the operator of make run
  simulator serve --help                       # a platform that clients can call

Flags:
`

// parse returns the options that the arguments say.
func parse(args []string) (options, error) {
	var o options
	retry := true
	flags := pflag.NewFlagSet("simulator", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage+flags.FlagUsages()) }

	flags.StringVar(&o.push.URL, "url", "",
		"the callback, http or https (required); or set CALLBACK_URL, which no process list shows")
	flags.BoolVar(&o.push.AllowRemote, "allow-remote", false, "permit a callback that is not on this machine")

	flags.IntVar(&o.plan.Devices, "devices", 1000, "devices in all tasks together")
	flags.IntVar(&o.plan.Tasks, "tasks", 1, "tasks that the devices are spread over")
	flags.Float64Var(&o.plan.Fail, "fail", 0.03, "fraction of the devices that report a failure")
	flags.Float64Var(&o.plan.Retries, "retries", 0,
		"fraction of the failing devices that succeed later, every other under a new sub-task")
	flags.Float64Var(&o.plan.Duplicates, "duplicates", 0, "fraction of the notifications that come twice")
	flags.Float64Var(&o.plan.StateChanges, "state-changes", 0,
		"fraction of the devices that send the steps of the upgrade first")
	flags.Float64Var(&o.plan.Unfinished, "unfinished", 0, "fraction of the devices that send steps and never a result")
	flags.IntVar(&o.plan.Reorder, "reorder", 0, "by how many places a notification may come too early or too late")
	flags.Uint64Var(&o.plan.Seed, "seed", 1, "what ids, fates and order are derived from")
	flags.StringVar(&o.plan.AppID, "app-id", "", "the application (default: from the seed)")
	flags.StringVar(&o.plan.OperationID, "operation-id", "",
		"id of the task, or what the ids of several tasks begin with (default: from the seed)")
	flags.StringVar(&o.plan.SourceVersion, "source-version", "1.3", "firmware before the upgrade")
	flags.StringVar(&o.plan.TargetVersion, "target-version", "1.6", "firmware after the upgrade")
	flags.StringVar(&o.devicesFile, "devices-file", "", "write the ids of the devices to this file, one a line")

	flags.Float64Var(&o.push.Rate, "rate", 0, "notifications that fall due in a second; 0: as fast as possible")
	flags.IntVar(&o.push.Concurrency, "concurrency", platform.DefaultConcurrency, "pushes under way at most")
	flags.DurationVar(&o.push.Timeout, "timeout", platform.DefaultTimeout, "how long an answer may take")
	flags.BoolVar(&o.push.Discard, "discard", false, "drop a push that failed, as the platform's current pages say")
	flags.BoolVar(&retry, "retry", true, "push it again, as its older pages say; the opposite of --discard")
	flags.DurationVar(&o.push.RetryDelay, "retry-delay", platform.DefaultRetryDelay, "how long after it failed")
	flags.IntVar(&o.push.BlacklistAfter, "blacklist-after", platform.DefaultBlacklistAfter,
		"failures in a row that blacklist the host")
	flags.DurationVar(&o.push.BlacklistDuration, "blacklist-duration", platform.DefaultBlacklistDuration,
		"how long until the host is tried again")
	flags.Float64Var(&o.push.BacklogRate, "backlog-rate", platform.DefaultBacklogRate,
		"pushes a second of what a blacklisting held back")
	flags.DurationVar(&o.push.MaxDuration, "max-duration", platform.DefaultMaxDuration, "when to give up")

	flags.StringVar(&o.caFile, "ca-file", "",
		"certificates (PEM) of the authority that signed the callback's (default: the system's)")
	flags.BoolVar(&o.insecureSkipVerify, "insecure-skip-verify", false, "accept any certificate of the callback")
	flags.StringVar(&o.clientCert, "client-cert", "", "client certificate (PEM) to present, with --client-key")
	flags.StringVar(&o.clientKey, "client-key", "", "its key (PEM)")
	flags.StringVar(&o.json, "json", "",
		"write the report as JSON to this file; -: to standard output, the table then goes to standard error")

	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: everything is a flag, see --help", flags.Arg(0))
	}
	if o.push.URL == "" {
		o.push.URL = os.Getenv("CALLBACK_URL")
	}
	if o.push.URL == "" {
		return options{}, errors.New("--url is required; `source bin/run/env` sets CALLBACK_URL to that of `make run`")
	}
	if flags.Changed("retry") {
		if flags.Changed("discard") && o.push.Discard == retry {
			return options{}, errors.New("--retry and --discard contradict each other: give one of them")
		}
		o.push.Discard = !retry
	}
	return o, nil
}

// tlsConfig returns what the TLS flags say.
func (o *options) tlsConfig() (*tls.Config, error) {
	if (o.clientCert == "") != (o.clientKey == "") {
		return nil, errors.New("--client-cert and --client-key belong together: give both")
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: o.insecureSkipVerify,
	}
	if o.caFile != "" {
		pem, err := os.ReadFile(o.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file: %s has no certificate in PEM", o.caFile)
		}
	}
	if o.clientCert != "" {
		pair, err := tls.LoadX509KeyPair(o.clientCert, o.clientKey)
		if err != nil {
			return nil, fmt.Errorf("--client-cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
