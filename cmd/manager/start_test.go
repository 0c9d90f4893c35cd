// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// What the tests share: the administrator of a control plane, and the manager's binary as it is now.
var (
	admin  *rest.Config
	k8s    client.Client
	binary string
)

func TestMain(m *testing.M) {
	harness.Main(m, local.Options{WithoutControllerManager: true}, func(c *local.Cluster, dir string) (err error) {
		admin, binary = c.Config(), filepath.Join(dir, "manager")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			return fmt.Errorf("build the manager: %w: %s", err, out)
		}
		k8s, err = harness.NewClient(c)
		return err
	})
}

// output keeps what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts the manager without waiting for it; it is killed when the test ends.
func launch(t *testing.T, config *rest.Config, components string, args ...string) (*local.Manager, *output) {
	t.Helper()
	out := &output{}
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Binary: binary, Config: config, Dir: t.TempDir(), Components: components, ReadyTimeout: -1, Output: out, Args: args,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Kill(); err != nil {
			t.Error(err)
		}
	})
	return m, out
}

// refused waits until the manager has ended by itself, with 1, and returns what it said.
func refused(t *testing.T, m *local.Manager, out *output) string {
	t.Helper()
	select {
	case <-m.Done():
	case <-time.After(30 * time.Second):
		t.Fatalf("it goes on:\n%s", out)
	}
	if err := m.Err(); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("want exit status 1, got %v", err)
	}
	if strings.Contains(out.String(), "Listening for the platform") || strings.Contains(out.String(), "leader") {
		t.Errorf("it began to work:\n%s", out)
	}
	return out.String()
}

// stop ends the manager as a pod is ended, and fails unless it ends with 0.
func stop(t *testing.T, m *local.Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if err := m.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in:\n%s", want, text)
		}
	}
}

// withoutStore removes the ResultStore, now and when the test ends, so that no installation owns this control plane.
func withoutStore(t *testing.T) {
	t.Helper()
	remove := func() {
		store := &storage.ResultStore{ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}}
		if err := client.IgnoreNotFound(k8s.Delete(context.Background(), store)); err != nil {
			t.Error(err)
		}
	}
	remove()
	t.Cleanup(remove)
}

