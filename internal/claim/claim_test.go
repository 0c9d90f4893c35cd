// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/applications"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/wrappers"
)

var created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func applicationsMap(t *testing.T) Applications {
	t.Helper()
	path := filepath.Join(t.TempDir(), "applications.yaml")
	text := "applications:\n- {appId: \"x\", namespaces: [a]}\n- {appId: \"y\", namespaces: [a, b]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	apps, err := applications.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return apps
}

func TestResolve(t *testing.T) {
	named := func(name string, age int) *wrappers.FirmwareUpgrade {
		ns, _, _ := strings.Cut(name, "-")
		return wrappers.MakeFirmwareUpgrade(name, ns).
			UID(name).
			Generation(1).
			Created(created.Add(-time.Duration(age) * time.Minute))
	}
	placeholder := func(app string, age int) *wrappers.FirmwareUpgrade {
		name := PlaceholderName(result.Task{AppID: app, OperationID: "op"})
		return wrappers.MakeFirmwareUpgrade(name, "b").
			App(app).
			UID("p").
			Generation(1).
			Placeholder().
			Created(created.Add(-time.Duration(age) * time.Minute))
	}
	undeclared := func(w *wrappers.FirmwareUpgrade) *wrappers.FirmwareUpgrade {
		w.Spec.Placeholder = false
		return w
	}
	apps := applicationsMap(t)
	cases := map[string]struct {
		all  []*wrappers.FirmwareUpgrade
		apps Applications
		want map[string]string
	}{
		"alone": {all: []*wrappers.FirmwareUpgrade{named("a-1", 1)}, want: map[string]string{"a-1": ""}},
		"the older has it": {
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 1), named("b-2", 2)},
			want: map[string]string{"a-1": "DuplicateOperation", "b-2": ""},
		},
		"then the lower UID": {
			all:  []*wrappers.FirmwareUpgrade{named("b-2", 1), named("a-1", 1)},
			want: map[string]string{"a-1": "", "b-2": "DuplicateOperation"},
		},
		"unless the other one has counted results": {
			all: []*wrappers.FirmwareUpgrade{
				named("b-2", 1).Status(v1alpha1.FirmwareUpgradeStatus{StartTime: &metav1.Time{Time: created}}),
				named("a-1", 1),
			},
			want: map[string]string{"a-1": "DuplicateOperation", "b-2": ""},
		},
		"a placeholder yields": {
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 1), placeholder("", 9)},
			want: map[string]string{"a-1": "", "p": "DuplicateOperation"},
		},
		"its name makes no placeholder": {all: []*wrappers.FirmwareUpgrade{named("a-1", 1), undeclared(placeholder("", 9))},
			want: map[string]string{"a-1": "DuplicateOperation", "p": ""}},
		"nor does its name permit anything": {
			apps: apps,
			all:  []*wrappers.FirmwareUpgrade{undeclared(placeholder("x", 9)), named("a-2", 1).App("x")},
			want: map[string]string{"p": "NotPermitted", "a-2": ""},
		},
		"a placeholder elsewhere is nobody's": {
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 9).Placeholder()},
			want: map[string]string{"a-1": "NotPermitted"},
		},
		"one that is deleted frees the task": {
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 1), named("b-2", 2).Deleted(created)},
			want: map[string]string{"a-1": "", "b-2": "DuplicateOperation"},
		},
		"one that is purged goes before one that was declared in the same second": {
			all: []*wrappers.FirmwareUpgrade{
				named("a-1", 1),
				named("b-2", 1).Deleted(created).Finalizers(v1alpha1.FinalizerPurge),
			},
			want: map[string]string{"a-1": "Purging", "b-2": ""},
		},
		"unless its results are to be removed first": {
			all: []*wrappers.FirmwareUpgrade{
				named("a-1", 1),
				named("b-2", 2).Deleted(created).Finalizers(v1alpha1.FinalizerPurge),
			},
			want: map[string]string{"a-1": "Purging", "b-2": ""},
		},
		"two applications": {
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 1).App("x"), named("b-2", 2).App("y")},
			want: map[string]string{"a-1": "", "b-2": ""},
		},
		"any takes all": {
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 1).App("x"), named("b-2", 2)},
			want: map[string]string{"a-1": "DuplicateOperation", "b-2": ""},
		},
		"a loser blocks nobody": {
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 3).App("x"), named("b-2", 2), named("c-3", 1).App("y")},
			want: map[string]string{"a-1": "", "b-2": "DuplicateOperation", "c-3": ""},
		},
		"not permitted": {
			apps: apps,
			all:  []*wrappers.FirmwareUpgrade{named("b-1", 9).App("x"), named("a-2", 1).App("x")},
			want: map[string]string{"b-1": "NotPermitted", "a-2": ""},
		},
		"no application at all": {
			apps: apps,
			all:  []*wrappers.FirmwareUpgrade{named("c-1", 9)},
			want: map[string]string{"c-1": "NotPermitted"},
		},
		"any, of different tenants": {
			apps: apps,
			all:  []*wrappers.FirmwareUpgrade{named("a-1", 9), named("b-2", 1)},
			want: map[string]string{"a-1": "", "b-2": "DuplicateOperation"},
		},
		"a placeholder of the operator's may be anywhere": {
			apps: apps, all: []*wrappers.FirmwareUpgrade{placeholder("x", 9)}, want: map[string]string{"p": ""},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var all []v1alpha1.FirmwareUpgrade
			for _, w := range c.all {
				all = append(all, *w.Obj())
			}
			got := map[string]string{}
			for i := range all {
				got[string(all[i].UID)] = Resolve(&all[i], all, Rules{Applications: c.apps, PlaceholderNamespace: "b"}).Reason
			}
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Who meets a rival a moment after one of the two came waits, as the other one may be about to go: to rename one by Git
// is to create the new one and then to delete the old one. The one that has the task keeps it all the while; only after
// that moment the other one is a duplicate, and when the rival goes it has the task at once.
func TestRivalMayBeAboutToGo(t *testing.T) {
	at := created.Add(time.Hour)
	old := wrappers.MakeFirmwareUpgrade("old", "a").UID("old").Created(created).Obj()
	renamed := wrappers.MakeFirmwareUpgrade("new", "a").UID("new").Created(at).Obj()
	declared := wrappers.MakeFirmwareUpgrade("declared", "a").UID("declared").Created(at).Obj()
	placeholder := wrappers.MakeFirmwareUpgrade("undeclared-1", "b").UID("p").Created(created).Placeholder().Obj()
	gone := wrappers.MakeFirmwareUpgrade("old", "a").UID("old").Created(created).Deleted(at).Obj()
	cases := map[string]struct {
		fwu, rival *v1alpha1.FirmwareUpgrade
		after      time.Duration
		want       string
	}{
		"the new one at once":               {renamed, old, 0, "AwaitingTask"},
		"the new one, just before":          {renamed, old, rivalDelay - 1, "AwaitingTask"},
		"the new one after that":            {renamed, old, rivalDelay, "DuplicateOperation"},
		"the old one has it":                {old, renamed, 0, ""},
		"the old one has it after that":     {old, renamed, rivalDelay, ""},
		"the rival is being deleted":        {renamed, gone, 0, ""},
		"a placeholder that has to go":      {placeholder, declared, 0, "AwaitingTask"},
		"a placeholder that did not go":     {placeholder, declared, rivalDelay, "DuplicateOperation"},
		"what is declared has it from then": {declared, placeholder, 0, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			all := []v1alpha1.FirmwareUpgrade{*c.fwu, *c.rival}
			got := Resolve(c.fwu, all, Rules{PlaceholderNamespace: "b"}).At(at.Add(c.after))
			if got.Reason != c.want || got.Waits() != (c.want == "AwaitingTask") {
				t.Errorf("want %q, got %q, waits %t", c.want, got.Reason, got.Waits())
			}
			rival := c.rival.Namespace + "/" + c.rival.Name
			if !got.Holds() && !strings.Contains(got.Message, rival) {
				t.Errorf("the message does not name %s: %s", rival, got.Message)
			}
		})
	}
}

