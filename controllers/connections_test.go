// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/internal/link"
	"fwupgrade.io/operator/internal/platform"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/test/harness"
)

// connected are connections to a fake platform that run until the test ends.
type connected struct {
	*connections
	platform *northbound.Server
	// began and ended have the applications whose links asked what is followed, and ended while they did.
	began, ended chan string
}

// newConnected starts connections whose links stay in their first round until they end, and use the connections then.
func newConnected(t *testing.T) *connected {
	t.Helper()
	server, err := northbound.Start(context.WithoutCancel(t.Context()), northbound.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &connected{platform: server, began: make(chan string, 8), ended: make(chan string, 8)}
	c.connections = &connections{
		observe: func(platform.Call) {}, repaired: func(int) {}, period: link.RoundPeriod, clock: clock.RealClock{},
		changedTasks: func([]result.Task) {}, changedApp: func(string) {}, started: make(chan struct{}),
		byApp: map[string]*connection{}, ended: map[string]time.Time{},
		followed: func(ctx context.Context, appID string) ([]link.Followed, error) {
			c.began <- appID
			<-ctx.Done()
			c.wake(appID)
			c.ended <- appID
			return nil, ctx.Err()
		},
	}
	run(t, c.Start)
	return c
}

func (c *connected) credentials() *credentials {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.platform.CA())
	return &credentials{secret: []byte(c.platform.Secret()), rootCAs: roots}
}

func (c *connected) application(name string) *v1alpha1.IoTApplication {
	app := newApplication(name, c.platform.AppID())
	app.Spec.Northbound.Endpoint = c.platform.URL()
	return app
}

func (c *connected) connect(t *testing.T, app *v1alpha1.IoTApplication) {
	t.Helper()
	if _, err := c.ensure(t.Context(), app, c.credentials()); err != nil {
		t.Fatal(err)
	}
}

// within fails the test where something takes longer than a minute.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal(what)
	}
}

// A link that ends may be in a round, which looks into the connections.
func TestConnectionEndsInARound(t *testing.T) {
	for name, end := range map[string]func(c *connected, app *v1alpha1.IoTApplication){
		"ended": func(c *connected, app *v1alpha1.IoTApplication) { c.end(app.Name) },
		"replaced": func(c *connected, app *v1alpha1.IoTApplication) {
			app = app.DeepCopy()
			app.Spec.Northbound.CallbackKey = "callbackurl"
			c.connect(t, app)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConnected(t)
			app := c.application("in-a-round")
			c.connect(t, app)
			within(t, "the link asks for nothing", func() { <-c.began })
			within(t, "the link does not end", func() { end(c, app) })
		})
	}
}

// An IoTApplication that was replaced by one of another application leaves no connection behind.
func TestReplacedApplicationIsDisconnected(t *testing.T) {
	c := newConnected(t)
	app := c.application("replaced")
	c.connect(t, app)
	within(t, "the link asks for nothing", func() { <-c.began })
	other := c.application(app.Name)
	other.Spec.AppID = "another"
	within(t, "the other one is not connected", func() { c.connect(t, other) })
	if c.of(app.Spec.AppID) != nil || c.of(other.Spec.AppID) == nil {
		t.Error("the application before is still connected, or the new one is not")
	}
	select {
	case <-c.ended:
	default:
		t.Error("the link before runs")
	}
}

// Another limit makes no new connection, which would know nothing and call nobody for a minute.
func TestLimitChangesWithoutANewConnection(t *testing.T) {
	c := newConnected(t)
	app := c.application("faster")
	c.connect(t, app)
	before := c.of(app.Spec.AppID)
	app.Spec.CallsPerMinute = 600
	c.connect(t, app)
	if after := c.of(app.Spec.AppID); after != before || after.callsPerMinute != 600 {
		t.Error("the application was connected anew, or has the limit of before")
	}
}

// An application whose connection ended a moment ago is not called before the platform's minute has passed, whatever
// its IoTApplication is called and whether it was ever connected; nor in the first minute of a leader, if it was.
func TestQuietMinute(t *testing.T) {
	c := newConnected(t)
	app := c.application("before")
	if quiet := c.quietUntil(app); !quiet.IsZero() {
		t.Errorf("an application that was never connected is quiet until %s", quiet)
	}
	was := app.DeepCopy()
	was.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady}}
	<-c.started
	if quiet := c.quietUntil(was); !quiet.Equal(c.led.Add(limitWindow)) {
		t.Errorf("with the change of leader it is quiet until %s", quiet)
	}
	c.connect(t, app)
	within(t, "the link asks for nothing", func() { <-c.began })
	before := time.Now()
	c.end(app.Name)
	if quiet := c.quietUntil(c.application("renamed")); quiet.Before(before.Add(limitWindow)) {
		t.Errorf("renamed it is quiet until %s", quiet)
	}
}

// What is declared decides whether the counts wait for the platform, not what is connected at the moment.
func TestViewOfWhatIsDeclared(t *testing.T) {
	c := newConnected(t)
	<-c.started
	app := c.application("declared")
	task := result.Task{AppID: app.Spec.AppID, OperationID: "op"}
	p := c.view(app, task)
	if p.NotConnected || p.Trouble == "" || !p.Since.Equal(c.led) {
		t.Errorf("before it is connected: %+v", p)
	}
	c.connect(t, app)
	if p := c.view(app, task); p.NotConnected || p.Since.Before(c.led) || p.Judgement != status.NotJudged {
		t.Errorf("connected: %+v", p)
	}
	c.end(app.Name)
	app.CreationTimestamp = metav1.NewTime(c.led.Add(time.Hour))
	if p := c.view(app, task); p.NotConnected || p.Trouble == "" || !p.Since.Equal(app.CreationTimestamp.Time) {
		t.Errorf("after its end: %+v", p)
	}
}

// Nobody can have asked for a task before it was followed, however long its application was connected by then.
func TestViewBeginsWhereTheTaskIsFollowed(t *testing.T) {
	c := newConnected(t)
	if err := c.platform.SetFaults(northbound.Faults{ErrorBefore: northbound.Fault{
		Share: 1, Calls: []northbound.Call{northbound.CallLogin},
	}}); err != nil {
		t.Fatal(err)
	}
	app := c.application("followed")
	task := result.Task{AppID: app.Spec.AppID, OperationID: "op"}
	c.followed = func(context.Context, string) ([]link.Followed, error) { return []link.Followed{{Task: task}}, nil }
	c.connect(t, app)
	began := c.of(app.Spec.AppID).began
	harness.EventuallyWithin(t, time.Minute, func() string {
		if p := c.view(app, task); !p.Since.After(began) {
			return "it is said to be followed since " + p.Since.String()
		}
		return ""
	})
	task.OperationID = "another"
	if p := c.view(app, task); !p.Since.Equal(began) {
		t.Errorf("what is not followed yet is so since %s", p.Since)
	}
}
