// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// panel is what is looked at of a panel of the dashboard.
type panel struct {
	Title, Type, Description string
	Datasource               struct{ UID string }
	Targets                  []struct {
		Expr       string
		Datasource struct{ UID string }
	}
	GridPos struct{ H, W, X, Y int }
}

func panels(t *testing.T) []panel {
	t.Helper()
	var dashboard struct {
		UID        string
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
		Panels []panel
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(folder, "dashboard.json"))), &dashboard); err != nil {
		t.Fatal(err)
	}
	if v := dashboard.Templating.List; len(v) != 1 || v[0].Name != "datasource" || v[0].Query != "prometheus" {
		t.Errorf("unexpected variables: %+v", v)
	}
	return dashboard.Panels
}

// expand replaces the variables of Grafana.
func expand(expr string) string { return strings.ReplaceAll(expr, "$__rate_interval", "5m") }

// withoutData are the queries that have no data while all is well.
func withoutData() map[string]bool {
	return map[string]bool{"time() - min(fwupgrade_oldest_waiting_event_timestamp_seconds)": true}
}

// TestAgainstARun holds that what runs serves what the dashboard, the rules and the manual say.
func TestAgainstARun(t *testing.T) {
	r := scrapeOperator(t)
	t.Run("every query of the dashboard has data", func(t *testing.T) { queriesHaveData(t, r) })
	t.Run("every alert evaluates, and none is wrong", func(t *testing.T) { alertsEvaluate(t, r) })
	t.Run("metrics are as the manual says", func(t *testing.T) { manualIsTrue(t, r) })
	t.Run("the manual has every reason of an Event", func(t *testing.T) { reasonsAreKnown(t, r) })
	t.Run("metrics are named as is usual", func(t *testing.T) { lint(t, r) })
}

func queriesHaveData(t *testing.T, r *run) {
	engine, exceptions := newEngine(t), withoutData()
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			query, err := engine.NewInstantQuery(t.Context(), r.storage, nil, expand(target.Expr), r.at)
			if err != nil {
				t.Errorf("%s: %s: %v", p.Title, target.Expr, err)
				continue
			}
			result := query.Exec(t.Context())
			vector, err := result.Vector()
			if err != nil {
				t.Errorf("%s: %s: %v", p.Title, target.Expr, err)
				continue
			}
			some := false
			for _, sample := range vector {
				some = some || !math.IsNaN(sample.F)
			}
			if some == exceptions[target.Expr] {
				t.Errorf("%s: %s has data: %v, want the opposite", p.Title, target.Expr, some)
			}
			delete(exceptions, target.Expr)
			query.Close()
		}
	}
	if len(exceptions) > 0 {
		t.Errorf("queries that are no longer there: %v", slices.Collect(maps.Keys(exceptions)))
	}
}

// alertsEvaluate evaluates each rule once. The upgrade that went wrong is the only thing that may be wrong.
func alertsEvaluate(t *testing.T, r *run) {
	engine := newEngine(t)
	for name, rule := range alerts(t) {
		query, err := engine.NewInstantQuery(t.Context(), r.storage, nil, rule.Expr, r.at)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		vector, err := query.Exec(t.Context()).Vector()
		want := 0
		if name == "FirmwareUpgradeStalled" {
			want = 1
		}
		if err != nil || len(vector) != want {
			t.Errorf("%s has %d alerts, want %d: %v %v", name, len(vector), want, vector, err)
		}
		for _, metric := range metricsOf(t, rule.Expr) {
			if r.families[metric] == nil && metric != "up" && !onlySometimes()[metric] {
				t.Errorf("%s asks for %s, which nobody serves", name, metric)
			}
		}
		query.Close()
	}
}

// metricsOf returns the metrics that an expression reads, by the names of their families.
func metricsOf(t *testing.T, expr string) (names []string) {
	t.Helper()
	parsed, err := promqlParser.ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			for _, m := range selector.LabelMatchers {
				if m.Name == model.MetricNameLabel {
					names = append(names, strings.TrimSuffix(m.Value, "_bucket"))
				}
			}
		}
		return nil
	})
	return names
}

// onlySometimes are the metrics that have no series while all is well, and where no platform is called.
func onlySometimes() map[string]bool {
	return map[string]bool{
		"fwupgrade_oldest_waiting_event_timestamp_seconds":  true,
		"fwupgrade_application_not_ready_timestamp_seconds": true,
		"fwupgrade_platform_calls_total":                    true,
		"fwupgrade_platform_call_duration_seconds":          true,
	}
}