// What may be the task of a FirmwareUpgrade whose ids are misspelt is told within the bounds of tenancy only.
func TestWhatElseIsReported(t *testing.T) {
	placeholder := func(app string) v1alpha1.FirmwareUpgrade {
		return *wrappers.MakeFirmwareUpgrade("undeclared-"+app, "b").App(app).Placeholder().Obj()
	}
	placeholders := []v1alpha1.FirmwareUpgrade{placeholder("x"), placeholder("y"), placeholder("")}
	tasks := []result.Task{{OperationID: "op"}, {AppID: "x", OperationID: "op"}, {AppID: "y", OperationID: "op"}}
	cases := map[string]struct {
		apps         Applications
		namespace    string
		undeclared   int
		applications []string
	}{
		"without tenancy":            {nil, "a", 3, []string{"none named", "x"}},
		"the namespace of both":      {applicationsMap(t), "a", 2, []string{"x"}},
		"the namespace of y":         {applicationsMap(t), "b", 1, nil},
		"the namespace of no tenant": {applicationsMap(t), "c", 0, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			rules := Rules{Applications: c.apps, PlaceholderNamespace: "b"}
			if got := rules.Undeclared(c.namespace, placeholders); got != c.undeclared {
				t.Errorf("undeclared tasks: want %d, got %d", c.undeclared, got)
			}
			fwu := wrappers.MakeFirmwareUpgrade("n", c.namespace).App("y").Obj()
			if diff := gocmp.Diff(c.applications, rules.OtherApplications(fwu, tasks)); diff != "" {
				t.Errorf("other applications (-want +got):\n%s", diff)
			}
		})
	}
}

