// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/creation"
	"fwupgrade.io/operator/internal/link"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
)

// limitWindow is the platform's window of the limit of calls. In its first one a leader calls nobody that another one
// may have called.
const limitWindow = time.Minute

// rememberEnd is for how long it is known when the connection of an application ended. After that its calls are out of
// the platform's window, and no upgrade waits for it any more.
const rememberEnd = time.Hour

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

	// mu is never held while a link is stopped: what a link waits for may wait for mu.
	mu    sync.RWMutex
	byApp map[string]*connection
	// led is when this process came to lead.
	led time.Time
	// ended is when the last connection of an application ended, for rememberEnd.
	ended map[string]time.Time
}

// connection is the link of one application, and what it was made from.
type connection struct {
	settings settings
	client   *platform.Client
	link     *link.Link
	// began is when it did.
	began time.Time
	// callsPerMinute is the limit, which only reconciles change.
	callsPerMinute int32
	credentials    atomic.Pointer[credentials]
	stop           func()
}

// settings are what a link has to be made anew for when they change.
type settings struct {
	name, appID, endpoint, serverName, caVersion, callbackKey string
	certificate                                               bool
	notifications                                             string
}

func settingsOf(app *v1alpha1.IoTApplication, c *credentials) settings {
	n := app.Spec.Northbound
	notifications := slices.Clone(app.Spec.Notifications)
	slices.Sort(notifications)
	return settings{
		name: app.Name, appID: app.Spec.AppID, endpoint: n.Endpoint, serverName: n.ServerName, caVersion: c.caVersion,
		callbackKey: string(n.CallbackKey), certificate: c.certificate != nil,
		notifications: fmt.Sprint(notifications),
	}
}

// Start implements manager.Runnable.
func (c *connections) Start(ctx context.Context) error {
	c.ctx = ctx
	c.mu.Lock()
	c.led = c.clock.Now()
	c.mu.Unlock()
	close(c.started)
	<-ctx.Done()
	c.endWhere(func(*connection) bool { return true })
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
	if of := c.of(wanted.appID); of != nil && of.settings == wanted {
		of.client.Redact([]byte(read.callback.URL))
		if old := of.credentials.Swap(read); old.callback.Version != read.callback.Version ||
			string(old.secret) != string(read.secret) || !sameCertificate(old.certificate, read.certificate) {
			of.link.Corrected()
		}
		if n := app.Spec.CallsPerMinute; n != of.callsPerMinute {
			of.callsPerMinute = n
			of.link.SetCallsPerMinute(int(n))
		}
		return of.link, nil
	}
	// Of an IoTApplication that was replaced, the connection may be to another application.
	c.endWhere(func(of *connection) bool { return of.settings.appID == wanted.appID || of.settings.name == wanted.name })
	of := &connection{settings: wanted, callsPerMinute: app.Spec.CallsPerMinute}
	of.credentials.Store(read)
	client, err := platform.New(platform.Options{
		Endpoint: wanted.endpoint, ServerName: wanted.serverName, AppID: wanted.appID, RootCAs: read.rootCAs,
		Secret:            func() ([]byte, error) { return of.credentials.Load().secret, nil },
		ClientCertificate: of.clientCertificate(), CallsPerMinute: int(of.callsPerMinute), QuietUntil: c.quietUntil(app),
		CallbackKey: wanted.callbackKey, Clock: c.clock, Observe: c.observe,
	})
	if err != nil {
		return nil, &refusedSpecError{err}
	}
	// Before anything is called: the platform's texts may hold what it was ever told.
	client.Redact([]byte(read.callback.URL))
	of.client, of.link = client, link.New(c.optionsOf(app, of, client))
	return of.link, c.begin(of)
}

// begin runs a link for as long as this process leads.
func (c *connections) begin(of *connection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(c.ctx, ctrl.Log.WithValues("appId", of.settings.appID)))
	ended := make(chan struct{})
	go func() { defer close(ended); of.link.Run(ctx) }()
	of.began, of.stop = c.clock.Now(), func() { cancel(); <-ended }
	c.byApp[of.settings.appID] = of
	return nil
}

// quietUntil is until when an application must not be called, as calls of a connection before may be in the platform's
// window: of this process, or of the leader before, unless the IoTApplication was never connected.
func (c *connections) quietUntil(app *v1alpha1.IoTApplication) time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var quiet time.Time
	if ended, ok := c.ended[app.Spec.AppID]; ok {
		quiet = ended.Add(limitWindow)
	}
	if led := c.led.Add(limitWindow); len(app.Status.Conditions) > 0 && led.After(quiet) {
		quiet = led
	}
	return quiet
}

func (c *connections) optionsOf(app *v1alpha1.IoTApplication, of *connection, client *platform.Client) link.Options {
	name, appID := app.Name, app.Spec.AppID
	var notifications []string
	for _, n := range app.Spec.Notifications {
		notifications = append(notifications, string(n))
	}
	return link.Options{
		Client: client, Notifications: notifications,
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

// sameCertificate says whether two client certificates, nil where there is none, are the same.
func sameCertificate(a, b *tls.Certificate) bool {
	return (a == nil) == (b == nil) && (a == nil || slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal))
}

// end ends the connection of an IoTApplication, if there is one.
func (c *connections) end(name string) {
	c.endWhere(func(of *connection) bool { return of.settings.name == name })
}

// endWhere ends connections, and notes when they have ended.
func (c *connections) endWhere(ends func(*connection) bool) {
	var ended []*connection
	c.mu.Lock()
	for appID, of := range c.byApp {
		if ends(of) {
			ended = append(ended, of)
			delete(c.byApp, appID)
		}
	}
	c.mu.Unlock()
	for _, of := range ended {
		of.stop()
		c.noteEnd(of.settings.appID)
	}
}

func (c *connections) noteEnd(appID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	maps.DeleteFunc(c.ended, func(_ string, at time.Time) bool { return now.Sub(at) > rememberEnd })
	c.ended[appID] = now
}

// of is the connection of an application; nil where there is none.
func (c *connections) of(appID string) *connection {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byApp[appID]
}

// view is what is known of the platform's view of a task of an application that an IoTApplication declares.
func (c *connections) view(app *v1alpha1.IoTApplication, task result.Task) *status.Platform {
	of := c.of(app.Spec.AppID)
	if of == nil {
		c.mu.RLock()
		defer c.mu.RUnlock()
		p := &status.Platform{Trouble: "IoTApplication " + app.Name + " is not connected", Since: c.led}
		if declared := app.CreationTimestamp.Time; declared.After(p.Since) {
			p.Since = declared
		}
		p.AnsweredAt = c.ended[app.Spec.AppID]
		return p
	}
	p := of.link.View(task)
	if of.began.After(p.Since) {
		p.Since = of.began
	}
	return p
}

// ledSince is since when this process leads.
func (c *connections) ledSince() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.led
}

// creator is the connection at which the tasks of an application are created, nil where there is none or it does not
// work.
func (c *connections) creator(app *v1alpha1.IoTApplication) *creation.Application {
	connected := c.of(app.Spec.AppID)
	if connected == nil || connected.link.State().Connected.Status != metav1.ConditionTrue ||
		!connected.client.Status().BreakerOpenUntil.IsZero() {
		return nil
	}
	return &creation.Application{ID: app.Spec.AppID, Platform: connected.client}
}

// wake has an application's platform asked soon.
func (c *connections) wake(appID string) {
	if of := c.of(appID); of != nil {
		of.link.Wake()
	}
}
