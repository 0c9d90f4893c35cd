// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/claim"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
)

// scraped is a collector of FirmwareUpgrades that are given.
type scraped struct {
	*upgradesCollector
	upgrades []v1alpha1.FirmwareUpgrade
	tasks    []result.Task
}

func (s scraped) Collect(ch chan<- prometheus.Metric) { s.report(ch, s.upgrades, s.tasks) }

// scrapeTime is when the tests scrape.
var scrapeTime = time.Unix(1_800_000_000, 0)

// ago is a time before the scrape.
func ago(d time.Duration) metav1.Time { return metav1.NewTime(scrapeTime.Add(-d)) }

// scrape returns the values of all series.
func scrape(t *testing.T, tasks []result.Task, upgrades ...v1alpha1.FirmwareUpgrade) map[string]float64 {
	t.Helper()
	c := newUpgradesCollector(nil, nil, claim.Rules{}, clocktesting.NewFakePassiveClock(scrapeTime))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(scraped{c, upgrades, tasks})
	return gathered(t, registry)
}

func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := family.GetName() + "{" + strings.Join(labels, ",") + "}"
			series[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return series
}

// only keeps the series of a metric, without the timestamps' offset from the scrape.
func only(series map[string]float64, metric string) map[string]time.Duration {
	kept := map[string]time.Duration{}
	for name, value := range series {
		if labels, found := strings.CutPrefix(name, metric+"{"); found {
			kept["{"+labels] = time.Unix(int64(value), 0).Sub(scrapeTime)
		}
	}
	return kept
}

// upgrade is a running FirmwareUpgrade that was created an hour ago and has a deadline of two hours.
func upgrade(name string, adjust ...func(*v1alpha1.FirmwareUpgrade)) v1alpha1.FirmwareUpgrade {
	f := v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "fleet", Name: name, UID: types.UID(name), CreationTimestamp: ago(time.Hour),
		},
		Spec:   v1alpha1.FirmwareUpgradeSpec{OperationID: "op-" + name, DeadlineSeconds: new(int64(7200))},
		Status: v1alpha1.FirmwareUpgradeStatus{Phase: v1alpha1.PhaseRunning},
	}
	for _, a := range adjust {
		a(&f)
	}
	return f
}

func withFinish(before time.Duration) func(*v1alpha1.FirmwareUpgrade) {
	return func(f *v1alpha1.FirmwareUpgrade) {
		f.Status.Phase, f.Status.CompletionTime = v1alpha1.PhaseFailed, new(ago(before))
	}
}

func withStall(reason string, before time.Duration) func(*v1alpha1.FirmwareUpgrade) {
	return func(f *v1alpha1.FirmwareUpgrade) {
		f.Status.Conditions = append(f.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason,
			LastTransitionTime: ago(before),
		})
	}
}

func withDevices(operationID string, c v1alpha1.DeviceCounts) func(*v1alpha1.FirmwareUpgrade) {
	return func(f *v1alpha1.FirmwareUpgrade) { f.Spec.OperationID, f.Status.Devices = operationID, c }
}

func isPlaceholder(f *v1alpha1.FirmwareUpgrade) { f.Spec.Placeholder = true }

