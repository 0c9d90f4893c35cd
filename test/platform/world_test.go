// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package platform tests the connection to the platform: the controllers and the installed webhook run against a real
// API server and against the simulator's northbound API, by TLS.
package platform

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/northbound"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

const (
	operatorNamespace = "fwupgrade-system"
	// secret authenticates pushes: the last part of the callback's path.
	secret = "the-callbacks-own-secret"
	// roundPeriod is how far apart rounds are.
	roundPeriod = 4 * time.Second
	// callsPerMinute is the limit of both sides where nothing else is said: so many that nobody waits for a call.
	callsPerMinute = 6000
)

// What the tests share: a control plane with config/default applied, its administrator, and everything that was logged.
var (
	cluster *local.Cluster
	k8s     client.WithWatch
	logged  lockedBuffer
)

// lockedBuffer is a buffer that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(zap.New(zap.WriteTo(&logged)))
	harness.Main(m, local.Options{}, func(c *local.Cluster, dir string) (err error) {
		cluster = c
		if k8s, err = harness.NewClient(c); err != nil {
			return err
		}
		kubeconfig := filepath.Join(dir, "kubeconfig")
		if err := c.WriteKubeconfig(kubeconfig); err != nil {
			return err
		}
		if err := harness.Install(context.Background(), kubeconfig); err != nil {
			return err
		}
		return installPlatform(kubeconfig)
	})
}

// installPlatform applies what config/platform adds.
func installPlatform(kubeconfig string) error {
	root, err := local.ModuleRoot()
	if err != nil {
		return err
	}
	for _, file := range []string{"role.yaml", "role_binding.yaml"} {
		_, err := harness.Kubectl(context.Background(), kubeconfig, "apply", "-f",
			filepath.Join(root, "config", "platform", file))
		if err != nil {
			return err
		}
	}
	return nil
}

// world is an operator that is connected to a platform.
type world struct {
	t         *testing.T
	namespace string
	platform  *northbound.Server
	webhook   *local.Manager
	registry  *prometheus.Registry
	app       *v1alpha1.IoTApplication
	clock     *steppedClock
	// secrets are the values that were put into Secrets, and their keys.
	secrets map[string]string
	// stop ends the controllers.
	stop func()
	// kill is where the controllers are to die, nil for nowhere.
	kill *kill
	// elects says that there may be other controllers, so that these wait for the lease.
	elects bool
}

// start runs a platform, the webhook and the controllers until the test ends. The application is not declared yet.
func start(t *testing.T, o northbound.Options) *world {
	t.Helper()
	return startWith(t, o, newSteppedClock())
}

// startWith is start with a clock of the test's own.
func startWith(t *testing.T, o northbound.Options, clk *steppedClock) *world {
	t.Helper()
	w := &world{
		t: t, namespace: harness.NewNamespace(t, k8s), registry: prometheus.NewRegistry(), clock: clk,
		secrets: map[string]string{},
	}
	var err error
	if o.Speed == 0 {
		o.Speed = 60 // an upgrade takes seconds
	}
	if o.CallsPerMinute == 0 {
		o.CallsPerMinute = callsPerMinute
	}
	o.Clock = w.clock
	o.Seed = uint64(time.Now().UnixNano()) // an application of its own for each test
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	if w.platform, err = northbound.Start(ctx, o); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.platform.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	w.startWebhook()
	w.stop = w.startControllers()
	t.Cleanup(w.expectNoSecrets)
	return w
}

// runClock is a clock that goes from a time on.
func runClock(_ *testing.T, now time.Time) *steppedClock {
	c := newSteppedClock()
	c.ahead = time.Until(now)
	return c
}

