// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// OperatorNamespace is where the operator that StartOperator starts stores its slices.
	OperatorNamespace = "fwupgrade-system"
	// CallbackPath is the default of the manager's --callback-path.
	CallbackPath = "/v1.0.0/messageReceiver"

	operatorStopTimeout = 30 * time.Second
	portProbeTimeout    = time.Second
	maxPort             = 65535

	secretsFile = "callback-secrets"
)

// ErrNotStopped is in the error of a start that failed, or was interrupted, and left something behind.
var ErrNotStopped = errors.New("not everything was stopped again")

// notStopped marks an error of stopping what was started.
func notStopped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotStopped, err)
}

// OperatorOptions says how StartOperator runs control plane and operator.
type OperatorOptions struct {
	// Dir is where kubeconfig, callback-secrets and the logs are written, by one operator at a time. Required. But for
	// the logs nothing is left there.
	Dir string
	// CallbackPort is where notifications are received, on 127.0.0.1, plain HTTP; 0 for a free port.
	CallbackPort int
	// Args are further arguments of the manager.
	Args []string
	// WithoutControllerManager and Progress are as in Options.
	WithoutControllerManager bool
	Progress                 func(step string)
}

func (o *OperatorOptions) cluster() Options {
	options := Options{LogDir: o.Dir, WithoutControllerManager: o.WithoutControllerManager, Progress: o.Progress}
	options.setDefaults()
	return options
}

// Operator is a control plane with one manager that runs all components on it, acting as administrator.
type Operator struct {
	Cluster *Cluster
	Manager *Manager
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	// CallbackURL is where to push notifications, with the secret. It is a secret itself.
	CallbackURL string

	lock io.Closer
	log  *os.File
	// start starts a manager.
	start func(ctx context.Context) (*Manager, error)
}

// StartOperator starts a control plane and the operator and returns when both are ready. A path secret is made anew
// each time. The caller has to Stop it. On an error everything is stopped again, or the error is ErrNotStopped, too.
func StartOperator(ctx context.Context, o OperatorOptions) (_ *Operator, err error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(o.CallbackPort))
	if o.CallbackPort != 0 && inUse(ctx, address) {
		return nil, fmt.Errorf("something listens on %s already, perhaps another `make run`: stop it, or take another "+
			"port with `make run CALLBACK_PORT=%d`", address, o.CallbackPort%maxPort+1)
	}
	held, err := lock(o.Dir)
	if err != nil {
		return nil, err
	}
	op := &Operator{Kubeconfig: filepath.Join(o.Dir, "kubeconfig"), lock: held}
	defer func() {
		if err != nil {
			err = errors.Join(err, notStopped(op.Stop()))
		}
	}()
	options := o.cluster()
	if op.Cluster, err = Start(ctx, options); err != nil {
		return nil, err
	}
	if err := op.Cluster.WriteKubeconfig(op.Kubeconfig); err != nil {
		return nil, err
	}
	if err := op.Cluster.EnsureNamespace(ctx, OperatorNamespace); err != nil {
		return nil, err
	}
	secret := rand.Text()
	secrets := filepath.Join(o.Dir, secretsFile)
	if err := os.WriteFile(secrets, []byte(secret+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write the callback secret: %w", err)
	}
	if o.CallbackPort == 0 { // found now: one that was free before the control plane started may have been taken since
		free, err := FreeAddresses(1)
		if err != nil {
			return nil, err
		}
		address = free[0]
	}
	op.CallbackURL = scheme(o.Args) + "://" + address + CallbackPath + "/" + secret
	options.Progress("the operator")
	if op.log, err = os.Create(filepath.Join(o.Dir, "manager.log")); err != nil {
		return nil, fmt.Errorf("make the log of the manager: %w", err)
	}
	op.start = func(ctx context.Context) (*Manager, error) {
		return StartManager(ctx, ManagerOptions{
			Config:          op.Cluster.Config(),
			Dir:             op.Cluster.guard.dir, // goes with the control plane, however that ends
			CallbackAddress: address,
			Output:          op.log,
			Args: append([]string{
				"--callback-secrets-file=" + secrets,
				"--operator-namespace=" + OperatorNamespace,
				"--default-namespace=default",
				"--leader-elect=false",
				// There is no load balancer that has to notice first.
				"--drain-duration=1s",
			}, o.Args...),
		})
	}
	if op.Manager, err = op.start(ctx); err != nil {
		return nil, err
	}
	return op, nil
}

// ReplaceManager kills the manager and starts another one in its place.
func (op *Operator) ReplaceManager(ctx context.Context) error {
	if err := op.Manager.Kill(); err != nil {
		return err
	}
	op.Manager = nil
	var err error
	op.Manager, err = op.start(ctx)
	return err
}

// Stop ends the manager, in order, and then the control plane, and removes the credentials for both. What was not
// started is left out.
func (op *Operator) Stop() error {
	var errs []error
	if op.Manager != nil {
		ctx, cancel := context.WithTimeout(context.Background(), operatorStopTimeout)
		defer cancel()
		errs = append(errs, op.Manager.Stop(ctx))
	}
	if op.Cluster != nil {
		errs = append(errs, op.Cluster.Stop())
	}
	if op.log != nil {
		errs = append(errs, op.log.Close())
	}
	for _, credentials := range []string{op.Kubeconfig, filepath.Join(filepath.Dir(op.Kubeconfig), secretsFile)} {
		if err := os.Remove(credentials); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove the credentials: %w", err))
		}
	}
	return errors.Join(append(errs, op.lock.Close())...)
}

// lock makes sure that nobody else uses the folder until the returned file is closed.
func lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the operator: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another operator runs in %s: stop it first", dir), file.Close())
	}
	return file, nil
}

// scheme returns how a manager with these arguments serves the callback.
func scheme(args []string) string {
	for _, arg := range args {
		if strings.HasPrefix(arg, "--callback-cert-dir") {
			return "https"
		}
	}
	return "http"
}

func inUse(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{Timeout: portProbeTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