// TestDevicesCountOnce holds that the devices of a task are counted by the one FirmwareUpgrade that has the task,
// however many others claim it, and that an upgrade whose devices have not reported yet is counted, too, once its task
// is there.
func TestDevicesCountOnce(t *testing.T) {
	counts := v1alpha1.DeviceCounts{Succeeded: 5, Failed: 3, InProgress: 2, Pending: 1, Suspect: 4}
	series := scrape(t, []result.Task{{OperationID: "op"}, {OperationID: "unknown"}},
		upgrade("older", withDevices("op", counts)),
		upgrade("younger", withDevices("op", counts), withStall(v1alpha1.ReasonDuplicateOperation, time.Minute)),
		upgrade("silent", withDevices("silent", v1alpha1.DeviceCounts{Pending: 10})),
		upgrade("created", withDevices("", v1alpha1.DeviceCounts{Pending: 20}), func(f *v1alpha1.FirmwareUpgrade) {
			f.Status.OperationID = "created"
		}),
		upgrade("to-be-created", withDevices("", v1alpha1.DeviceCounts{Pending: 100})),
	)
	want := map[string]float64{
		"fwupgrade_devices{state=succeeded}":                                               5,
		"fwupgrade_devices{state=failed}":                                                  3,
		"fwupgrade_devices{state=in_progress}":                                             2,
		"fwupgrade_devices{state=pending}":                                                 31,
		"fwupgrade_devices{state=suspect}":                                                 4,
		"fwupgrade_unclaimed_tasks{}":                                                      1,
		"fwupgrade_placeholders{}":                                                         0,
		"fwupgrade_firmwareupgrades{phase=Running,stalled=}":                               4,
		"fwupgrade_firmwareupgrades{phase=Running,stalled=DuplicateOperation}":             1,
		"fwupgrade_upgrade_deadline_timestamp_seconds{name=created,namespace=fleet}":       float64(scrapeTime.Unix() + 3600),
		"fwupgrade_upgrade_deadline_timestamp_seconds{name=to-be-created,namespace=fleet}": float64(scrapeTime.Unix() + 3600),
		"fwupgrade_upgrade_deadline_timestamp_seconds{name=older,namespace=fleet}":         float64(scrapeTime.Unix() + 3600),
		"fwupgrade_upgrade_deadline_timestamp_seconds{name=silent,namespace=fleet}":        float64(scrapeTime.Unix() + 3600),
		"fwupgrade_upgrade_deadline_timestamp_seconds{name=younger,namespace=fleet}":       float64(scrapeTime.Unix() + 3600),
		"fwupgrade_upgrade_start_timestamp_seconds{name=created,namespace=fleet}":          float64(scrapeTime.Unix() - 3600),
		"fwupgrade_upgrade_start_timestamp_seconds{name=to-be-created,namespace=fleet}":    float64(scrapeTime.Unix() - 3600),
		"fwupgrade_upgrade_start_timestamp_seconds{name=older,namespace=fleet}":            float64(scrapeTime.Unix() - 3600),
		"fwupgrade_upgrade_start_timestamp_seconds{name=silent,namespace=fleet}":           float64(scrapeTime.Unix() - 3600),
		"fwupgrade_upgrade_start_timestamp_seconds{name=younger,namespace=fleet}":          float64(scrapeTime.Unix() - 3600),
		"fwupgrade_upgrade_stalled_timestamp_seconds{name=younger,namespace=fleet,reason=DuplicateOperation}": float64(
			scrapeTime.Unix() - 60),
	}
	if diff := cmp.Diff(want, series); diff != "" {
		t.Errorf("Unexpected metrics (-want,+got):\n%s", diff)
	}
}

// TestDeadlinesOfRunningUpgrades holds that a metric names the declared upgrades that have not finished, with the time
// at which they end in any case: counted from the first result, or while there is none from the creation. Another one
// tells from when it counts.
func TestDeadlinesOfRunningUpgrades(t *testing.T) {
	series := scrape(t, nil,
		upgrade("pending"),
		upgrade("running", func(f *v1alpha1.FirmwareUpgrade) { f.Status.StartTime = new(ago(30 * time.Minute)) }),
		upgrade("finished", withFinish(time.Minute)),
		upgrade("placeholder", isPlaceholder),
		upgrade("deleted", func(f *v1alpha1.FirmwareUpgrade) { f.DeletionTimestamp = new(ago(0)) }),
	)
	want := map[string]time.Duration{
		"{name=pending,namespace=fleet}": time.Hour,
		"{name=running,namespace=fleet}": 90 * time.Minute,
	}
	if diff := cmp.Diff(want, only(series, "fwupgrade_upgrade_deadline_timestamp_seconds")); diff != "" {
		t.Errorf("Unexpected deadlines (-want,+got):\n%s", diff)
	}
	want = map[string]time.Duration{
		"{name=pending,namespace=fleet}": -time.Hour,
		"{name=running,namespace=fleet}": -30 * time.Minute,
	}
	if diff := cmp.Diff(want, only(series, "fwupgrade_upgrade_start_timestamp_seconds")); diff != "" {
		t.Errorf("Unexpected starts (-want,+got):\n%s", diff)
	}
}

