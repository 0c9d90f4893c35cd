// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"bytes"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// receiver is a receiver of either sample, by name.
type receiver struct {
	Name string `json:"name"`
}

func load(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(folder, file))), into); err != nil {
		t.Fatal(err)
	}
}

// route is a route of Alertmanager, as far as it is looked at.
type route struct {
	Receiver string   `json:"receiver"`
	Matchers []string `json:"matchers"`
	Mute     []string `json:"mute_time_intervals"`
	Routes   []route  `json:"routes"`
}

// TestAlertmanagerSample holds that the sample names receivers that it has and alerts that exist, and that what is
// critical is never muted.
func TestAlertmanagerSample(t *testing.T) {
	var sample struct {
		Route     route      `json:"route"`
		Receivers []receiver `json:"receivers"`
		Inhibit   []struct {
			Source []string `json:"source_matchers"`
			Target []string `json:"target_matchers"`
		} `json:"inhibit_rules"`
	}
	load(t, "alertmanager.yaml", &sample)
	known := map[string]bool{}
	for _, r := range sample.Receivers {
		known[r.Name] = true
	}
	found := alerts(t)
	for _, r := range append(sample.Route.Routes, sample.Route) {
		if !known[r.Receiver] {
			t.Errorf("there is no receiver %q", r.Receiver)
		}
	}
	for name, rule := range found {
		taken := sample.Route
		for _, r := range sample.Route.Routes {
			if matches(t, r.Matchers, name, rule.Labels["severity"]) {
				taken = r
				break
			}
		}
		if critical := rule.Labels["severity"] == "critical"; critical != (taken.Receiver == "on-call") ||
			critical && len(taken.Mute) > 0 {
			t.Errorf("%s goes to %s, muted %v", name, taken.Receiver, taken.Mute)
		}
	}
	for _, rule := range sample.Inhibit {
		for _, matchers := range [][]string{rule.Source, rule.Target} {
			for _, matcher := range matchers {
				some := false
				for name, alert := range found {
					some = some || matches(t, []string{matcher}, name, alert.Labels["severity"])
				}
				if !some {
					t.Errorf("no alert is meant by %s", matcher)
				}
			}
		}
	}
}

// matches says whether all matchers fit an alert of a name and severity.
func matches(t *testing.T, matchers []string, name, severity string) bool {
	t.Helper()
	for _, matcher := range matchers {
		parts := regexp.MustCompile(`^(alertname|severity) (=~?) "(.*)"$`).FindStringSubmatch(matcher)
		if parts == nil {
			t.Fatalf("can't read the matcher %s", matcher)
		}
		pattern := parts[3]
		if parts[2] == "=" {
			pattern = regexp.QuoteMeta(pattern)
		}
		if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(map[string]string{
			"alertname": name, "severity": severity,
		}[parts[1]]) {
			return false
		}
	}
	return true
}

// exported is an Event as kubernetes-event-exporter gives it to layouts.
type exported struct {
	corev1.Event
	InvolvedObject struct {
		corev1.ObjectReference
		Labels, Annotations map[string]string
	}
}

// TestEventExporterSample holds that the routes mean reasons that docs/events.md has, by fields that these Events have,
// that each Warning about a FirmwareUpgrade has a route, and that the layouts can be filled in.
func TestEventExporterSample(t *testing.T) {
	var sample struct {
		MaxEventAge int `json:"maxEventAgeSeconds"`
		Route       struct {
			Routes []struct {
				Match []map[string]string `json:"match"`
			} `json:"routes"`
		} `json:"route"`
		Receivers []struct {
			Name    string `json:"name"`
			Webhook *sink  `json:"webhook"`
			File    *sink  `json:"file"`
		} `json:"receivers"`
	}
	load(t, "event-exporter.yaml", &sample)
	if sample.MaxEventAge < 60 {
		t.Errorf("Events of %d s are dropped", sample.MaxEventAge)
	}
	known := map[string]bool{}
	for _, r := range sample.Receivers {
		known[r.Name] = true
		for _, s := range []*sink{r.Webhook, r.File} {
			s.fill(t)
		}
	}
	reasons := regexp.MustCompile("(?m)^\\| `([A-Z]\\w+)` \\| (?:Normal|Warning)").FindAllStringSubmatch(
		read(t, "../../docs/events.md"), -1)
	if len(reasons) < 15 {
		t.Fatalf("docs/events.md has %d reasons", len(reasons))
	}
	_, ofUpgrades, _ := strings.Cut(read(t, "../../docs/events.md"), "\n## About a FirmwareUpgrade\n")
	ofUpgrades, _, _ = strings.Cut(ofUpgrades, "\n## ")
	unrouted := map[string]bool{}
	for _, r := range regexp.MustCompile("(?m)^\\| `([A-Z]\\w+)` \\| [^|]*Warning").FindAllStringSubmatch(ofUpgrades, -1) {
		unrouted[r[1]] = true
	}
	for _, r := range sample.Route.Routes {
		for _, match := range r.Match {
			if match["kind"] == "FirmwareUpgrade" && match["type"] != "Normal" {
				maps.DeleteFunc(unrouted, func(reason string, _ bool) bool {
					return regexp.MustCompile(match["reason"]).MatchString(reason)
				})
			}
			if !known[match["receiver"]] {
				t.Errorf("there is no receiver %q", match["receiver"])
			}
			for field := range match {
				if !strings.Contains(" kind type reason namespace receiver ", " "+field+" ") {
					t.Errorf("routes can't match %s", field)
				}
			}
			syntax := func(c rune) bool { return strings.ContainsRune("^$()|", c) }
			for _, one := range strings.FieldsFunc(match["reason"], syntax) {
				some := false
				for _, reason := range reasons {
					some = some || reason[1] == one
				}
				if !some {
					t.Errorf("no Event has the reason %s", one)
				}
			}
		}
	}
	if len(unrouted) > 0 {
		t.Errorf("Warnings that go nowhere: %v", slices.Sorted(maps.Keys(unrouted)))
	}
}

// sink is where a receiver sends to.
type sink struct {
	Layout map[string]string `json:"layout"`
}

func (s *sink) fill(t *testing.T) {
	t.Helper()
	if s == nil {
		return
	}
	e := exported{Event: corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
			"fwupgrade.io/failures": "1", "fwupgrade.io/cause": "Invalid URI", "fwupgrade.io/devices": "d1",
		}},
		Reason: "DeviceFailed", Message: "Device d1 failed",
	}}
	e.InvolvedObject.Namespace, e.InvolvedObject.Name = "fleet", "a"
	for key, text := range s.Layout {
		parsed, err := template.New(key).Option("missingkey=error").Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := parsed.Execute(&out, e); err != nil || strings.TrimSpace(out.String()) == "" {
			t.Errorf("%s is %q: %v", text, out.String(), err)
		}
	}
}
