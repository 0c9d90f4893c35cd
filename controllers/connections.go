// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/link"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
)

// limitWindow is the platform's window of the limit of calls. In its first one a leader calls nobody that another one
// may have called.
const limitWindow = time.Minute

// connections are the links of the connected applications. A manager.Runnable of the leader: links live as long as it
// runs.
type connections struct {
	store    link.Store
	followed func(ctx context.Context, appID string) ([]link.Followed, error)
	observe  func(platform.Call)
	repaired func(n int)
	period   time.Duration
	clock    clock.WithTicker
	// changedTasks is called with the tasks whose view changed, changedApp with the name of an IoTApplication whose state
	// did.
	changedTasks func([]result.Task)
	changedApp   func(name string)

	started chan struct{}
	ctx     context.Context //nolint:containedctx // That of the leader, for what outlives the call that began it.

	mu    sync.RWMutex
	byApp map[string]*connection
	// any says whether there is an IoTApplication at all.
	any bool
}

// connection is the link of one application, and what it was made from.
type connection struct {
	settings settings
	link     *link.Link
	// namespaces are those of the IoTApplication.
	namespaces  []string
	credentials atomic.Pointer[credentials]
	stop        func()
}

// settings are what a link has to be made anew for when they change.
type settings struct {
	name, appID, endpoint, serverName, caVersion, callbackKey string
	certificate                                               bool
	notifications                                             string
	callsPerMinute                                            int32
}

func settingsOf(app *v1alpha1.IoTApplication, c *credentials) settings {
	n := app.Spec.Northbound
	notifications := slices.Clone(app.Spec.Notifications)
	slices.Sort(notifications)
	return settings{
		name: app.Name, appID: app.Spec.AppID, endpoint: n.Endpoint, serverName: n.ServerName, caVersion: c.caVersion,
		callbackKey: string(n.CallbackKey), certificate: c.certificate != nil,
		notifications: fmt.Sprint(notifications), callsPerMinute: app.Spec.CallsPerMinute,
	}
}

// Start implements manager.Runnable.
func (c *connections) Start(ctx context.Context) error {
	c.ctx = ctx
	close(c.started)
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	for appID, of := range c.byApp {
		of.stop()
		delete(c.byApp, appID)
	}
	return nil
}

// refusedSpecError says what is wrong with a spec or a Secret, so that no connection can be made of them.
type refusedSpecError struct{ error }

// ensure connects an application as it is declared. Secrets are taken over as they are; only what a connection is made
// of makes a new one.
func (c *connections) ensure(ctx context.Context, app *v1alpha1.IoTApplication, read *credentials) (*link.Link, error) {
	select {
	case <-c.started:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	wanted := settingsOf(app, read)
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.byApp[wanted.appID]
	if before != nil && before.settings == wanted {
		if old := before.credentials.Swap(read); old.callback.Version != read.callback.Version ||
			string(old.secret) != string(read.secret) {
			before.link.Wake()
		}
		before.namespaces = app.Spec.Namespaces
		return before.link, nil
	}
	of := &connection{settings: wanted, namespaces: app.Spec.Namespaces}
	of.credentials.Store(read)
	quietUntil := time.Time{}
	if before != nil || len(app.Status.Conditions) > 0 { // somebody may have called a moment ago
		quietUntil = c.clock.Now().Add(limitWindow)
	}
	client, err := platform.New(platform.Options{
		Endpoint: wanted.endpoint, ServerName: wanted.serverName, AppID: wanted.appID, RootCAs: read.rootCAs,
		Secret:            func() ([]byte, error) { return of.credentials.Load().secret, nil },
		ClientCertificate: of.clientCertificate(), CallsPerMinute: int(wanted.callsPerMinute), QuietUntil: quietUntil,
		CallbackKey: wanted.callbackKey, Clock: c.clock, Observe: c.observe,
	})
	if err != nil {
		return nil, &refusedSpecError{err}
	}
	if before != nil {
		before.stop()
	}
	of.link = link.New(c.optionsOf(app, of, client))
	ctx, cancel := context.WithCancel(c.ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); of.link.Run(ctx) }()
	of.stop = func() { cancel(); <-ended }
	c.byApp[wanted.appID] = of
	return of.link, nil
}

func (c *connections) optionsOf(app *v1alpha1.IoTApplication, of *connection, client *platform.Client) link.Options {
	name, appID := app.Name, app.Spec.AppID
	var notifications []string
	for _, n := range app.Spec.Notifications {
		notifications = append(notifications, string(n))
	}
	return link.Options{
		Client: client, AppID: appID, Notifications: notifications,
		Callback: func() (link.Callback, error) {
			read := of.credentials.Load()
			return read.callback, read.callbackErr
		},
		Followed:       func(ctx context.Context) ([]link.Followed, error) { return c.followed(ctx, appID) },
		Store:          c.store,
		Changed:        c.changedTasks,
		StateChanged:   func() { c.changedApp(name) },
		Repaired:       c.repaired,
		WasMissing:     conditionReason(app.Status.Conditions, v1alpha1.ConditionReceiving) == v1alpha1.ReasonPushesMissing,
		CallsPerMinute: int(app.Spec.CallsPerMinute), Period: c.period, Clock: c.clock,
	}
}

// clientCertificate returns the client certificate as the Secret has it now, at each handshake; nil where none is
// shown.
func (c *connection) clientCertificate() func() (*tls.Certificate, error) {
	if !c.settings.certificate {
		return nil
	}
	return func() (*tls.Certificate, error) {
		if certificate := c.credentials.Load().certificate; certificate != nil {
			return certificate, nil
		}
		return nil, errors.New("the Secret has no client certificate any more")
	}
}

// end ends the connection of an IoTApplication, if there is one.
func (c *connections) end(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for appID, of := range c.byApp {
		if of.settings.name == name {
			of.stop()
			delete(c.byApp, appID)
		}
	}
}

// view is what is known of the platform's view of a task; nil where no application is connected at all.
func (c *connections) view(task result.Task) *status.Platform {
	c.mu.RLock()
	of, any := c.byApp[task.AppID], c.any
	c.mu.RUnlock()
	switch {
	case of != nil:
		return of.link.View(task)
	case any:
		return &status.Platform{NotConnected: true}
	}
	return nil
}

// wake has an application's platform asked soon.
func (c *connections) wake(appID string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if of := c.byApp[appID]; of != nil {
		of.link.Wake()
	}
}

// setAny notes whether there is an IoTApplication at all.
func (c *connections) setAny(any bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.any = any
}