// TestStalledUpgradesAreNamedForAWhile holds that a metric says which upgrades are stalled, why and since when, as long
// as they are and have not finished, and for a day after a bad end or after an end that turned bad, so that an alert on
// it resolves by itself.
func TestStalledUpgradesAreNamedForAWhile(t *testing.T) {
	const day = 24 * time.Hour
	series := scrape(t, nil,
		upgrade("broken", withStall(v1alpha1.ReasonFailurePolicyBroken, 10*day)),
		upgrade("failed", withFinish(day-time.Second), withStall(v1alpha1.ReasonFailed, day)),
		upgrade("failed-long-ago", withFinish(day), withStall(v1alpha1.ReasonFailed, day)),
		upgrade("turned-bad", withFinish(9*day), withStall(v1alpha1.ReasonFailed, time.Hour)),
		upgrade("succeeded", withFinish(time.Hour)),
		upgrade("placeholder", isPlaceholder, withStall(v1alpha1.ReasonFailed, time.Hour)),
	)
	want := map[string]time.Duration{
		"{name=broken,namespace=fleet,reason=FailurePolicyBroken}": -10 * day,
		"{name=failed,namespace=fleet,reason=Failed}":              -day,
		"{name=turned-bad,namespace=fleet,reason=Failed}":          -time.Hour,
	}
	if diff := cmp.Diff(want, only(series, "fwupgrade_upgrade_stalled_timestamp_seconds")); diff != "" {
		t.Errorf("Unexpected stalled upgrades (-want,+got):\n%s", diff)
	}
}

// TestNamedUpgradesAreBounded holds that no more than 1,000 upgrades are named: those with the nearest deadlines, and
// those that stalled last.
func TestNamedUpgradesAreBounded(t *testing.T) {
	var upgrades []v1alpha1.FirmwareUpgrade
	for i := range 1001 {
		age := time.Duration(i) * time.Second
		f := upgrade(fmt.Sprintf("u%04d", i), withStall(v1alpha1.ReasonFailurePolicyBroken, age))
		f.CreationTimestamp = ago(age)
		upgrades = append(upgrades, f)
	}
	series := scrape(t, nil, upgrades...)
	deadlines := only(series, "fwupgrade_upgrade_deadline_timestamp_seconds")
	if _, named := deadlines["{name=u0000,namespace=fleet}"]; named || len(deadlines) != 1000 {
		t.Errorf("%d deadlines are told, want 1000 without the farthest", len(deadlines))
	}
	stalled := only(series, "fwupgrade_upgrade_stalled_timestamp_seconds")
	if _, named := stalled["{name=u1000,namespace=fleet,reason=FailurePolicyBroken}"]; named || len(stalled) != 1000 {
		t.Errorf("%d stalled upgrades are told, want 1000 without the one that stalled first", len(stalled))
	}
}