// A port that is taken is said at once, by its flag, before anything is received, claimed or led.
func TestTakenPorts(t *testing.T) {
	withoutStore(t)
	namespace := harness.NewNamespace(t, k8s)
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for _, flag := range []string{
		"--metrics-bind-address", "--health-probe-bind-address", "--pprof-bind-address", "--callback-bind-address",
	} {
		t.Run(flag, func(t *testing.T) {
			arg := flag + "=" + taken.Addr().String()
			m, out := launch(t, admin, "", "--allow-anonymous", "--operator-namespace="+namespace, arg)
			contains(t, refused(t, m, out), "manager: "+arg+": somebody listens there already: set it to another port")
		})
	}
	t.Run("no such address", func(t *testing.T) {
		const arg = "--metrics-bind-address=192.0.2.1:8080"
		m, out := launch(t, admin, "controllers", "--operator-namespace="+namespace, arg)
		contains(t, refused(t, m, out), "manager: "+arg+": can't listen there")
	})
	err = k8s.Get(t.Context(), client.ObjectKey{Name: storage.ResultStoreName}, &storage.ResultStore{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("one of them claimed the store: %v", err)
	}
}

// Files that can't be read are said with the flag, the file and why.
func TestFilesThatCantBeRead(t *testing.T) {
	cases := map[string]struct {
		args []string
		want []string
	}{
		"secrets":     {[]string{"--callback-secrets-file=/nowhere/paths"}, []string{"/nowhere/paths", "no such file"}},
		"certificate": {[]string{"--allow-anonymous", "--callback-cert-dir=/nowhere"}, []string{"/nowhere", "tls.crt"}},
		"metrics": {
			[]string{"--allow-anonymous", "--metrics-secure", "--metrics-cert-dir=/nowhere"},
			[]string{"--metrics-cert-dir=/nowhere: ", "no such file"},
		},
		"applications": {[]string{"--applications-file=/nowhere"}, []string{"--applications-file", "/nowhere", "no such file"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, out := launch(t, admin, "webhook", append(c.args, "--operator-namespace=default")...)
			contains(t, refused(t, m, out), c.want...)
		})
	}
}

// await waits until the manager is ready.
func await(t *testing.T, m *local.Manager) {
	t.Helper()
	if err := m.WaitReady(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
}

func awaitText(t *testing.T, out *output, want string) {
	t.Helper()
	harness.Eventually(t, func() string {
		if !strings.Contains(out.String(), want) {
			return fmt.Sprintf("want %q in:\n%s", want, out)
		}
		return ""
	})
}

// An operator's namespace that does not exist is said at the start, and claims nothing.
func TestMissingOperatorNamespace(t *testing.T) {
	withoutStore(t)
	m, out := launch(t, admin, "controllers", "--operator-namespace=not-there")
	contains(t, refused(t, m, out), "manager: --operator-namespace=not-there: there is no such namespace: create it")
	err := k8s.Get(t.Context(), client.ObjectKey{Name: storage.ResultStoreName}, &storage.ResultStore{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the store is claimed for a namespace that does not exist: %v", err)
	}
}

// A namespace of placeholders that does not exist is said at the start, once and without a stack trace, and everything
// else works. The first line of the log has the version, and times are in milliseconds.
func TestMissingDefaultNamespace(t *testing.T) {
	withoutStore(t)
	m, out := launch(t, admin, "controllers", "--operator-namespace="+harness.NewNamespace(t, k8s),
		"--default-namespace=not-there", "--leader-elect=false")
	await(t, m)
	log := out.String()
	contains(t, log, "Could not make placeholders for tasks that nobody declared",
		"create the namespace, or set --default-namespace to one that exists")
	if strings.Contains(log, "stacktrace") {
		t.Errorf("a stack trace for a mistake of a person:\n%s", log)
	}
	first, _, _ := strings.Cut(log, "\n")
	contains(t, first, `"msg":"Starting"`, `"version":"`, `"goVersion":"`+runtime.Version()+`"`)
	if !regexp.MustCompile(`"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}`).MatchString(first) {
		t.Errorf("no milliseconds in %s", first)
	}
	stop(t, m)

	m, out = launch(t, admin, "controllers", "--operator-namespace="+harness.NewNamespace(t, k8s),
		"--default-namespace=not-there", "--undeclared=Hold")
	contains(t, refused(t, m, out), "belong to the installation in namespace")
	if strings.Contains(out.String(), "placeholders") {
		t.Errorf("placeholders are none of its business:\n%s", out)
	}
}

// The controllers of a second installation say whose the FirmwareUpgrades are, and end; they were never ready.
func TestSecondInstallation(t *testing.T) {
	withoutStore(t)
	store := &storage.ResultStore{
		ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}, Spec: storage.ResultStoreSpec{Namespace: "first"},
	}
	if err := k8s.Create(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	m, out := launch(t, admin, "", "--operator-namespace="+harness.NewNamespace(t, k8s), "--allow-anonymous")
	contains(t, refused(t, m, out), "manager: the FirmwareUpgrades of this cluster belong to the installation in "+
		"namespace first", "kubectl delete resultstore fwupgrade")
}

// gate is a way to the API server that is closed at first.
type gate struct {
	address string
	target  string

	mu       sync.Mutex
	running  sync.WaitGroup
	listener net.Listener
	open     []net.Conn
}

// newGate makes a closed gate and a configuration that leads through it.
func newGate(t *testing.T) (*gate, *rest.Config) {
	t.Helper()
	free, err := local.FreeAddresses(1)
	if err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(admin)
	g := &gate{address: free[0], target: strings.Trim(strings.TrimPrefix(config.Host, "https://"), "/")}
	config.Host = "https://" + g.address
	t.Cleanup(g.close)
	return g, config
}

// unlock lets everybody through from now on.
func (g *gate) unlock(t *testing.T) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	g.listener = listener
	g.running.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", g.target)
			if err != nil {
				_ = from.Close()
				continue
			}
			g.mu.Lock()
			g.open = append(g.open, from, to)
			g.mu.Unlock()
			g.running.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			g.running.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
		}
	})
}