func (w *world) startWebhook() {
	w.t.Helper()
	secrets := filepath.Join(w.t.TempDir(), "secrets")
	if err := os.WriteFile(secrets, []byte(secret+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	account, err := cluster.ServiceAccountConfig(w.t.Context(), operatorNamespace, "fwupgrade-webhook")
	if err != nil {
		w.t.Fatal(err)
	}
	w.webhook, err = local.StartManager(w.t.Context(), local.ManagerOptions{
		Config: account, Dir: w.t.TempDir(), Components: "webhook", Output: &logged,
		Args: []string{"--callback-secrets-file=" + secrets, "--drain-duration=1s"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.webhook.Stop(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	})
}

// startControllers runs the controllers under their service account, with rounds that are seconds apart.
func (w *world) startControllers() (stop func()) {
	w.t.Helper()
	account, err := cluster.ServiceAccountConfig(w.t.Context(), operatorNamespace, "fwupgrade-controllers")
	if err != nil {
		w.t.Fatal(err)
	}
	return w.runControllers(account)
}

func (w *world) runControllers(account *rest.Config) (stop func()) {
	w.t.Helper()
	if w.kill != nil {
		account = rest.CopyConfig(account)
		account.Wrap(w.kill.wrap)
	}
	scheme, err := harness.NewScheme()
	if err != nil {
		w.t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(account, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller:     config.Controller{SkipNameValidation: new(true)},
		LeaderElection: w.elects, LeaderElectionID: leaseName, LeaderElectionNamespace: operatorNamespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	err = controllers.Setup(w.t.Context(), mgr, controllers.Options{
		Namespace: operatorNamespace, DefaultNamespace: "default", Undeclared: controllers.UndeclaredAdopt,
		MaxStoredResults: 1_000_000, MaxWritesPerSecond: 150, RetainUnclaimed: 24 * time.Hour, Instance: "test",
		CreationGrace: time.Hour, Leads: w.leads,
		Registerer: w.registry, Clock: w.clock, RoundPeriod: roundPeriod,
		PlatformHosts: controllers.PlatformHosts{strings.TrimPrefix(w.platform.URL(), "https://")},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// callbackURL is what the platform is to push to.
func (w *world) callbackURL() string {
	return "http://" + w.webhook.CallbackAddress + "/v1.0.0/messageReceiver/" + secret
}

// connect declares the application with its Secrets.
func (w *world) connect(adjust ...func(*v1alpha1.IoTApplication)) {
	w.t.Helper()
	name := "app-" + w.namespace
	w.createSecret(name, map[string]string{"secret": w.platform.Secret(), "callback-url": w.callbackURL()})
	w.createSecret(name+"-tls", map[string]string{"ca.crt": string(w.platform.CA())})
	w.app = &v1alpha1.IoTApplication{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.IoTApplicationSpec{
			AppID: w.platform.AppID(), Namespaces: []string{w.namespace}, CallsPerMinute: callsPerMinute,
			Notifications: []v1alpha1.Notification{v1alpha1.NotificationResult},
			Northbound: v1alpha1.Northbound{
				Endpoint: w.platform.URL(), CredentialsRef: v1alpha1.SecretReference{Name: name},
				TLSRef: &v1alpha1.SecretReference{Name: name + "-tls"},
			},
		},
	}
	for _, f := range adjust {
		f(w.app)
	}
	w.declare(w.app)
}

// declare creates an IoTApplication, which is the world's from then on, until the test ends.
func (w *world) declare(app *v1alpha1.IoTApplication) {
	w.t.Helper()
	w.app = app
	if err := k8s.Create(w.t.Context(), app); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := k8s.Delete(context.WithoutCancel(w.t.Context()), app); client.IgnoreNotFound(err) != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(func() { w.expectNoSecretsAbout(app) }) // before it is deleted
}

func (w *world) createSecret(name string, data map[string]string) {
	w.t.Helper()
	w.keepSecret(data)
	of := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}, StringData: data}
	if err := k8s.Create(w.t.Context(), of); err != nil {
		w.t.Fatal(err)
	}
}

// keepSecret has values looked for where they must not be, each line by itself. Certificates are no secrets.
func (w *world) keepSecret(data map[string]string) {
	for key, value := range data {
		if key == "ca.crt" || key == corev1.TLSCertKey {
			continue
		}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-----") {
				w.secrets[line] = key
			}
		}
	}
}

// patchSecret changes a value of the credentials.
func (w *world) patchSecret(key, value string) {
	w.t.Helper()
	w.keepSecret(map[string]string{key: value})
	of := &corev1.Secret{}
	name := client.ObjectKey{Namespace: operatorNamespace, Name: w.app.Name}
	if err := k8s.Get(w.t.Context(), name, of); err != nil {
		w.t.Fatal(err)
	}
	of.Data[key] = []byte(value)
	if err := k8s.Update(w.t.Context(), of); err != nil {
		w.t.Fatal(err)
	}
}

// lookAgain has the controllers look at the application at once, as they do every minute.
func (w *world) lookAgain() {
	w.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"looked-at":%q}}}`, time.Now())
	if err := k8s.Patch(w.t.Context(), w.app, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		w.t.Fatal(err)
	}
}

// stepOverQuiet waits until a new connection is made, and steps over the minute in which it calls nobody: calls of a
// connection before may be in the platform's minute.
func (w *world) stepOverQuiet() {
	w.t.Helper()
	before := w.platform.Report().CallList
	w.awaitApp(v1alpha1.ConditionConnected, metav1.ConditionUnknown, v1alpha1.ReasonConnecting)
	w.clock.step(time.Minute)
	w.expectPause(before)
}

// leadAnew ends the controllers and begins others, who call nobody in their first minute, which is stepped over. The
// conditions of the application stand meanwhile.
func (w *world) leadAnew() {
	w.t.Helper()
	w.stop()
	before := w.platform.Report().CallList
	w.registry = prometheus.NewRegistry()
	w.stop = w.startControllers()
	time.Sleep(5 * time.Second) // in which one that waits for nothing would call
	w.clock.step(time.Minute)
	w.expectPause(before)
}

// expectPause waits for the next call, and sees that it comes a minute after those before.
func (w *world) expectPause(before []northbound.CallRecord) {
	w.t.Helper()
	var calls []northbound.CallRecord
	harness.Eventually(w.t, func() string {
		if calls = w.platform.Report().CallList; len(calls) == len(before) {
			return "the new connection calls nobody"
		}
		return ""
	})
	if n := len(before); n > 0 && calls[n].Time.Sub(calls[n-1].Time) < time.Minute {
		w.t.Errorf("a new connection calls %s after the one before", calls[n].Time.Sub(calls[n-1].Time))
	}
}

// awaitApp waits until a condition of the application has a status and a reason, if one is given.
func (w *world) awaitApp(kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	w.t.Helper()
	var c *metav1.Condition
	harness.EventuallyWithin(w.t, 2*time.Minute, func() string {
		if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(w.app), w.app); err != nil {
			return err.Error()
		}
		c = meta.FindStatusCondition(w.app.Status.Conditions, kind)
		if c == nil || c.Status != status || reason != "" && c.Reason != reason {
			return fmt.Sprintf("want %s %s for %s, got %+v", kind, status, reason, w.app.Status.Conditions)
		}
		return ""
	})
	return c
}

// createTask has the platform upgrade so many devices.
func (w *world) createTask(spec northbound.TaskSpec) (operationID string) {
	w.t.Helper()
	operationID, err := w.platform.CreateTask(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return operationID
}

// upgrade has the platform upgrade so many devices, follows that, of an application or of any where that is empty, and
// waits for an end at which all counts are equal.
func (w *world) upgrade(name, appID string, count int) (fwu *v1alpha1.FirmwareUpgrade, operationID string) {
	w.t.Helper()
	operationID = w.createTask(northbound.TaskSpec{Count: count})
	fwu = wrappers.MakeFirmwareUpgrade(name, w.namespace).Operation(operationID).App(appID).Settle(0).Obj()
	if err := k8s.Create(w.t.Context(), fwu); err != nil {
		w.t.Fatal(err)
	}
	w.await(fwu, func() string {
		if !meta.IsStatusConditionTrue(fwu.Status.Conditions, v1alpha1.ConditionFinished) {
			return "it has not finished"
		}
		return synced(fwu, v1alpha1.ReasonCountsEqual)
	})
	return fwu, operationID
}

// await waits until a FirmwareUpgrade satisfies a condition, which says what is wrong.
func (w *world) await(fwu *v1alpha1.FirmwareUpgrade, condition func() string) {
	w.t.Helper()
	harness.EventuallyWithin(w.t, 3*time.Minute, func() string {
		if err := k8s.Get(w.t.Context(), client.ObjectKeyFromObject(fwu), fwu); err != nil {
			return err.Error()
		}
		if wrong := condition(); wrong != "" {
			return fmt.Sprintf("%s: %s; %+v", wrong, fwu.Status.Progress, fwu.Status.Conditions)
		}
		return ""
	})
}