// TestOldestWaitingEvent holds that a metric says since when Events wait, and that it is not there when none does.
func TestOldestWaitingEvent(t *testing.T) {
	withEvent := func(before time.Duration) func(*v1alpha1.FirmwareUpgrade) {
		return func(f *v1alpha1.FirmwareUpgrade) {
			f.Status.OperatorState.Outbox = append(f.Status.OperatorState.Outbox,
				v1alpha1.OutboxEvent{PlanTime: metav1.NewMicroTime(scrapeTime.Add(-before))})
		}
	}
	const metric = "fwupgrade_oldest_waiting_event_timestamp_seconds"
	series := scrape(t, nil, upgrade("a", withEvent(time.Minute)), upgrade("b", withEvent(time.Hour), withEvent(0)))
	if diff := cmp.Diff(map[string]time.Duration{"{}": -time.Hour}, only(series, metric)); diff != "" {
		t.Errorf("Unexpected time (-want,+got):\n%s", diff)
	}
	if got := only(scrape(t, nil, upgrade("a")), metric); len(got) > 0 {
		t.Errorf("Events wait although there are none: %v", got)
	}
}

// TestCollectorReadsClusterAndStore holds that what is scraped is what the cluster and the store have.
func TestCollectorReadsClusterAndStore(t *testing.T) {
	storeSlice(t, reported("op-of-nobody", 1, storage.StateSucceeded, ""))
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newUpgradesCollector(k8s, startStore(t), claim.Rules{}, clock.RealClock{}))
	if got := gathered(t, registry)["fwupgrade_unclaimed_tasks{}"]; got < 1 {
		t.Errorf("%v tasks are unclaimed, want at least one", got)
	}
}

// TestReleasedTasksAreNotUnclaimed holds that a task whose FirmwareUpgrade was deleted is not waiting for one, unless
// it reports again.
func TestReleasedTasksAreNotUnclaimed(t *testing.T) {
	results := startStore(t)
	collector := newUpgradesCollector(k8s, results, claim.Rules{}, clock.RealClock{})
	task := result.Task{AppID: "app", OperationID: "op-of-a-deleted-one"}
	await := func(wanted bool) {
		t.Helper()
		harness.Eventually(t, func() string {
			if slices.Contains(collector.wantedTasks(), task) != wanted {
				return fmt.Sprintf("want it to wait for a claim: %v", wanted)
			}
			return ""
		})
	}
	storeSlice(t, reported(task.OperationID, 1, storage.StateSucceeded, ""))
	await(true)
	deletion := time.Now().Add(time.Second)
	if err := results.Release(t.Context(), task, deletion); err != nil {
		t.Fatal(err)
	}
	await(false)
	later := reported(task.OperationID, 2, storage.StateSucceeded, "")
	later.ReceivedAt = deletion.Add(time.Second).UnixMicro()
	storeSlice(t, later)
	await(true)
}

// TestSeriesExistFromTheStart holds that a counter on whose increase people alert is there before it counts: Prometheus
// sees no increase in a series that begins with 1.
func TestSeriesExistFromTheStart(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if _, err := newMetrics(registry); err != nil {
		t.Fatal(err)
	}
	series := gathered(t, registry)
	for _, want := range []string{
		"fwupgrade_controllers_events_total{reason=Finished,type=Normal}",
		"fwupgrade_controllers_events_total{reason=Finished,type=Warning}",
		"fwupgrade_controllers_events_total{reason=DeadlineExceeded,type=Warning}",
		"fwupgrade_controllers_events_total{reason=OutcomeChanged,type=Warning}",
		"fwupgrade_controllers_events_total{reason=Degraded,type=Warning}",
		"fwupgrade_controllers_status_write_errors_total{reason=conflict}",
		"fwupgrade_controllers_status_write_errors_total{reason=other}",
	} {
		if value, known := series[want]; !known || value != 0 {
			t.Errorf("%s is %v, known: %v", want, value, known)
		}
	}
}

// TestMetricsThatAreOnlyRegistered holds that what the reference is made from can be gathered, too.
func TestMetricsThatAreOnlyRegistered(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := RegisterMetrics(registry); err != nil {
		t.Fatal(err)
	}
	if series := gathered(t, registry); len(series) == 0 {
		t.Error("no series is there from the start")
	}
}