// row is a row of the reference of the metrics.
type row struct {
	Kind   string
	Labels []string
}

// manualIsTrue compares docs/metrics.md, which is made from what the code describes, with what a process serves.
func manualIsTrue(t *testing.T, r *run) {
	rows := regexp.MustCompile("(?m)^\\| `(fwupgrade_\\w+)` \\| (\\w+) \\| (.*?) \\|").FindAllStringSubmatch(
		read(t, "../../docs/metrics.md"), -1)
	want, got := map[string]row{}, map[string]row{}
	for _, parts := range rows {
		if onlySometimes()[parts[1]] {
			continue
		}
		names := strings.FieldsFunc(parts[3], func(c rune) bool { return c == '`' || c == ',' || c == ' ' })
		slices.Sort(names)
		want[parts[1]] = row{Kind: parts[2], Labels: names}
	}
	for name, family := range r.families {
		if !strings.HasPrefix(name, "fwupgrade_") {
			continue
		}
		known := map[string]bool{}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				known[l.GetName()] = true
			}
		}
		names := slices.Sorted(maps.Keys(known))
		got[name] = row{Kind: strings.ToLower(family.GetType().String()), Labels: names}
	}
	normalise(want)
	normalise(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("The manual and a process differ (-manual,+process):\n%s", diff)
	}
}

func normalise(rows map[string]row) {
	for name, r := range rows {
		if len(r.Labels) == 0 {
			rows[name] = row{Kind: r.Kind}
		}
	}
}

// reasonsAreKnown compares the Events about FirmwareUpgrades of docs/events.md with those that are counted, of which
// there are series from the start.
func reasonsAreKnown(t *testing.T, r *run) {
	_, text, _ := strings.Cut(read(t, "../../docs/events.md"), "\n## About a FirmwareUpgrade\n")
	text, _, _ = strings.Cut(text, "\n## ")
	want, got := map[string]bool{}, map[string]bool{}
	for _, parts := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.*?) \\|").FindAllStringSubmatch(text, -1) {
		for _, kind := range []string{"Normal", "Warning"} {
			if strings.Contains(parts[2], kind) {
				want[kind+" "+parts[1]] = true
			}
		}
	}
	delete(want, "Warning PurgeBlocked") // it is not planned in a status, and not counted
	for _, m := range r.families["fwupgrade_controllers_events_total"].GetMetric() {
		var reason, kind string
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "reason":
				reason = l.GetValue()
			case "type":
				kind = l.GetValue()
			}
		}
		got[kind+" "+reason] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("The manual and a process differ (-manual,+process):\n%s", diff)
	}
}

func lint(t *testing.T, r *run) {
	for _, families := range r.processes {
		var own []*dto.MetricFamily
		ofRuntime := 0
		for name, family := range families {
			switch {
			case strings.HasPrefix(name, "fwupgrade_"):
				own = append(own, family)
			case strings.HasPrefix(name, "go_"):
				ofRuntime++
			}
		}
		problems, err := promlint.NewWithMetricFamilies(own).Lint()
		if err != nil || len(problems) > 0 || len(own) == 0 {
			t.Errorf("%d metrics: %v %v", len(own), problems, err)
		}
		if ofRuntime > 50 {
			t.Errorf("%d metrics of the Go runtime are served, want the usual ones", ofRuntime)
		}
	}
}

// TestDashboardIsWhole holds that each panel says what it shows, names no data source or job of somebody's, and lies on
// no other one.
func TestDashboardIsWhole(t *testing.T) {
	taken := map[string]string{}
	for _, p := range panels(t) {
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				place := fmt.Sprintf("%d,%d", x, y)
				if other, used := taken[place]; used {
					t.Errorf("%s lies on %s", p.Title, other)
				}
				taken[place] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "$datasource" {
			t.Errorf("%s lacks a description, a query or the variable of the data source", p.Title)
		}
		for _, target := range p.Targets {
			if strings.Contains(target.Expr, "job=") || target.Datasource.UID != "$datasource" {
				t.Errorf("%s names a job or a data source: %s", p.Title, target.Expr)
			}
		}
	}
}
