// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Names of the processes of the control plane, as Kill and Restart take them.
const (
	etcdName              = "etcd"
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
)

// startTimeout is how long a process of the control plane may take until it is healthy: on a machine that does ten
// other things at once, envtest's 20 s are not enough.
const startTimeout = 90 * time.Second

// Options says which control plane Start makes. The zero value is a good one.
type Options struct {
	// CRDPaths are the files and folders of the CRDs to install; default config/crd/bases of this module.
	CRDPaths []string
	// APIServerArgs are further arguments of kube-apiserver, without the leading dashes; they replace the default ones
	// of the same name.
	APIServerArgs map[string][]string
	// EtcdArgs are further arguments of etcd. By envtest's default etcd writes without fsync ("unsafe-no-fsync"):
	// killing it loses nothing, a power cut would. Set "unsafe-no-fsync" to "false" to measure it as it is in
	// production.
	EtcdArgs map[string][]string
	// WithoutControllerManager leaves kube-controller-manager out: then deleted namespaces stay, owned objects are not
	// collected and quotas are not counted.
	WithoutControllerManager bool
	// Controllers are further ones that kube-controller-manager runs, such as "deployment-controller".
	Controllers []string
	// LogDir is where the processes write their logs, a file each; by default they are removed with the control plane.
	LogDir string
	// Progress, if not nil, is called with what is being started, before it is.
	Progress func(step string)
}

func (o *Options) setDefaults() {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

// assets are the binaries that are needed.
func (o *Options) assets() []string {
	names := []string{etcdName, apiServerName, "kubectl"}
	if !o.WithoutControllerManager {
		names = append(names, controllerManagerName)
	}
	return names
}

// Cluster is a running control plane. Its methods may be called from several goroutines.
type Cluster struct {
	guard  *guard
	config *rest.Config
	logDir string
	logs   []*os.File

	mu                sync.Mutex // guards what follows
	env               *envtest.Environment
	controllerManager *Process
	stopped           bool
}

// Start starts a control plane on free loopback ports, installs the CRDs and returns when it is ready to serve; about
// 8 s on two cores. The caller has to Stop it.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	o.setDefaults()
	if err := requireAssets(o.assets()...); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	g, err := newGuard()
	if err != nil {
		return nil, err
	}
	c := &Cluster{guard: g, logDir: o.LogDir}
	defer func() {
		if err != nil {
			err = errors.Join(err, notStopped(c.Stop()))
		}
	}()
	if c.logDir == "" {
		c.logDir = g.dir
	}
	if err := c.configure(o); err != nil {
		return nil, err
	}
	o.Progress("etcd and kube-apiserver, with the CRDs")
	config, err := c.env.Start()
	if err != nil {
		return nil, fmt.Errorf("start the control plane (its logs were in %s): %w", c.logDir, err)
	}
	c.config = rest.CopyConfig(config)
	c.config.QPS = -1 // no limit of the client's own
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	if !o.WithoutControllerManager {
		o.Progress(controllerManagerName)
		if err := c.startControllerManager(ctx, o.Controllers); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// configure prepares envtest: fixed folders, so that a killed process finds its data again, and wrapped binaries.
func (c *Cluster) configure(o Options) error {
	crds := o.CRDPaths
	if len(crds) == 0 {
		root, err := ModuleRoot()
		if err != nil {
			return err
		}
		crds = []string{filepath.Join(root, "config", "crd", "bases")}
	}
	existing := false
	c.env = &envtest.Environment{
		CRDDirectoryPaths:        crds,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		UseExistingCluster:       &existing, // whatever the environment says: never touch somebody's cluster
	}
	etcd := &envtest.Etcd{DataDir: filepath.Join(c.guard.dir, "etcd")}
	server := c.env.ControlPlane.GetAPIServer()
	server.CertDir = filepath.Join(c.guard.dir, "apiserver")
	c.env.ControlPlane.Etcd = etcd

	var err error
	if etcd.Path, err = c.wrapped(etcdName); err != nil {
		return err
	}
	if server.Path, err = c.wrapped(apiServerName); err != nil {
		return err
	}
	// Used by nobody here, but envtest would look for it elsewhere.
	if c.env.ControlPlane.KubectlPath, err = Asset("kubectl"); err != nil {
		return err
	}
	etcdLog, err := c.openLog(etcdName)
	if err != nil {
		return err
	}
	serverLog, err := c.openLog(apiServerName)
	if err != nil {
		return err
	}
	etcd.Out, etcd.Err, server.Out, server.Err = etcdLog, etcdLog, serverLog, serverLog

	for _, dir := range []string{etcd.DataDir, server.CertDir} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder for the control plane: %w", err)
		}
	}
	// A second between a stop and the end of the API server is long in a test.
	server.Configure().Set("shutdown-delay-duration", "0s")
	for name, values := range o.APIServerArgs {
		server.Configure().Set(name, values...)
	}
	for name, values := range o.EtcdArgs {
		etcd.Configure().Set(name, values...)
	}
	return nil
}

