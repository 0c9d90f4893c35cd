// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/webhook"
)

// What --components may name.
const (
	componentWebhook     = "webhook"
	componentControllers = "controllers"
)

// fallbackNamespace is the operator's namespace where neither a flag nor the pod says another.
const fallbackNamespace = "fwupgrade-system"

// addressOff is what an address is set to where nobody is to listen.
const addressOff = "0"

// options are the flags.
type options struct {
	version    bool
	kubeconfig string
	components []string

	callbackBindAddress string
	callbackPath        string
	callbackCertDir     string
	callbackClientCA    string
	callbackSecrets     string
	allowAnonymous      bool
	drainDuration       time.Duration
	callbackIdleTimeout time.Duration
	callbackPerSource   int

	applicationsFile string
	operatorNS       string
	defaultNS        string
	undeclared       string
	maxStored        int
	maxWrites        int
	retainUnclaimed  time.Duration
	platformHosts    []string
	requireApp       bool
	creationGrace    time.Duration

	metricsBindAddress string
	metricsSecure      bool
	metricsCertDir     string
	probeBindAddress   string
	pprofBindAddress   string
	leaderElect        bool
	log                zap.Options

	// set are the flags that were given, of those that only one component heeds.
	setWebhook, setControllers []string
}

// parse reads the flags; it checks no values.
func parse(args []string) (*options, error) {
	o := &options{}
	fs := newFlagSet("manager")
	fs.BoolVar(&o.version, "version", false, "print the version and end")
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file; without it KUBECONFIG, then the pod's service account")
	fs.StringSliceVar(&o.components, "components", []string{componentWebhook, componentControllers},
		"what this process runs: webhook, controllers or both")
	ofWebhook, ofControllers := o.webhookFlags(), o.controllerFlags()
	fs.AddFlagSet(ofWebhook)
	fs.AddFlagSet(ofControllers)
	fs.StringVar(
		&o.applicationsFile,
		"applications-file",
		"",
		"YAML that maps applications to namespaces and to secrets of their own; without it every namespace may claim every task",
	)
	fs.StringVar(
		&o.operatorNS,
		"operator-namespace",
		podNamespace(),
		"namespace of the slices and of the leader's lease; default the pod's",
	)
	fs.StringVar(
		&o.metricsBindAddress,
		"metrics-bind-address",
		":8080",
		"address of /metrics; 0 turns it off",
	)
	fs.BoolVar(
		&o.metricsSecure,
		"metrics-secure",
		false,
		"serve /metrics by HTTPS, to those whose bearer token may get it; without it plain HTTP, to everybody",
	)
	fs.StringVar(
		&o.metricsCertDir,
		"metrics-cert-dir",
		"",
		"folder with tls.crt and tls.key for --metrics-secure, reloaded; without it a certificate that nobody can check",
	)
	fs.StringVar(&o.pprofBindAddress, "pprof-bind-address", "0", "address of /debug/pprof/, unauthenticated; 0 for none")
	fs.StringVar(&o.probeBindAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	if err := o.addLogFlags(fs); err != nil {
		return nil, err
	}
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("flags: %w", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: every option begins with --", fs.Arg(0))
	}
	o.setWebhook, o.setControllers = given(fs, ofWebhook), given(fs, ofControllers)
	return o, nil
}

// addLogFlags adds the flags of the log. Unless they are given, times are in milliseconds, and there are no stack
// traces below a panic, as what goes wrong is nearly always the API server, a file or a flag.
func (o *options) addLogFlags(fs *pflag.FlagSet) error {
	goFlags := flag.NewFlagSet("log", flag.ContinueOnError)
	o.log.BindFlags(goFlags)
	for name, value := range map[string]string{"zap-time-encoding": "iso8601", "zap-stacktrace-level": "panic"} {
		if err := goFlags.Set(name, value); err != nil {
			return fmt.Errorf("set --%s: %w", name, err)
		}
	}
	fs.AddGoFlagSet(goFlags)
	return nil
}

// logger makes the log that the flags ask for.
func (o *options) logger() logr.Logger { return zap.New(zap.UseFlagOptions(&o.log)) }

// given returns those of a component's flags that were given.
func given(all, component *pflag.FlagSet) []string {
	var names []string
	component.VisitAll(func(f *pflag.Flag) {
		if all.Changed(f.Name) {
			names = append(names, "--"+f.Name)
		}
	})
	return names
}

// webhookFlags are the flags that only the webhook heeds.
func (o *options) webhookFlags() *pflag.FlagSet {
	fs := newFlagSet("webhook")
	fs.StringVar(
		&o.callbackBindAddress,
		"callback-bind-address",
		":8443",
		"address on which the platform's pushes are received",
	)
	fs.StringVar(
		&o.callbackPath,
		"callback-path",
		webhook.DefaultCallbackPath,
		"path of the callback; a secret may follow it",
	)
	fs.StringVar(
		&o.callbackCertDir,
		"callback-cert-dir",
		"",
		"folder with tls.crt and tls.key, reloaded; without it plain HTTP",
	)
	fs.StringVar(
		&o.callbackClientCA,
		"callback-client-ca-file",
		"",
		"CA of client certificates that authenticate a push, reloaded; needs --callback-cert-dir",
	)
	fs.StringVar(
		&o.callbackSecrets,
		"callback-secrets-file",
		"",
		"secrets that authenticate a push as the last path segment, one a line, reloaded",
	)
	fs.BoolVar(&o.allowAnonymous, "allow-anonymous", false, "accept pushes from anybody")
	fs.DurationVar(&o.callbackIdleTimeout, "callback-idle-timeout", webhook.DefaultIdleTimeout,
		"how long an idle connection is kept; longer than load balancers in front keep theirs; 1s to 1h")
	fs.IntVar(&o.callbackPerSource, "callback-connections-per-source", webhook.DefaultConnectionsPerSource,
		"connections that one source address may hold, of 4096 in all")
	fs.DurationVar(&o.drainDuration, "drain-duration", webhook.DefaultDrainDuration,
		"how long pushes are still answered after readiness failed, when shutting down; at most 5m")
	return fs
}

// controllerFlags are the flags that only the controllers heed.
func (o *options) controllerFlags() *pflag.FlagSet {
	fs := newFlagSet("controllers")
	fs.StringVar(&o.undeclared, "undeclared", controllers.UndeclaredAdopt,
		"what becomes of tasks that no FirmwareUpgrade declares: Adopt makes placeholders, Hold leaves them unclaimed")
	fs.StringVar(&o.defaultNS, "default-namespace", "default", "namespace of placeholders")
	fs.IntVar(&o.maxStored, "max-stored-results", 2_000_000, "results stored before new ones are refused with 503")
	fs.IntVar(&o.maxWrites, "max-writes-per-second", 200,
		"statuses and Events a second, over all FirmwareUpgrades, that tell mere progress; news is written at once")
	fs.DurationVar(
		&o.retainUnclaimed,
		"retain-unclaimed",
		7*24*time.Hour,
		"how long results are kept that no FirmwareUpgrade claims, and rejected notifications; at least 1m",
	)
	fs.StringSliceVar(
		&o.platformHosts,
		"platform-hosts",
		nil,
		"host:port, or *.suffix:port, to which IoTApplications may connect; without it to none",
	)
	fs.BoolVar(&o.requireApp, "require-application", false,
		"let a namespace claim only tasks of IoTApplications that list it, instead of those of --applications-file")
	fs.DurationVar(&o.creationGrace, "creation-grace", controllers.DefaultCreationGrace,
		"how long a task whose creation was not answered counts as perhaps created, while nothing shows it; at least 1m")
	fs.BoolVar(
		&o.leaderElect,
		"leader-elect",
		true,
		"run the controllers in one process at a time; turn it off only where there is one",
	)
	return fs
}

func newFlagSet(name string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	return fs
}

// validate says what to change if a value or a combination can't work.
func (o *options) validate() error {
	var problems []error
	for _, c := range o.components {
		if c != componentWebhook && c != componentControllers {
			problems = append(problems, fmt.Errorf("--components=%s is not known: name webhook, controllers or both", c))
		}
	}
	if len(o.components) == 0 {
		problems = append(problems, errors.New("--components is empty: name webhook, controllers or both"))
	}
	if !o.runs(componentWebhook) && len(o.setWebhook) > 0 {
		problems = append(
			problems,
			fmt.Errorf(
				"without --components=webhook nothing heeds %s: add it, or remove them",
				strings.Join(o.setWebhook, ", "),
			),
		)
	}
	if !o.runs(componentControllers) && len(o.setControllers) > 0 {
		problems = append(
			problems,
			fmt.Errorf(
				"without --components=controllers nothing heeds %s: add it, or remove them",
				strings.Join(o.setControllers, ", "),
			),
		)
	}
	problems = append(problems, o.metricsProblems()...)
	problems = append(problems, o.samePorts()...)
	return errors.Join(problems...)
}

// metricsProblems says which flags of the metrics do not go together.
func (o *options) metricsProblems() (problems []error) {
	if o.metricsCertDir != "" && !o.metricsSecure {
		problems = append(problems, errors.New("--metrics-cert-dir needs --metrics-secure: without it metrics are plain "+
			"HTTP: add it, or remove --metrics-cert-dir"))
	}
	if o.metricsSecure && (o.metricsBindAddress == "" || o.metricsBindAddress == addressOff) {
		problems = append(problems, fmt.Errorf("--metrics-secure and --metrics-bind-address=%s: metrics are turned off: "+
			"remove --metrics-secure, or set an address", o.metricsBindAddress))
	}
	return problems
}

// samePorts says which flags ask for the same address. Port 0 is another port each time, and an
// empty address is no address.
func (o *options) samePorts() []error {
	ports := []struct{ flag, address string }{
		{"--metrics-bind-address", o.metricsBindAddress},
		{"--health-probe-bind-address", o.probeBindAddress},
		{"--pprof-bind-address", o.pprofBindAddress},
	}
	if o.runs(componentWebhook) {
		ports = append(ports, struct{ flag, address string }{"--callback-bind-address", o.callbackBindAddress})
	}
	var problems []error
	for i, port := range ports {
		if port.address == "" || port.address == addressOff || strings.HasSuffix(port.address, ":0") {
			continue
		}
		for _, other := range ports[:i] {
			if port.address == other.address {
				problems = append(problems, fmt.Errorf("%s and %s are both %s: give each its own port",
					other.flag, port.flag, port.address))
			}
		}
	}
	return problems
}

// elects says whether there may be other leaders.
func (o *options) elects() bool { return o.leaderElect && o.runs(componentControllers) }

func (o *options) runs(component string) bool { return slices.Contains(o.components, component) }

// podNamespace returns the namespace the process runs in.
func podNamespace() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	b, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return fallbackNamespace
	}
	return strings.TrimSpace(string(b))
}
