// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/status"
	"fwupgrade.io/operator/internal/tally"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

var update = flag.Bool("update", false, "write the golden files anew")

// now is the time of all tests.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// What the tests share: a control plane with config/default applied, and its administrator.
var (
	cluster    *local.Cluster
	k8s        client.WithWatch
	kubeconfig string
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	// With the controller manager, which aggregates the ClusterRole view.
	harness.Main(m, local.Options{}, func(c *local.Cluster, dir string) (err error) {
		cluster, kubeconfig = c, filepath.Join(dir, "kubeconfig")
		if k8s, err = harness.NewClient(c); err != nil {
			return err
		}
		if err := c.WriteKubeconfig(kubeconfig); err != nil {
			return err
		}
		return harness.Install(context.Background(), kubeconfig)
	})
}

// kubectl runs the real one as the administrator.
func kubectl(args ...string) error {
	_, err := harness.Kubectl(context.Background(), kubeconfig, args...)
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hurriedClock stands still, and lets nobody wait.
type hurriedClock struct{ *clocktesting.FakeClock }

func (c hurriedClock) After(time.Duration) <-chan time.Time {
	passed := make(chan time.Time, 1)
	passed <- c.Now()
	return passed
}

// fleet is a namespace with users who have exactly the rights that docs/plugin.md tells to give: the viewer has view
// there, the reader may read the stored results beside that, the stranger may nothing.
type fleet struct {
	t         *testing.T
	namespace string
	// env is the environment of the commands.
	env map[string]string
	// in is their standard input.
	in string
	// transcript are the commands that were run, with what they printed; shown is that as a terminal shows it.
	transcript, shown strings.Builder
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	return newFleetIn(t, harness.NewNamespace(t, k8s))
}

// newFleetIn makes the users of a namespace, which no other test uses.
func newFleetIn(t *testing.T, namespace string) *fleet {
	t.Helper()
	f := &fleet{t: t, namespace: namespace, env: map[string]string{"LANG": "C.UTF-8"}}
	for _, user := range []string{"viewer", "reader"} {
		must(t, kubectl("-n", f.namespace, "create", "rolebinding", user, "--clusterrole=view", "--user="+f.user(user)))
	}
	must(t, kubectl("-n", defaultOperatorNamespace, "create", "rolebinding", f.user("results"),
		"--clusterrole="+resultsViewerRole, "--user="+f.user("reader")))
	must(t, k8s.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: f.user("overseer")},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: f.user("overseer")}},
	}))
	config := cluster.Config()
	for _, user := range []string{"viewer", "overseer"} {
		config.Impersonate = rest.ImpersonationConfig{UserName: f.user(user)}
		c, err := harness.NewClientFor(config)
		must(t, err)
		harness.Eventually(t, func() string { // RBAC follows a moment later
			if err := c.List(t.Context(), &v1alpha1.FirmwareUpgradeList{}, client.InNamespace(f.namespace)); err != nil {
				return err.Error()
			}
			return ""
		})
	}
	return f
}

// user is the name of one of the users: each fleet has its own.
func (f *fleet) user(name string) string { return name + "-" + f.namespace }

// options are those of the commands, with bounds so small that pages and files are needed.
func (f *fleet) options(streams genericiooptions.IOStreams) Options {
	return Options{
		Streams: streams, Clock: hurriedClock{clocktesting.NewFakeClock(now)},
		Getenv: func(name string) string { return f.env[name] }, TempDir: f.t.TempDir(), Version: "v0.0.0",
		Limits: Limits{PageSlices: 2, MemoryResults: 4},
	}
}

// run runs a command as a user.
func (f *fleet) run(user string, args ...string) (code int, out, errOut string) {
	f.t.Helper()
	streams, in, stdout, stderr := genericiooptions.NewTestIOStreams()
	in.WriteString(f.in)
	all := append([]string{"--kubeconfig", kubeconfig, "--as", f.user(user), "-n", f.namespace}, args...)
	code = Run(f.t.Context(), all, f.options(streams))
	return code, stdout.String(), stderr.String()
}

