// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/teststorage"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/hack/simulator/platform"
	"fwupgrade.io/operator/test/harness"
)

const (
	secret      = "a-monitored-secret"
	stopTimeout = 40 * time.Second
)

// run is what a running operator served: what Prometheus has of it, and what was scraped last, of each process and of
// all.
type run struct {
	storage   *teststorage.TestStorage
	at        time.Time
	processes []map[string]*dto.MetricFamily
	families  map[string]*dto.MetricFamily
}

// scrapeOperator runs a webhook with TLS and the controllers, has an upgrade go wrong and another one wait, and scrapes
// both before and after.
func scrapeOperator(t *testing.T) *run {
	t.Helper()
	folder, roots := certificateFiles(t)
	secrets := filepath.Join(t.TempDir(), "paths")
	if err := os.WriteFile(secrets, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	webhook := start(t, "webhook",
		"--callback-secrets-file="+secrets, "--callback-cert-dir="+folder, "--drain-duration=0s")
	leader := start(t, "controllers")
	r := &run{storage: teststorage.New(t)}
	targets := map[string]*local.Manager{"fwupgrade-webhook-0": webhook, "fwupgrade-controllers-0": leader}

	declare(t, "waiting", "another-task", nil)
	plan, err := platform.NewPlan(platform.PlanOptions{
		Devices: 60, Tasks: 1, Fail: 0.5, AppID: "monitored", OperationID: "monitored", Seed: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	declare(t, "broken", plan.OperationID(0), &v1alpha1.FailurePolicy{MaxFailed: intstr.FromInt32(3)})
	push := func(plan *platform.Plan) {
		report, err := platform.Push(t.Context(), plan, platform.PushOptions{
			URL: "https://" + webhook.CallbackAddress + local.CallbackPath + "/" + secret, TLS: &tls.Config{RootCAs: roots},
			Concurrency: 4,
		})
		if err != nil || !report.Complete {
			t.Fatalf("push: %v: %+v", err, report)
		}
	}
	r.scrape(t, targets)
	push(plan)
	harness.Eventually(t, func() string {
		fwu := &v1alpha1.FirmwareUpgrade{}
		if err := k8s.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "broken"}, fwu); err != nil {
			return err.Error()
		}
		if s := fwu.Status; s.CompletionTime == nil || len(s.OperatorState.Outbox) > 0 {
			return fmt.Sprintf("it has not ended, or not all is told: %s, %d", s.Phase, len(s.OperatorState.Outbox))
		}
		return eventsWait(t, leader)
	})
	r.scrape(t, targets)
	return r
}

// eventsWait says that Events wait, by what a process serves, whose cache may be behind the API server; else it is
// empty.
func eventsWait(t *testing.T, leader *local.Manager) string {
	t.Helper()
	if fetch(t, "http://"+leader.MetricsAddress+"/metrics")["fwupgrade_oldest_waiting_event_timestamp_seconds"] != nil {
		return "Events wait, by the metrics"
	}
	return ""
}

// start runs a component as administrator until the test ends.
func start(t *testing.T, component string, args ...string) *local.Manager {
	t.Helper()
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Config: cluster.Config(), Dir: t.TempDir(), Components: component,
		Args: append(args, "--operator-namespace="+operatorNamespace),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := m.Stop(ctx); err != nil && !t.Failed() {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s logged:\n%s", component, m.Tail())
		}
	})
	return m
}

func declare(t *testing.T, name, operationID string, policy *v1alpha1.FailurePolicy) {
	t.Helper()
	if err := k8s.Create(t.Context(), &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1alpha1.FirmwareUpgradeSpec{
			OperationID: operationID, ExpectedDevices: new(int64(60)), SettleSeconds: new(int64(0)), FailurePolicy: policy,
		},
	}); err != nil {
		t.Fatal(err)
	}
}

// certificateFiles makes a folder with a certificate of 127.0.0.1, and whom a sender has to trust.
func certificateFiles(t *testing.T) (string, *x509.CertPool) {
	t.Helper()
	public, private, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, content := range map[string][]byte{"tls.crt": public, "tls.key": private} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public)
	return folder, roots
}

// scrape takes what the processes serve, by pod, as Prometheus does by the PodMonitor: labels that are there are kept.
func (r *run) scrape(t *testing.T, targets map[string]*local.Manager) {
	t.Helper()
	r.at, r.families, r.processes = time.Now(), map[string]*dto.MetricFamily{}, nil
	appender := r.storage.Appender(t.Context())
	for pod, m := range targets {
		families := fetch(t, "http://"+m.MetricsAddress+"/metrics")
		r.processes = append(r.processes, families)
		for name, family := range families {
			all := r.families[name]
			if all == nil {
				all = &dto.MetricFamily{Name: family.Name, Type: family.Type}
				r.families[name] = all
			}
			all.Metric = append(all.Metric, family.GetMetric()...)
			now := &expfmt.DecodeOptions{Timestamp: model.TimeFromUnixNano(r.at.UnixNano())}
			samples, err := expfmt.ExtractSamples(now, family)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range samples {
				l := labels.NewBuilder(labels.FromStrings("namespace", operatorNamespace, "pod", pod, "job", "fwupgrade"))
				for key, value := range s.Metric {
					l.Set(string(key), string(value))
				}
				if _, err := appender.Append(0, l.Labels(), r.at.UnixMilli(), float64(s.Value)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := appender.Commit(); err != nil {
		t.Fatal(err)
	}
}

func fetch(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	clients := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := clients.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	reader := expfmt.NewTextParser(model.LegacyValidation)
	families, err := reader.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}
