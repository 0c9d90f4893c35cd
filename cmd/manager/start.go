// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/webhook"
)

const (
	// leaseName is the Lease by which the controllers elect their leader.
	leaseName = "fwupgrade-controllers"
	// stopMargin is what the manager gets beyond the time that its components need to stop.
	stopMargin = 5 * time.Second
)

// start runs the components until the context ends. In this order: what is wrong with the options and the files they
// name, ports that are taken, what the API server lacks, and only then anything is received, claimed or led.
func start(ctx context.Context, o *options) error {
	logger := o.logger()
	ctrl.SetLogger(logger)
	// The log of client-go, and of what asks the API server whose a token is that a stranger sent to secure metrics.
	klog.SetLogger(webhook.NewLimitedLog(logger, "Failed to make webhook"))
	this := thisBuild()
	logger.Info("Starting", "version", this.version, "goVersion", this.goVersion, "components", o.components)
	var apps *applications.Map
	if o.applicationsFile != "" {
		var err error
		if apps, err = applications.Load(o.applicationsFile); err != nil {
			return fmt.Errorf("--applications-file: %w", err)
		}
	}
	wo, co := webhookOptions(o, apps), controllerOptions(o, apps)
	if err := validateComponents(o, wo, co); err != nil {
		return err
	}
	cfg, err := restConfig(o.kubeconfig, this)
	if err != nil {
		return err
	}
	stop := stopMargin
	if o.runs(componentControllers) {
		stop += creation.AnswerWithin
	}
	var receiver *webhook.Receiver
	if o.runs(componentWebhook) {
		wo.Config = cfg
		if receiver, err = webhook.New(wo); err != nil {
			return fmt.Errorf("webhook: %w", err)
		}
		stop += wo.StopTimeout()
	}
	lease := &fence{clock: clock.RealClock{}}
	if o.elects() {
		co.Leads = lease.leads
	}
	mgr, err := newManager(o, cfg, stop, lease)
	if err != nil {
		return err
	}
	if err := useDefaultRuntimeMetrics(metrics.Registry); err != nil {
		return err
	}
	if err := this.register(metrics.Registry); err != nil {
		return err
	}
	unguarded, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	endpoint, err := newMetricsEndpoint(o, metrics.Registry, cfg, unguarded)
	if err != nil {
		return err
	}
	ports, err := listen(ctx, o)
	if err != nil {
		return err
	}
	ready := &readiness{}
	return serve(ctx, ports, endpoint, ready, func(ctx context.Context) error {
		return work(ctx, mgr, cfg, o, receiver, co, ready)
	})
}

