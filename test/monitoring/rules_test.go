// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"sigs.k8s.io/yaml"
)

// folder is what is tested.
const folder = "../../config/monitoring"

// promqlParser knows what a Prometheus knows that was started without feature flags.
var promqlParser = parser.NewParser(parser.Options{})

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// alerts reads the rules as Prometheus reads a file of rules.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	var resource struct {
		Spec any `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(folder, "prometheus_rule.yaml"))), &resource); err != nil {
		t.Fatal(err)
	}
	file, err := yaml.Marshal(resource.Spec)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(file, false, model.LegacyValidation, promqlParser, promslog.NewNopLogger())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	found := map[string]rulefmt.Rule{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if _, twice := found[rule.Alert]; twice || rule.Alert == "" {
				t.Errorf("unexpected rule %q", rule.Alert)
			}
			found[rule.Alert] = rule
		}
	}
	return found
}

// newEngine makes an engine as Prometheus does by default.
func newEngine(t *testing.T) *promql.Engine {
	t.Helper()
	return promqltest.NewTestEngineWithOpts(t, promql.EngineOpts{
		MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promqlParser,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true,
	})
}

// firing scrapes and evaluates a rule once a minute and returns which alerts fire in the end: their labels but for
// alertname and severity, with the summary.
func firing(t *testing.T, rule rulefmt.Rule, series string, end time.Duration) map[string]string {
	t.Helper()
	return firingEach(t, time.Minute, rule, series, end)
}

// firingEach does as firing, at another interval.
func firingEach(
	t *testing.T, interval time.Duration, rule rulefmt.Rule, series string, end time.Duration,
) map[string]string {
	t.Helper()
	expr, err := promqlParser.ParseExpr(rule.Expr)
	if err != nil {
		t.Fatal(err)
	}
	storage := promqltest.LoadedStorage(t, "load "+model.Duration(interval).String()+"\n"+indent(series))
	query := rules.EngineQueryFunc(newEngine(t), storage)
	alerting := rules.NewAlertingRule(rule.Alert, expr, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
		labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true,
		promslog.NewNopLogger())
	for at := time.Duration(0); at <= end; at += interval {
		if _, err := alerting.Eval(t.Context(), 0, time.Unix(0, 0).Add(at), query, nil, 0); err != nil {
			t.Fatalf("at %s: %v", at, err)
		}
	}
	found := map[string]string{}
	alerting.ForEachActiveAlert(func(a *rules.Alert) {
		if a.State != rules.StateFiring {
			return
		}
		for _, l := range a.Annotations.Map() {
			if strings.Contains(l, "<error") {
				t.Errorf("a template is wrong: %s", l)
			}
		}
		rest := labels.NewBuilder(a.Labels).Del("alertname", "severity").Labels()
		found[rest.String()] = a.Annotations.Get("summary")
	})
	return found
}

// indent makes lines what stands below "load".
func indent(series string) string {
	var lines []string
	for line := range strings.Lines(series) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, "  "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// ruleCase is some minutes of series, in the notation of promtool's unit tests, and what fires in the end: the labels
// of each alert. A series begins at time 0 and has a value each minute.
type ruleCase struct {
	series string
	end    time.Duration
	fires  []string
}

// TestAlerts holds that every alert fires when it should, and does not when it should not.
func TestAlerts(t *testing.T) {
	found, cases := alerts(t), alertCases()
	for name, rule := range found {
		some, none := false, false
		for _, c := range cases[name] {
			some, none = some || len(c.fires) > 0, none || len(c.fires) == 0
		}
		if !some || !none {
			t.Errorf("%s: there is a case in which it fires: %v, one in which it does not: %v", name, some, none)
		}
		for title, c := range cases[name] {
			t.Run(name+"/"+title, func(t *testing.T) {
				got := firing(t, rule, c.series, c.end)
				want := map[string]bool{}
				for _, one := range c.fires {
					want[one] = true
				}
				keys := map[string]bool{}
				for one := range got {
					keys[one] = true
				}
				if diff := cmp.Diff(want, keys); diff != "" {
					t.Errorf("Unexpected alerts (-want,+got):\n%s", diff)
				}
			})
		}
	}
	for name := range cases {
		if _, known := found[name]; !known {
			t.Errorf("there are cases of %s, which does not exist", name)
		}
	}
}

// TestNotStoredAtTheIntervalOfThePodMonitor holds that answers of 503 wake nobody when the API server restarts, as long
// as the alert can see them, but do so when they last.
func TestNotStoredAtTheIntervalOfThePodMonitor(t *testing.T) {
	const interval, begins, seenFor = 30 * time.Second, 5 * time.Minute, 4 * time.Minute
	rule := alerts(t)["FirmwareUpgradeNotStored"]
	for lasts, want := range map[time.Duration]bool{
		90 * time.Second: false, 4 * time.Minute: false, 6 * time.Minute: true,
	} {
		rises := int(lasts / interval)
		series := notifications("not_stored", fmt.Sprintf("0x%d 10+10x%d %dx100", begins/interval, rises-1, 10*rises))
		if got := len(firingEach(t, interval, rule, series, begins+lasts+seenFor)) > 0; got != want {
			t.Errorf("503 for %s: it fires: %v, want %v", lasts, got, want)
		}
	}
}

// TestSummariesSayWhatIsWrong holds that values and labels get into the sentence that people read.
func TestSummariesSayWhatIsWrong(t *testing.T) {
	found := alerts(t)
	for name, c := range map[string]struct {
		series string
		end    time.Duration
		want   map[string]string
	}{
		"FirmwareUpgradeStalled": {
			`fwupgrade_upgrade_stalled_timestamp_seconds{namespace="fleet",name="a",reason="Failed",pod="x"} 60x10`,
			time.Minute,
			map[string]string{
				`{name="a", namespace="fleet", reason="Failed"}`: "FirmwareUpgrade fleet/a is stalled: Failed.",
			},
		},
		"FirmwareUpgradeStoreFills": {
			"fwupgrade_controllers_store_load 85x20\nfwupgrade_controllers_stored_results_limit 100x20",
			10 * time.Minute, map[string]string{"{}": "85% of the results are stored that may be."},
		},
		"FirmwareUpgradeCertificateExpires": {
			"fwupgrade_webhook_certificate_expiry_timestamp_seconds 176400x90\n" +
				"fwupgrade_webhook_certificate_start_timestamp_seconds -7776000x90",
			time.Hour, map[string]string{"{}": "The certificate of the callback expires in 2d 0h 0m 0s."},
		},
	} {
		if diff := cmp.Diff(c.want, firing(t, found[name], c.series, c.end)); diff != "" {
			t.Errorf("%s (-want,+got):\n%s", name, diff)
		}
	}
}

// runbookProblem says what is wrong with the runbook of an alert, or nothing: it is the alert's own section of the
// manual, or one of the runbook, to which the alert's own section links.
func runbookProblem(alert, url, section, runbook string) string {
	file, anchor, _ := strings.Cut(url, "#")
	switch file {
	case "docs/alerting.md":
		if want := strings.ToLower(alert); anchor != want {
			return "names the section " + anchor + " of the manual, want " + want
		}
	case "docs/runbook.md":
		for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(runbook, -1) {
			if strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-") == anchor {
				if !strings.Contains(section, "(runbook.md#"+anchor+")") {
					return "leads to a section to which the alert's own does not link: " + anchor
				}
				return ""
			}
		}
		return "leads to no section of the runbook: " + anchor
	default:
		return "leads to neither the manual nor the runbook: " + file
	}
	return ""
}

// TestAlertsAreWhole holds that each alert has a severity and annotations, and a section in the manual that its runbook
// points to, and that the manual has no section without an alert.
func TestAlertsAreWhole(t *testing.T) {
	found := alerts(t)
	manual, runbook := read(t, "../../docs/alerting.md"), read(t, "../../docs/runbook.md")
	critical := map[string]bool{}
	for name, rule := range found {
		if !strings.HasPrefix(name, "FirmwareUpgrade") {
			t.Errorf("%s does not say whose alert it is", name)
		}
		severity := rule.Labels["severity"]
		if severity != "critical" && severity != "warning" || len(rule.Labels) != 1 {
			t.Errorf("%s: unexpected labels %v", name, rule.Labels)
		}
		if severity == "critical" {
			critical[name] = true
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s lacks a summary or a description", name)
		}
		_, section, _ := strings.Cut(manual, "\n### "+name+"\n\n")
		section, _, _ = strings.Cut(section, "\n### ")
		if problem := runbookProblem(name, rule.Annotations["runbook_url"], section, runbook); problem != "" {
			t.Errorf("%s: runbook_url %s", name, problem)
		}
		if !strings.HasPrefix(section, "*"+strings.ToUpper(severity[:1])+severity[1:]) {
			t.Errorf("the section of %s does not begin with its severity", name)
		}
	}
	var sections []string
	for _, heading := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(manual, -1) {
		sections = append(sections, heading[1])
	}
	slices.Sort(sections)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(found)), sections); diff != "" {
		t.Errorf("Alerts and sections of the manual differ (-alerts,+sections):\n%s", diff)
	}
	wakes := map[string]bool{}
	for line := range strings.Lines(manual) {
		if strings.HasPrefix(line, "| critical") {
			for _, name := range regexp.MustCompile("`(FirmwareUpgrade\\w+)`").FindAllStringSubmatch(line, -1) {
				wakes[name[1]] = true
			}
		}
	}
	if diff := cmp.Diff(critical, wakes); diff != "" {
		t.Errorf("What wakes people and what the manual says differ (-rules,+manual):\n%s", diff)
	}
}
