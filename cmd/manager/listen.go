// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listeners are the ports of the process beside the callback's; nil where a flag turned one off.
type listeners struct {
	metrics, probes, pprof net.Listener
}

// listen opens every port before anything is received, claimed or led, so that one that is taken is said at once, by
// its flag. The port of the callback is only tried: it is opened for good when pushes can be answered, because whoever
// connects before would wait for nothing.
func listen(ctx context.Context, o *options) (_ *listeners, err error) {
	l := &listeners{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	for _, port := range []struct {
		flag, address string
		listener      *net.Listener
	}{
		{"--health-probe-bind-address", o.probeBindAddress, &l.probes},
		{"--metrics-bind-address", o.metricsBindAddress, &l.metrics},
		{"--pprof-bind-address", o.pprofBindAddress, &l.pprof},
	} {
		if port.address == addressOff || port.address == "" {
			continue
		}
		if *port.listener, err = open(ctx, port.flag, port.address); err != nil {
			return nil, err
		}
	}
	if !o.runs(componentWebhook) {
		return l, nil
	}
	callback, err := open(ctx, "--callback-bind-address", o.callbackBindAddress)
	if err != nil {
		return nil, err
	}
	return l, callback.Close()
}

// close closes what is open.
func (l *listeners) close() error {
	var errs []error
	for _, listener := range []net.Listener{l.metrics, l.probes, l.pprof} {
		if listener != nil {
			errs = append(errs, listener.Close())
		}
	}
	return errors.Join(errs...)
}

// open listens on an address, or says what to do about its flag.
func open(ctx context.Context, flag, address string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err == nil {
		return listener, nil
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s=%s: somebody listens there already: set it to another port", flag, address)
	}
	return nil, fmt.Errorf("%s=%s: can't listen there: %w", flag, address, err)
}
