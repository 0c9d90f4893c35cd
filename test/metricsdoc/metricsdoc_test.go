// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metricsdoc makes docs/metrics.md from the metrics that the code registers, and holds that it is current.
// `make docs` writes it: go test ./test/metricsdoc -update
package metricsdoc

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/controllers"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/store"
	"fwupgrade.io/operator/webhook"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const page = "../../docs/metrics.md"

// metric is a row of the reference.
type metric struct {
	name, kind, help string
	labels           []string
	// values are those of the label, where there is one and its values are known beforehand.
	values []string

	collector prometheus.Collector
}

// recorder is a Registerer that keeps what the metrics are called.
type recorder struct {
	metrics []metric
}

// description is how a Desc prints itself; there is no other way to read it.
var description = regexp.MustCompile(`^Desc\{fqName: "(\w+)", help: "(.*?)"(?:, unit: ".*")?, ` +
	`constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func (r *recorder) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 64)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		parts := description.FindStringSubmatch(d.String())
		if parts == nil {
			return fmt.Errorf("can't read %s", d)
		}
		m := metric{name: parts[1], help: strings.ReplaceAll(parts[2], `\"`, `"`), kind: kindOf(c, parts[1]), collector: c}
		if parts[4] != "" {
			m.labels = strings.Split(parts[4], ",")
		}
		r.metrics = append(r.metrics, m)
	}
	return nil
}

func (r *recorder) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

func (r *recorder) Unregister(prometheus.Collector) bool { return false }

// kindOf is the type of a metric. Counters end in _total and nothing else does: the tests of monitoring hold that by a
// linter, and compare this page with what a process serves.
func kindOf(c prometheus.Collector, name string) string {
	_, histogram := c.(prometheus.Histogram)
	_, histograms := c.(*prometheus.HistogramVec)
	switch {
	case histogram, histograms:
		return "histogram"
	case strings.HasSuffix(name, "_total"):
		return "counter"
	}
	return "gauge"
}

// registered returns what the components register, sorted by name. Nothing is started, and nobody is asked.
func registered(t *testing.T) []metric {
	t.Helper()
	config := &rest.Config{Host: "http://127.0.0.1:1"}
	r := &recorder{metrics: []metric{{ // that of package main
		name: "fwupgrade_build_info", kind: "gauge", labels: []string{"version", "goversion"},
		help: "1, with the version of the operator and of the Go toolchain that built it.",
	}}}
	if _, err := webhook.New(webhook.Options{
		BindAddress: "127.0.0.1:0", CertDir: certificate(t), SecretsFile: secrets(t), Namespace: "fwupgrade-system",
		Config: config, Registerer: r,
	}); err != nil {
		t.Fatal(err)
	}
	nobody, err := client.NewWithWatch(config, client.Options{Mapper: meta.NewDefaultRESTMapper(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.New(store.Options{
		Client: nobody, Namespace: "fwupgrade-system", Limit: 1, Instance: "docs", Registerer: r, Clock: clock.RealClock{},
		KeepUntil: func(context.Context, result.Task, time.Time) (time.Time, error) { return time.Time{}, nil },
		LookUp:    func(context.Context, storage.ObjectReference) (bool, bool, error) { return true, true, nil },
	}); err != nil {
		t.Fatal(err)
	}
	if err := controllers.RegisterMetrics(r); err != nil {
		t.Fatal(err)
	}
	for i := range r.metrics {
		r.metrics[i].values = valuesOf(t, r.metrics[i])
	}
	slices.SortFunc(r.metrics, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	return r.metrics
}

// valuesOf returns the values of a counter's only label: those of the series that are there from the start.
func valuesOf(t *testing.T, m metric) (values []string) {
	t.Helper()
	counters, ok := m.collector.(*prometheus.CounterVec)
	if !ok || len(m.labels) != 1 {
		return nil
	}
	series := make(chan prometheus.Metric, 64)
	counters.Collect(series)
	close(series)
	for one := range series {
		var content dto.Metric
		if err := one.Write(&content); err != nil {
			t.Fatal(err)
		}
		values = append(values, content.GetLabel()[0].GetValue())
	}
	slices.Sort(values)
	return values
}

func secrets(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "paths")
	if err := os.WriteFile(path, []byte("a-secret-of-nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a folder with a certificate: its metrics are there only with one.
func certificate(t *testing.T) string {
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
	return folder
}

// TestMetricsReference holds that docs/metrics.md says what the code registers.
func TestMetricsReference(t *testing.T) {
	got := render(registered(t))
	if *update {
		if err := os.WriteFile(page, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("docs/metrics.md is not current, run make docs (-page,+code):\n%s", gocmp.Diff(string(want), string(got)))
	}
}