// What has finished keeps the task that it counted: that another application reports the operationId afterwards is told
// and changes nothing, also when the results that were counted are gone. What runs, or is judged anew as its spec was
// changed, is ambiguous, and stays so when its deadline passes.
func TestFinishedKeepsItsTask(t *testing.T) {
	x, y := result.Task{AppID: "x", OperationID: "op"}, result.Task{AppID: "y", OperationID: "op"}
	condition := func(kind string, is metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: is, Reason: reason, ObservedGeneration: 1}
	}
	status := func(finished metav1.ConditionStatus, ready string) v1alpha1.FirmwareUpgradeStatus {
		return v1alpha1.FirmwareUpgradeStatus{
			ObservedGeneration: 1, AppID: "x", StartTime: &metav1.Time{Time: created},
			Conditions: []metav1.Condition{
				condition(v1alpha1.ConditionFinished, finished, "any"),
				condition(v1alpha1.ConditionReady, metav1.ConditionFalse, ready),
			},
		}
	}
	ended := status(metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	uncounted := status(metav1.ConditionTrue, v1alpha1.ReasonDeadlineExceeded)
	uncounted.StartTime, uncounted.AppID = nil, ""
	const told = "other applications report this operationId, too, and are not counted (y): set spec.appId"
	cases := map[string]struct {
		status     v1alpha1.FirmwareUpgradeStatus
		generation int64
		apps       Applications
		namespace  string
		found      []result.Task
		want       result.Task
		ok         bool
		reason     string
		message    string
	}{
		"another one reports, too": {status: ended, found: []result.Task{x, y}, want: x, ok: true, message: told},
		"it alone":                 {status: ended, found: []result.Task{x}, want: x, ok: true},
		"its results are gone":     {status: ended, found: []result.Task{y}, want: x, message: told},
		"and that was told": {
			status: status(metav1.ConditionTrue, v1alpha1.ReasonResultsIncomplete), found: []result.Task{y},
			want: x, message: told,
		},
		"another is no other where it may not be claimed": {
			status: ended, found: []result.Task{x, {AppID: "z", OperationID: "op"}}, apps: applicationsMap(t), want: x, ok: true,
		},
		"the application became another namespace's": {
			status: ended, found: []result.Task{x, y}, apps: applicationsMap(t), namespace: "b", want: y, ok: true,
		},
		"it runs": {
			status: status(metav1.ConditionFalse, v1alpha1.ReasonRunning), found: []result.Task{x, y},
			reason: v1alpha1.ReasonAmbiguousOperation,
		},
		"its spec was changed": {
			status: ended, generation: 2, found: []result.Task{x, y}, reason: v1alpha1.ReasonAmbiguousOperation,
		},
		"it was ambiguous when its deadline passed": {
			status: status(metav1.ConditionTrue, v1alpha1.ReasonAmbiguousOperation), found: []result.Task{x, y},
			reason: v1alpha1.ReasonAmbiguousOperation,
		},
		"it counted nothing": {
			status: uncounted, found: []result.Task{x, y}, reason: v1alpha1.ReasonAmbiguousOperation,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			fwu := wrappers.MakeFirmwareUpgrade("n", cmp.Or(c.namespace, "a")).Generation(cmp.Or(c.generation, 1)).
				Status(c.status).Obj()
			task, ok, got := Task(fwu, c.found, Rules{Applications: c.apps, PlaceholderNamespace: "b"})
			if task != c.want || ok != c.ok || got.Reason != c.reason || got.Holds() && got.Message != c.message {
				t.Errorf("want %v %t %q %q, got %v %t %q %q",
					c.want, c.ok, c.reason, c.message, task, ok, got.Reason, got.Message)
			}
		})
	}
}