// record runs a command as a user, and adds what it printed to the transcript. What is for people must fit 80 columns
// and have no control characters.
func (f *fleet) record(user string, args ...string) {
	f.t.Helper()
	code, out, errOut := f.run(user, args...)
	fmt.Fprintf(&f.transcript, "$ kubectl fwupgrade %s\n%s", strings.Join(args, " "), out)
	for line := range strings.Lines(errOut) {
		f.transcript.WriteString("stderr: " + line)
	}
	fmt.Fprintf(&f.shown, "$ kubectl fwupgrade %s\n%s%s", strings.Join(args, " "), out, errOut)
	if code != 0 {
		fmt.Fprintf(&f.transcript, "exit code %d\n", code)
	}
	f.transcript.WriteString("\n")
	command := strings.Join(args, " ")
	// What is for programs is not cut, nor are logs: answers to pushes, and what --watch tells without a terminal.
	forPrograms := strings.Contains(command, "-o ") || strings.Contains(command, "replay") ||
		strings.Contains(command, "--watch")
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if !forPrograms && (columnsOf(line) > 80 || strings.ContainsFunc(line, result.IsHidden)) {
			f.t.Errorf("%v printed a line for people that is wider than 80 columns or hides something: %q", args, line)
		}
	}
}

// golden compares the transcript with a golden file. Names that the test made are replaced by others of the same
// length.
func (f *fleet) golden(name string) {
	f.t.Helper()
	got := f.transcript.String()
	if strings.HasPrefix(f.namespace, "test-") {
		got = strings.ReplaceAll(got, f.namespace, "fleet-0000")
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		must(f.t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	must(f.t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		f.t.Errorf("%s differs, write it anew with -update if that is right (-want +got):\n%s", path, diff)
	}
}

// storeSlices stores results, so many to a slice, as the webhook does.
func (f *fleet) storeSlices(each int, results ...result.Result) {
	f.t.Helper()
	for start := 0; start < len(results); start += each {
		f.storeSlice(&storage.ResultSlice{Tables: result.Pack(results[start:min(start+each, len(results))])})
	}
}

// storeSlice stores a slice until the test ends.
func (f *fleet) storeSlice(slice *storage.ResultSlice) {
	f.t.Helper()
	slice.Namespace, slice.GenerateName = defaultOperatorNamespace, "r-"
	must(f.t, k8s.Create(f.t.Context(), slice))
	f.t.Cleanup(func() {
		if err := k8s.Delete(context.Background(), slice); err != nil && !apierrors.IsNotFound(err) {
			f.t.Error(err)
		}
	})
}

// task is the task of the fleet, of which no other test has results.
func (f *fleet) task() result.Task {
	return result.Task{AppID: "app", OperationID: "op-" + f.namespace}
}

// upgrade makes a FirmwareUpgrade of the fleet's task with the status that the operator would write of the results.
func (f *fleet) upgrade(w *wrappers.FirmwareUpgrade, results ...result.Result) *v1alpha1.FirmwareUpgrade {
	f.t.Helper()
	fwu := w.Obj()
	fwu.Namespace = f.namespace
	must(f.t, k8s.Create(f.t.Context(), fwu))
	f.count(fwu, results...)
	return fwu
}

// count writes the status that the operator would write of the results.
func (f *fleet) count(fwu *v1alpha1.FirmwareUpgrade, results ...result.Result) {
	f.t.Helper()
	must(f.t, k8s.Get(f.t.Context(), client.ObjectKeyFromObject(fwu), fwu))
	counted := tally.New()
	counted.Add(results)
	task := result.Task{AppID: fwu.Spec.AppID, OperationID: fwu.Spec.OperationID}
	if len(results) > 0 {
		task = results[0].Task
	}
	created := fwu.DeepCopy()
	created.CreationTimestamp = metav1.Time{Time: now.Add(-time.Hour)}
	fwu.Status, _ = status.Compute(created, fwu.Status, status.Observation{
		Task: task, Failures: counted, Now: now,
		Summary: counted.Summary(task, tally.Query{TargetVersion: fwu.Spec.TargetVersion, Devices: fwu.Spec.Devices}),
	})
	must(f.t, k8s.Status().Update(f.t.Context(), fwu))
}

// reported is a result of a task, which arrived so long ago.
func reported(task result.Task, device string, ago time.Duration, state storage.State, text string) result.Result {
	version := "1.6"
	if state != storage.StateSucceeded {
		version = "1.3"
	}
	r := result.Result{
		Task: task, DeviceID: device, SubOperationID: "sub-" + device, ReceivedAt: now.Add(-ago).UnixMicro(),
		ResultFields: storage.ResultFields{
			State: state, StatusDesc: text, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: version,
		},
	}
	r.Normalize()
	return r
}

// buffers are streams of a command that is run by hand.
func buffers() (genericiooptions.IOStreams, *bytes.Buffer, *bytes.Buffer) {
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	return streams, out, errOut
}