// work waits until the API server has what the components need, and runs them until the context ends.
func work(
	ctx context.Context,
	mgr ctrl.Manager,
	cfg *rest.Config,
	o *options,
	receiver *webhook.Receiver,
	co controllers.Options,
	ready *readiness,
) error {
	before, err := newPreflight(mgr, cfg, o)
	if err != nil {
		return err
	}
	if o.runs(componentControllers) {
		if err := before.await(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to stop while it waited
		}
		before.checkPlaceholders(ctx)
	} else if err := mgr.Add(manager.RunnableFunc(before.checkStoring)); err != nil {
		return fmt.Errorf("add the check of the store: %w", err)
	}
	if err := addComponents(ctx, mgr, o, receiver, co); err != nil {
		return err
	}
	if receiver != nil {
		ready.set(receiver.Ready)
	} else {
		ready.set(healthz.Ping)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// newPreflight makes what looks for everything that the components need in the API server.
func newPreflight(mgr ctrl.Manager, cfg *rest.Config, o *options) (*preflight, error) {
	direct, err := client.New(cfg, client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &preflight{
		client: direct, host: cfg.Host, operatorNS: o.operatorNS, defaultNS: o.defaultNS,
		makesPlaceholders: o.undeclared == controllers.UndeclaredAdopt,
		clock:             clock.RealClock{}, log: ctrl.Log.WithName("start"),
	}, nil
}

// validateComponents says what is wrong with the options of the components that run.
func validateComponents(o *options, wo webhook.Options, co controllers.Options) error {
	var problems []error
	if o.runs(componentWebhook) {
		wo.Config = &rest.Config{} // not known yet
		problems = append(problems, wo.Validate())
	}
	if o.runs(componentControllers) {
		problems = append(problems, co.Validate())
	}
	return errors.Join(problems...)
}

// newManager makes the manager. What it writes goes through the fence where there may be another leader.
func newManager(o *options, cfg *rest.Config, stop time.Duration, lease *fence) (ctrl.Manager, error) {
	forLease, guarded := rest.CopyConfig(cfg), rest.CopyConfig(cfg)
	forLease.Wrap(lease.observe)
	forLease.ContentType = runtime.ContentTypeJSON // which it can read
	if o.elects() {
		guarded.Wrap(lease.guard)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, storage.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register API types: %w", err)
		}
	}
	mgr, err := ctrl.NewManager(guarded, ctrl.Options{
		Scheme: scheme,
		// Metrics, probes and profiles are served from the very beginning: see serve.
		Metrics:                 server.Options{BindAddress: addressOff},
		HealthProbeBindAddress:  addressOff,
		PprofBindAddress:        addressOff,
		Cache:                   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		LeaderElection:          o.elects(),
		LeaderElectionID:        leaseName,
		LeaderElectionNamespace: o.operatorNS,
		LeaderElectionConfig:    forLease,
		LeaseDuration:           new(leaseDuration),
		// The process ends when the manager returns, so that the next leader need not wait for the lease to expire.
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &stop,
	})
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	return mgr, nil
}

func addComponents(
	ctx context.Context,
	mgr ctrl.Manager,
	o *options,
	receiver *webhook.Receiver,
	co controllers.Options,
) error {
	if receiver != nil {
		if err := mgr.Add(receiver); err != nil {
			return fmt.Errorf("add the webhook: %w", err)
		}
	}
	if !o.runs(componentControllers) {
		return nil
	}
	instance, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read the host name: %w", err)
	}
	co.Instance = instance
	if err := controllers.Setup(ctx, mgr, co); err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	return nil
}

func controllerOptions(o *options, apps *applications.Map) controllers.Options {
	return controllers.Options{
		Namespace: o.operatorNS, DefaultNamespace: o.defaultNS, Undeclared: o.undeclared, Applications: apps,
		MaxStoredResults: o.maxStored, MaxWritesPerSecond: o.maxWrites, RetainUnclaimed: o.retainUnclaimed,
		PlatformHosts: o.platformHosts, RequireApplication: o.requireApp, CreationGrace: o.creationGrace,
		Registerer: metrics.Registry, Clock: clock.RealClock{},
	}
}

func webhookOptions(o *options, apps *applications.Map) webhook.Options {
	return webhook.Options{
		BindAddress: o.callbackBindAddress, CallbackPath: o.callbackPath, CertDir: o.callbackCertDir,
		ClientCAFile: o.callbackClientCA, SecretsFile: o.callbackSecrets, AllowAnonymous: o.allowAnonymous,
		Applications: apps, Namespace: o.operatorNS, DrainDuration: o.drainDuration,
		IdleTimeout: o.callbackIdleTimeout, ConnectionsPerSource: o.callbackPerSource,
		Registerer: metrics.Registry, Clock: clock.RealClock{}, Log: ctrl.Log.WithName("webhook"),
	}
}

func restConfig(kubeconfig string, this build) (*rest.Config, error) {
	load := ctrl.GetConfig
	if kubeconfig != "" {
		load = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", kubeconfig) }
	}
	cfg, err := load()
	if err != nil {
		return nil, fmt.Errorf("find the API server (set --kubeconfig or run in a pod): %w", err)
	}
	// The first part is also the manager of the fields that the operator writes.
	cfg.UserAgent = "fwupgrade/" + this.version
	cfg.QPS = -1 // the committer, the buckets of the leader's writes and the API server's own fairness limit what is sent
	// Slices come as they are stored: to compress each of them is a twentieth of what a result costs the API server.
	cfg.DisableCompression = true
	return cfg, nil
}

// noticeDeadPeers has HTTP/2 clients that are made from now on notice within five seconds that the API server is gone;
// otherwise it takes 45. What the environment says goes first.
func noticeDeadPeers() error {
	for name, seconds := range map[string]string{
		"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "3", "HTTP2_PING_TIMEOUT_SECONDS": "2",
	} {
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, seconds); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}