func (g *gate) close() {
	if g.listener != nil {
		_ = g.listener.Close()
	}
	g.mu.Lock()
	for _, conn := range g.open {
		_ = conn.Close()
	}
	g.mu.Unlock()
	g.running.Wait()
}

// get returns the status code and the body of a page of the manager.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// An API server that is away at the start is waited for: the process lives, is not ready, says what it waits for, and
// works as soon as the API server answers. Metrics are served meanwhile, with the version.
func TestAPIServerIsAwayAtTheStart(t *testing.T) {
	withoutStore(t)
	way, config := newGate(t)
	m, out := launch(t, config, "", "--operator-namespace="+harness.NewNamespace(t, k8s), "--allow-anonymous",
		"--leader-elect=false", "--drain-duration=0s")
	awaitText(t, out, "Could not use the API server, will try again")
	contains(t, out.String(), config.Host, "connection refused")
	if code, body := get(t, "http://"+m.HealthAddress+"/healthz"); code != http.StatusOK {
		t.Errorf("it is to live, got %d: %s", code, body)
	}
	code, body := get(t, "http://"+m.HealthAddress+"/readyz")
	if code != http.StatusServiceUnavailable {
		t.Errorf("it is not ready, got %d", code)
	}
	contains(t, body, "the API server")
	_, body = get(t, "http://"+m.MetricsAddress+"/metrics")
	contains(t, body, `fwupgrade_build_info{goversion="`+runtime.Version()+`",version="`)
	if n := strings.Count(body, "\n# TYPE go_"); n == 0 || n > 50 {
		t.Errorf("%d metrics of the Go runtime are served, want the usual ones", n)
	}
	if conn, err := net.Dial("tcp", m.CallbackAddress); err == nil {
		_ = conn.Close()
		t.Error("the callback takes connections that it can't serve")
	}

	way.unlock(t)
	await(t, m)
	if lines := strings.Count(out.String(), "will try again"); lines > 3 {
		t.Errorf("it said so %d times within seconds", lines)
	}
	stop(t, m)
}

// A process that waits for the API server ends at once, and well, when it is told to.
func TestStoppedWhileItWaits(t *testing.T) {
	_, config := newGate(t)
	m, out := launch(t, config, "controllers", "--operator-namespace=default")
	awaitText(t, out, "Could not use the API server, will try again")
	began := time.Now()
	stop(t, m)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// The webhook receives while the API server is away, and says what pushes are answered.
func TestWebhookStartsWithoutAPIServer(t *testing.T) {
	_, config := newGate(t)
	m, out := launch(t, config, "webhook", "--operator-namespace=default", "--allow-anonymous", "--drain-duration=0s")
	await(t, m)
	awaitText(t, out, "Could not store results yet: until it works, pushes are answered 503")
	stop(t, m)
}

// --version prints a line and looks for nothing else.
func TestVersion(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nowhere")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--version"}, &out); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^fwupgrade manager \S+ \(go\S.*, \w+/\w+\)\n$`).MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
}

// Of the linker's version and the repository's, the linker's counts: the Dockerfile sees no repository.
func TestLinkedVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manager")
	cmd := exec.Command("go", "build", "-ldflags", "-X main.linkedVersion=v1.2.3", "-o", path, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(out), "fwupgrade manager v1.2.3 (")
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(dockerfile), "-X main.linkedVersion=$VERSION")
}

// One problem is a line, several are a line each.
func TestProblems(t *testing.T) {
	one, two := errors.New("a"), errors.New("b")
	if got := problems(one); got != "manager: a" {
		t.Errorf("got %q", got)
	}
	if got := problems(errors.Join(one, two)); got != "manager:\n  a\n  b" {
		t.Errorf("got %q", got)
	}
}