// However long the ids are that a message names, its end says what to do.
func TestMessagesEndWithWhatToDo(t *testing.T) {
	long := func(s string) string { return strings.Repeat(s, 256/len(s)) }
	tasks := []result.Task{
		{AppID: long("x"), OperationID: "op"}, {AppID: long("é"), OperationID: "op"}, {AppID: long("z"), OperationID: "op"},
	}
	fwu := wrappers.MakeFirmwareUpgrade("n", "c").App(long("x")).Obj()
	rules := Rules{Applications: applicationsMap(t)}
	for message, end := range map[string]string{
		ambiguousMessage(tasks):         "FirmwareUpgrade for each of the others",
		otherApplicationsMessage(tasks): "set spec.appId",
		notPermittedMessage(fwu, rules): "in the application's namespace",
	} {
		if len(message) > 400 || !strings.HasSuffix(message, end) || !strings.Contains(message, "x…") {
			t.Errorf("want at most 400 bytes that end with %q and show what was cut, got %q", end, message)
		}
	}
}

func TestTask(t *testing.T) {
	tasks := []result.Task{
		{AppID: "", OperationID: "op"},
		{AppID: "x", OperationID: "op"},
		{AppID: "y", OperationID: "op"},
	}
	apps := applicationsMap(t)
	cases := map[string]struct {
		fwu    *wrappers.FirmwareUpgrade
		tasks  []result.Task
		apps   Applications
		want   string
		ok     bool
		reason string
	}{
		"named":             {fwu: wrappers.MakeFirmwareUpgrade("n", "a").App("y"), tasks: tasks, want: "y", ok: true},
		"named, no results": {fwu: wrappers.MakeFirmwareUpgrade("n", "a").App("z"), tasks: tasks, want: "z"},
		"any of one":        {fwu: wrappers.MakeFirmwareUpgrade("n", "a"), tasks: tasks[1:2], want: "x", ok: true},
		"any of several": {
			fwu:    wrappers.MakeFirmwareUpgrade("n", "a"),
			tasks:  tasks[1:],
			reason: "AmbiguousOperation",
		},
		"any of the namespace's": {
			fwu:   wrappers.MakeFirmwareUpgrade("n", "b"),
			tasks: tasks,
			apps:  apps,
			want:  "y",
			ok:    true,
		},
		"a placeholder without application claims just that": {
			fwu: wrappers.MakeFirmwareUpgrade(PlaceholderName(tasks[0]), "b").
				Placeholder().
				Generation(1),
			tasks: tasks, want: "", ok: true,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			task, ok, problem := Task(c.fwu.Obj(), c.tasks, Rules{Applications: c.apps, PlaceholderNamespace: "b"})
			if task.AppID != c.want || ok != c.ok || problem.Reason != c.reason {
				t.Errorf("want %q %v %q, got %q %v %q", c.want, c.ok, c.reason, task.AppID, ok, problem.Reason)
			}
		})
	}
}

func TestDeletion(t *testing.T) {
	deleted := func() *wrappers.FirmwareUpgrade { return wrappers.MakeFirmwareUpgrade("n", "a").Deleted(created) }
	for name, c := range map[string]struct {
		fwu    *wrappers.FirmwareUpgrade
		reason string
		end    string
	}{
		"its results go with it": {
			deleted().Finalizers("example.com/f", v1alpha1.FinalizerPurge), v1alpha1.ReasonPurging, "results are removed",
		},
		"somebody else keeps it": {
			deleted().Finalizers("example.com/f"), v1alpha1.ReasonReleased, "metadata.finalizers is empty",
		},
	} {
		t.Run(name, func(t *testing.T) {
			fwu := c.fwu.Obj()
			got := Deletion(fwu)
			if got.Reason != c.reason || !strings.HasSuffix(got.Message, c.end) {
				t.Errorf("want %s and what ends with %q, got %+v", c.reason, c.end, got)
			}
			held := len(Holders([]v1alpha1.FirmwareUpgrade{*fwu}, Rules{})) == 1
			if held != got.Waits() {
				t.Errorf("it has the task: %t, it says: %t", held, got.Waits())
			}
		})
	}
}