func (c *Cluster) wrapped(name string) (string, error) {
	binary, err := Asset(name)
	if err != nil {
		return "", err
	}
	return c.guard.wrap(name, binary)
}

func (c *Cluster) openLog(name string) (*os.File, error) {
	if err := os.MkdirAll(c.logDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for logs: %w", err)
	}
	file, err := os.Create(filepath.Join(c.logDir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make the log of %s: %w", name, err)
	}
	c.logs = append(c.logs, file)
	return file, nil
}

// Stop ends the processes of the control plane, the one that depends on the others first, and removes its data.
// Stopping twice is allowed.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	var errs []error
	if c.controllerManager != nil {
		// It holds nothing that a kill could lose, and it takes seconds to end by itself.
		errs = append(errs, c.controllerManager.Kill())
	}
	if c.env != nil {
		errs = append(errs, c.env.ControlPlane.Stop(), c.guard.forget(apiServerName), c.guard.forget(etcdName))
	}
	for _, file := range c.logs {
		errs = append(errs, file.Close())
	}
	errs = append(errs, c.guard.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stop the control plane: %w", err)
	}
	return nil
}

// EtcdDataDir is the folder in which etcd keeps its data.
func (c *Cluster) EtcdDataDir() string { return c.env.ControlPlane.Etcd.DataDir }

// KillAPIServer ends kube-apiserver with SIGKILL.
func (c *Cluster) KillAPIServer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guard.kill(apiServerName)
}

// RestartAPIServer starts a kube-apiserver that was killed, on the same port and with the same keys, so that configs
// and tokens stay good; returns when it is healthy.
func (c *Cluster) RestartAPIServer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	server := c.env.ControlPlane.GetAPIServer()
	server.Args = nil //nolint:staticcheck // envtest left the arguments of the first start here and would add to them.
	if err := server.Start(); err != nil {
		return fmt.Errorf("restart %s: %w", apiServerName, err)
	}
	return nil
}

// SignalAPIServer sends a signal to kube-apiserver: SIGSTOP makes it hang, SIGCONT go on.
func (c *Cluster) SignalAPIServer(signal syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guard.signal(apiServerName, signal)
}

// SignalEtcd sends a signal to etcd.
func (c *Cluster) SignalEtcd(signal syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guard.signal(etcdName, signal)
}

// EtcdURL returns where etcd serves its clients, without TLS or authentication, on loopback.
func (c *Cluster) EtcdURL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.env.ControlPlane.Etcd.URL.String()
}

// KillEtcd ends etcd with SIGKILL.
func (c *Cluster) KillEtcd() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.guard.kill(etcdName)
}

// RestartEtcd starts an etcd that was killed, on the same port and with the same data; returns when it is healthy.
func (c *Cluster) RestartEtcd() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	etcd := c.env.ControlPlane.Etcd
	etcd.Args = nil //nolint:staticcheck // As for the API server.
	if err := etcd.Start(); err != nil {
		return fmt.Errorf("restart %s: %w", etcdName, err)
	}
	return nil
}

var errStopped = errors.New("the control plane was stopped")
