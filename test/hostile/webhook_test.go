// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

const (
	callbackPath = "/v1.0.0/messageReceiver"
	secret       = "a-secret-that-honest-senders-have"
	stopTimeout  = 40 * time.Second
)

// webhook is a webhook that is attacked.
type webhook struct {
	*local.Manager
	log *logFile
	// limit is the memory that the container may take, in bytes.
	limit int64
	// tls is how to reach it; nil for plain HTTP.
	tls *authority
	// answers are those that came out of its port.
	answers answers
}

// startWebhook runs the webhook as its Deployment has it until the test ends, but for where it listens and that it does
// not wait for load balancers in the end.
func startWebhook(t *testing.T, args ...string) *webhook {
	t.Helper()
	container := containerOf(t, "webhook")
	secrets := filepath.Join(t.TempDir(), "secrets")
	must(t, os.WriteFile(secrets, []byte(secret+"\n"), 0o600))
	limit := container.Resources.Limits.Memory().Value()
	if limit == 0 {
		t.Fatal("the Deployment has no memory limit")
	}
	w := &webhook{log: &logFile{}, limit: limit}
	w.Manager = start(t, "webhook", container, w.log, append(
		[]string{"--callback-secrets-file=" + secrets, "--drain-duration=0s"}, args...)...)
	return w
}

// startControllers runs the controllers as their Deployment has them until the test ends.
func startControllers(t *testing.T) {
	t.Helper()
	start(t, "controllers", containerOf(t, "controllers"), nil)
}

// containerOf returns the container of a Deployment as config/default installs it.
func containerOf(t *testing.T, component string) *corev1.Container {
	t.Helper()
	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: operatorNamespace, Name: "fwupgrade-" + component}
	must(t, k8s.Get(t.Context(), key, deployment))
	return &deployment.Spec.Template.Spec.Containers[0]
}

// start runs a component with the arguments and the environment of its container, and further arguments.
func start(
	t *testing.T, component string, container *corev1.Container, log io.Writer, further ...string,
) *local.Manager {
	t.Helper()
	serviceAccount := "fwupgrade-" + component
	config, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, serviceAccount)
	must(t, err)
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Config: config, Dir: t.TempDir(), Components: component, Output: log,
		Args: append(harness.ContainerArgs(container, operatorNamespace), further...), Env: harness.ContainerEnv(container),
	})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := m.Stop(ctx); err != nil {
			t.Errorf("%s: %v", serviceAccount, err)
		}
		if t.Failed() {
			t.Logf("%s logged:\n%q", serviceAccount, m.Tail())
		}
	})
	return m
}

// series are the metrics of the webhook: the value of each series, by its name and labels as they are written.
func (w *webhook) series(t *testing.T) map[string]float64 {
	t.Helper()
	series := map[string]float64{}
	for line := range strings.Lines(w.metrics(t)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(name, "#") {
			series[name] = number
		}
	}
	return series
}

// metrics is what the webhook serves to whoever scrapes it.
func (w *webhook) metrics(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.MetricsAddress+"/metrics", http.NoBody)
	must(t, err)
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := plain.Do(request)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return string(text)
}

// peakMemory is the most memory that the process ever had, in bytes.
func (w *webhook) peakMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.PID()))
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			must(t, err)
			return kilobytes << 10
		}
	}
	t.Fatal("the kernel tells no peak of the memory")
	return 0
}

// logFile keeps what a process logs.
type logFile struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logFile) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
