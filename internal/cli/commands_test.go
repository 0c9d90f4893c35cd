// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/harness"
	"fwupgrade.io/operator/test/wrappers"
)

const (
	uuid      = "0e3a4a9e-26a5-4a2c-8a53-3c9a6e0f1b"
	succeeded = storage.StateSucceeded
	failed    = storage.StateFailed
)

// roughResults are results with everything that may go wrong on the way to a table: retries, repetitions, what a table
// shares, quotes, line feeds, formulas, escape sequences and letters of two columns.
func roughResults(task result.Task) []result.Result {
	recovered := reported(task, uuid+"01", 2*time.Minute, succeeded, "")
	suspect := reported(task, uuid+"05", 5*time.Minute, succeeded, "")
	suspect.CurVersion = "1.5"
	return []result.Result{
		reported(task, uuid+"01", 10*time.Minute, failed, "Connection lost during downloading process"),
		recovered, recovered,
		reported(task, uuid+"02", 9*time.Minute, failed, "Invalid URI"),
		reported(task, uuid+"02", 8*time.Minute, failed, "Waiting for the device online timeout, said \"twice\", and\nlater"),
		reported(task, uuid+"03", time.Hour, storage.StateDownloading, ""),
		reported(task, uuid+"04", 3*time.Minute, failed, "=HYPERLINK(\"http://example.com\",\"x\")"),
		suspect,
		reported(task, uuid+"06", 7*time.Minute, failed, "\x1b[31m红色\x1b[0m下载失败，错误码：4，请检查网络连接并重试升级任务"),
		reported(task, "short", 26*time.Hour, succeeded, ""),
		reported(task, uuid+"07", time.Minute, failed, ""),
		reported(task, uuid+"08", time.Minute, failed, "Invalid URI"),
		reported(task, uuid+"09", time.Minute, failed, "Invalid URI"),
	}
}

func TestResults(t *testing.T) {
	f := newFleet(t)
	results := roughResults(f.task())
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters-1.6", "").Operation(f.task().OperationID).Target("1.6").Expected(20),
		results...)
	f.upgrade(wrappers.MakeFirmwareUpgrade("listed", "").Operation(f.task().OperationID).App("app").
		Devices(uuid+"01", "late-1", "late-2"), results...)
	f.storeSlices(3, results...)
	merged := result.Merge(results[:6])[0] // compaction was killed before it removed its inputs
	f.storeSlice(&storage.ResultSlice{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{storage.LabelTask: f.task().Hash()}},
		Tables:     result.Pack(merged.Results),
	})
	other := f.task()
	other.AppID = "another"
	f.storeSlices(1, reported(other, "of-another-application", time.Minute, failed, ""))

	f.record("reader", "results", "meters-1.6")
	f.record("reader", "results", "meters-1.6", "--failed")
	f.record("reader", "results", "meters-1.6", "--suspect")
	f.record("reader", "results", "meters-1.6", "--state", "inprogress")
	f.record("reader", "results", "meters-1.6", "--failed", "-o", "csv")
	f.record("reader", "results", "meters-1.6", "-o", "json")
	f.record("reader", "results", "meters-1.6", "-o", "wide")
	f.record("reader", "results", "meters-1.6", "--device", uuid+"02")
	f.record("reader", "results", "meters-1.6", "--missing")
	f.record("reader", "results", "listed", "--missing")
	f.in = "\ufefflate-1\r\n\r\n" + uuid + "02\r\nshort\r\nunknown"
	f.record("reader", "results", "meters-1.6", "--missing-from", "-")
	f.record("reader", "results", "meters-1.6", "--device", "unknown")
	f.env["LANG"] = "C"
	f.record("reader", "results", "meters-1.6", "--failed")
	f.golden("results")
}

func TestStatus(t *testing.T) {
	f := newFleet(t)
	results := roughResults(f.task())
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters-1.6", "").Operation(f.task().OperationID).Target("1.6").Expected(20).
		MaxFailed("5%", 20), results...)
	f.upgrade(wrappers.MakeFirmwareUpgrade("open", "").Operation("open").App("app"),
		reported(result.Task{AppID: "app", OperationID: "open"}, "d", time.Minute, succeeded, ""))
	f.upgrade(wrappers.MakeFirmwareUpgrade("good", "").Operation("good").App("app").Expected(1),
		reported(result.Task{AppID: "app", OperationID: "good"}, "d", time.Minute, succeeded, ""))
	f.record("viewer", "status", "meters-1.6")
	f.record("viewer", "status", "open")
	f.record("viewer", "status", "good", "--watch")
	f.record("viewer", "status", "nothing")
	stale := f.upgrade(wrappers.MakeFirmwareUpgrade("stale", "").Operation("stale").App("app").Expected(1),
		reported(result.Task{AppID: "app", OperationID: "stale"}, "d", time.Minute, succeeded, ""))
	stale.Spec.ExpectedDevices = new(int64(2))
	must(t, k8s.Update(t.Context(), stale))
	f.record("viewer", "status", "stale")
	f.env["LC_ALL"] = "C"
	f.record("viewer", "status", "meters-1.6")
	f.golden("status")
}

func TestRights(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters-1.6", "").Operation(f.task().OperationID))
	f.record("stranger", "status", "meters-1.6")
	f.record("stranger", "wait", "meters-1.6")
	f.record("viewer", "results", "meters-1.6")
	f.record("viewer", "rejected")
	f.record("viewer", "verify", "meters-1.6")
	f.record("reader", "results", "meters-1.6", "--operator-namespace", "elsewhere")
	f.record("viewer", "campaign", "-l", "a=b", "-A")
	f.golden("rights")
}

func TestWrongUsage(t *testing.T) {
	f := newFleet(t)
	for _, args := range []string{
		"status", "wait", "results a b", "results a -o yaml", "results a --failed --suspect", "results a --state Lost",
		"rejected --since yesterday", "campaign", "campaign -l a=b=c", "wait a --timeout -1s", "status --nothing", "nothing",
		"rejected replay",
	} {
		f.record("viewer", strings.Fields(args)...)
	}
	f.golden("usage")
}

func TestVerify(t *testing.T) {
	f := newFleet(t)
	results := roughResults(f.task())
	fwu := f.upgrade(wrappers.MakeFirmwareUpgrade("meters-1.6", "").Operation(f.task().OperationID).Target("1.6").
		Expected(20), results...)
	f.storeSlices(2, results...)
	f.record("reader", "verify", "meters-1.6")
	fwu.Status.Devices.Failed++
	fwu.Status.Devices.Pending--
	fwu.Status.Details.Causes[0].Count++
	must(t, k8s.Status().Update(t.Context(), fwu))
	f.record("reader", "verify", "meters-1.6")
	fwu.Status.ArchiveTime = &metav1.Time{Time: now}
	must(t, k8s.Status().Update(t.Context(), fwu))
	f.record("reader", "verify", "meters-1.6")
	f.golden("verify")
}

// What a newer version stored is not passed over in silence.
func TestNotEverythingCanBeRead(t *testing.T) {
	f := newFleet(t)
	results := roughResults(f.task())
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters-1.6", "").Operation(f.task().OperationID).App("app"), results...)
	f.storeSlices(20, results...)
	newer := result.Pack(results[:1])
	newer[0].Rows = "deviceId,receiveTime,mood\nd,1,good\n"
	f.storeSlice(&storage.ResultSlice{Tables: newer})
	for command, want := range map[string]int{"results": exitBad, "verify": exitUnknown} {
		code, out, errOut := f.run("reader", command, "meters-1.6")
		if code != want || !strings.Contains(errOut, `column "mood" is not known`) {
			t.Errorf("%s: code %d, want %d; it said: %s", command, code, want, errOut)
		}
		if has := strings.Contains(out, uuid+"02"); has != (command == "results") {
			t.Errorf("%s printed: %s", command, out)
		}
	}
}

func TestSeveralApplications(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters-1.6", "").Operation(f.task().OperationID))
	other := f.task()
	other.AppID = ""
	f.storeSlices(1, reported(f.task(), "d", time.Minute, failed, ""), reported(other, "d", time.Minute, failed, ""))
	code, _, errOut := f.run("reader", "results", "meters-1.6")
	if code != exitUnknown || !strings.Contains(errOut, `("", "app"): set spec.appId`) {
		t.Errorf("code %d: %s", code, errOut)
	}
}

// labelled is a FirmwareUpgrade of a campaign.
func (f *fleet) labelled(name, campaign string) *v1alpha1.FirmwareUpgrade {
	fwu := wrappers.MakeFirmwareUpgrade(name, f.namespace).Operation(name + f.namespace).App("app").Expected(1).Obj()
	fwu.Labels = map[string]string{"campaign": campaign}
	return fwu
}

// newProxy is a server in front of the API server, to which a request goes on unless before answers it.
func newProxy(t *testing.T, before func(w http.ResponseWriter, r *http.Request) (goesOn bool)) string {
	t.Helper()
	transport, err := rest.TransportFor(cluster.Config())
	must(t, err)
	to, err := url.Parse(cluster.Config().Host)
	must(t, err)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// campaignOf makes an upgrade for each way of ending.
func campaignOf(f *fleet, label string) {
	labelled := func(name, operation string) *wrappers.FirmwareUpgrade {
		w := wrappers.MakeFirmwareUpgrade(name, "").Operation(operation + f.namespace).App("app").Target("1.6")
		w.Labels = map[string]string{"campaign": label}
		return w
	}
	of := func(operation string) result.Task {
		return result.Task{AppID: "app", OperationID: operation + f.namespace}
	}
	f.upgrade(labelled("good", "a").Expected(1), reported(of("a"), "d", time.Minute, succeeded, ""))
	f.upgrade(labelled("running", "b").Expected(10), reported(of("b"), "d", time.Minute, succeeded, ""))
	f.upgrade(labelled("bad", "c").Expected(10).MaxFailed("0", 0),
		reported(of("c"), "d", time.Minute, failed, "Waiting for the device online timeout"),
		reported(of("c"), "e", time.Minute, succeeded, ""))
	f.upgrade(labelled("pending", "d").Expected(5))
}

func TestCampaign(t *testing.T) {
	f := newFleet(t)
	campaignOf(f, f.namespace)
	selector := "campaign=" + f.namespace
	f.record("viewer", "campaign", "-l", selector)
	f.record("overseer", "campaign", "-l", selector, "-A")
	f.record("viewer", "campaign", "-l", selector, "--wait")
	f.record("viewer", "campaign", "-l", "campaign=mistyped")
	must(t, k8s.Delete(t.Context(), &v1alpha1.FirmwareUpgrade{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "bad"},
	}))
	f.record("viewer", "campaign", "-l", selector)
	f.record("viewer", "campaign", "-l", selector, "--watch", "--timeout", "300ms")
	f.golden("campaign")
}

func TestWait(t *testing.T) {
	f := newFleet(t)
	campaignOf(f, "x")
	f.record("viewer", "wait", "good")
	f.record("viewer", "wait", "bad")
	f.record("viewer", "wait", "running", "--timeout", "0")
	f.record("viewer", "wait", "good", "pending", "--timeout", "300ms")
	f.record("viewer", "wait", "good", "missing")
	f.golden("wait")
}

// Who waits is told when the status changes, and when the object goes.
func TestWaitFollows(t *testing.T) {
	cases := map[string]struct {
		change func(f *fleet, fwu *v1alpha1.FirmwareUpgrade)
		want   int
	}{
		"good": {
			change: func(f *fleet, fwu *v1alpha1.FirmwareUpgrade) {
				f.count(fwu, reported(f.task(), "d", time.Minute, succeeded, ""))
			},
			want: exitGood,
		},
		"bad": {
			change: func(f *fleet, fwu *v1alpha1.FirmwareUpgrade) {
				f.count(fwu, reported(f.task(), "d", time.Hour, failed, "Invalid URI"))
			},
			want: exitBad,
		},
		"gone": {
			change: func(f *fleet, fwu *v1alpha1.FirmwareUpgrade) { must(f.t, k8s.Delete(f.t.Context(), fwu)) },
			want:   exitUnknown,
		},
	}
	for name, c := range cases {
		for _, args := range [][]string{{"wait", "meters"}, {"status", "meters", "--watch"}} {
			t.Run(name+" "+args[0], func(t *testing.T) {
				f := newFleet(t)
				fwu := f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).App("app").Expected(1))
				ended, listening := make(chan int, 1), make(chan struct{})
				var once sync.Once
				server := newProxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("watch") != "" {
						once.Do(func() { close(listening) })
					}
					return true
				})
				go func() {
					code, _, _ := f.run("viewer", append(args, "--server", server)...)
					ended <- code
				}()
				select {
				case code := <-ended:
					t.Fatalf("it did not wait: %d", code)
				case <-listening:
				case <-time.After(time.Minute):
					t.Fatal("it does not watch")
				}
				c.change(f, fwu)
				select {
				case code := <-ended:
					if code != c.want {
						t.Errorf("code %d, want %d", code, c.want)
					}
				case <-time.After(time.Minute):
					t.Fatal("it goes on waiting")
				}
			})
		}
	}
}

func TestInterrupted(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).Expected(1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	streams, _, errOut := buffers()
	code := Run(ctx, []string{"--kubeconfig", kubeconfig, "-n", f.namespace, "wait", "meters"}, f.options(streams))
	if code != exitInterrupted || !strings.Contains(errOut.String(), "interrupted") {
		t.Errorf("code %d: %s", code, errOut)
	}
}

// An interrupt ends a command that prints.
func TestInterruptedWhileItPrints(t *testing.T) {
	f := newFleet(t)
	var results []result.Result
	var ids strings.Builder
	const count = 3000
	for i := range count {
		device := fmt.Sprintf("device-%06d", i)
		results = append(results, reported(f.task(), device, 24*time.Hour, succeeded, ""))
		ids.WriteString("missing-" + device + "\n")
	}
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).App("app"))
	f.storeSlices(1000, results...)
	for _, command := range []string{
		"results meters -o csv", "results meters -o wide", "results meters --missing-from -",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		streams, in, _, errOut := genericiooptions.NewTestIOStreams()
		in.WriteString(ids.String())
		lines := 0
		streams.Out = writerFunc(func(p []byte) (int, error) {
			cancel()
			lines += strings.Count(string(p), "\n")
			return len(p), nil
		})
		args := append([]string{"--kubeconfig", kubeconfig, "-n", f.namespace}, strings.Fields(command)...)
		code := Run(ctx, args, f.options(streams))
		if code != exitInterrupted || lines >= count || errOut.String() != "error: interrupted\n" {
			t.Errorf("%s: code %d, %d lines: %s", command, code, lines, errOut)
		}
		cancel()
	}
}

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Whoever reads a few lines and goes gets no panic, and no files stay.
func TestBrokenPipe(t *testing.T) {
	f := newFleet(t)
	var results []result.Result
	for i := range 3000 {
		results = append(results, reported(f.task(), fmt.Sprintf("device-%06d", i), 24*time.Hour, succeeded, ""))
	}
	meters := wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).App("app").Expected(3000)
	f.upgrade(meters, results...)
	f.storeSlices(1000, results...)
	read, write, err := os.Pipe()
	must(t, err)
	must(t, read.Close())
	streams, _, errOut := buffers()
	streams.Out = write
	o := f.options(streams)
	o.Limits.MemoryResults = 500
	must(t, k8s.Create(t.Context(), f.labelled("unfinished", "y")))
	storeRejected(t, f)
	to := newReceiver(t)
	f.env[envCallbackURL] = to.callback()
	for _, command := range []string{
		"results meters", "status unfinished --watch", "campaign -l campaign=y --watch", "wait meters unfinished",
		"rejected replay", "verify meters",
	} {
		errOut.Reset()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		args := append([]string{"--kubeconfig", kubeconfig, "-n", f.namespace}, strings.Fields(command)...)
		code := Run(ctx, args, o)
		cancel()
		if code != exitBrokenPipe || errOut.Len() > 0 {
			t.Errorf("%s: code %d: %s", command, code, errOut)
		}
	}
	must(t, write.Close())
	if len(to.got) > 1 {
		t.Errorf("%d were pushed when nobody listened any more", len(to.got))
	}
	if left, err := filepath.Glob(filepath.Join(o.TempDir, "*")); err != nil || len(left) > 0 {
		t.Errorf("files were left behind: %v, %v", left, err)
	}
}

func TestCompletion(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters-1.6", "").Operation(f.task().OperationID))
	f.upgrade(wrappers.MakeFirmwareUpgrade("gateways", "").Operation("g" + f.task().OperationID))
	streams, out, _ := buffers()
	args := []string{"__complete", "wait", "--kubeconfig", kubeconfig, "-n", f.namespace, "gateways", "m"}
	if code := Run(t.Context(), args, f.options(streams)); code != exitGood {
		t.Errorf("code %d", code)
	}
	if diff := cmp.Diff("meters-1.6\n:4\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Where nothing could be read at all, nobody says "not finished".
func TestNoAnswerInTime(t *testing.T) {
	f := newFleet(t)
	server := newProxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return false
	})
	for _, command := range []string{"wait meters", "campaign -l a=b --wait", "campaign -l a=b --watch"} {
		args := append(strings.Fields(command), "--timeout", "200ms", "--server", server)
		code, _, errOut := f.run("viewer", args...)
		want := "error: the API server at " + server + " did not answer within 200ms\n"
		if diff := cmp.Diff(want, errOut); diff != "" || code != exitUnknown {
			t.Errorf("%s: code %d (-want +got):\n%s", command, code, diff)
		}
	}
}

// Where the ResultStore can't be read for another reason than a lack of rights, no other namespace is read instead.
func TestOperatorNamespaceIsNotGuessed(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID))
	server := newProxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "resultstores") {
			http.Error(w, "etcd is away", http.StatusInternalServerError)
			return false
		}
		return true
	})
	for _, command := range []string{"rejected", "results meters", "verify meters"} {
		code, _, errOut := f.run("reader", append(strings.Fields(command), "--server", server)...)
		if code != exitUnknown || !strings.Contains(errOut, "error: read the ResultStore: ") {
			t.Errorf("%s: code %d: %s", command, code, errOut)
		}
	}
}

// A broken connection is none of whoever reads the output.
func TestBrokenConnection(t *testing.T) {
	streams, _, errOut := buffers()
	s := newSession(optionsWith(Options{}))
	s.Streams = streams
	code := s.exitCode(t.Context(), fmt.Errorf("read FirmwareUpgrades: %w", syscall.EPIPE))
	if code != exitUnknown || errOut.String() != "error: read FirmwareUpgrades: broken pipe\n" {
		t.Errorf("code %d: %s", code, errOut)
	}
}

// An interrupt ends a command that waits for standard input.
func TestInterruptedWhileItReads(t *testing.T) {
	f := newFleet(t)
	f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID))
	for _, command := range []string{"results meters --missing-from -", "rejected replay --callback-url-file -"} {
		ctx, cancel := context.WithCancel(t.Context())
		read, write := io.Pipe()
		streams, _, errOut := buffers()
		streams.In = readerFunc(func(p []byte) (int, error) {
			cancel() // somebody reads
			return read.Read(p)
		})
		args := append([]string{"--kubeconfig", kubeconfig, "-n", f.namespace}, strings.Fields(command)...)
		if code := Run(ctx, args, f.options(streams)); code != exitInterrupted {
			t.Errorf("%s: code %d: %s", command, code, errOut)
		}
		must(t, write.Close())
	}
}

// A bad upgrade that is taken out of a campaign does not make the campaign a success.
func TestCampaignLosesOne(t *testing.T) {
	changes := map[string]func(f *fleet, fwu *v1alpha1.FirmwareUpgrade) error{
		"deleted": func(f *fleet, fwu *v1alpha1.FirmwareUpgrade) error { return k8s.Delete(f.t.Context(), fwu) },
		"relabelled": func(f *fleet, fwu *v1alpha1.FirmwareUpgrade) error {
			fwu.Labels = nil
			return k8s.Update(f.t.Context(), fwu)
		},
		"made anew": func(f *fleet, fwu *v1alpha1.FirmwareUpgrade) error {
			return errors.Join(k8s.Delete(f.t.Context(), fwu), k8s.Create(f.t.Context(), f.labelled(fwu.Name, f.namespace)))
		},
	}
	for name, change := range changes {
		for _, flag := range []string{"--wait", "--watch"} {
			t.Run(name+flag, func(t *testing.T) {
				f := newFleet(t)
				task := result.Task{AppID: "app", OperationID: "good" + f.namespace}
				good := f.labelled("good", f.namespace)
				must(t, k8s.Create(t.Context(), good))
				f.count(good, reported(task, "d", time.Minute, succeeded, ""))
				unfinished := f.labelled("unfinished", f.namespace)
				must(t, k8s.Create(t.Context(), unfinished))
				var once sync.Once
				server := newProxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("watch") != "" {
						once.Do(func() {
							if err := change(f, unfinished); err != nil {
								t.Error(err)
							}
						})
					}
					return true
				})
				code, _, errOut := f.run("viewer", "campaign", "-l", "campaign="+f.namespace, flag, "--timeout", "1m",
					"--server", server)
				if want := `/unfinished" was deleted, or does not have the labels`; code != exitUnknown ||
					!strings.Contains(errOut, want) {
					t.Errorf("code %d: %s", code, errOut)
				}
			})
		}
	}
}

// A burst of changes is looked at once.
func TestFollowerGathersChanges(t *testing.T) {
	f := newFleet(t)
	fwu := f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID))
	passing, changes := clocktesting.NewFakeClock(now), watch.NewFake()
	follower := &follower{
		client:  &flakyClient{WithWatch: k8s, list: func() error { return nil }, changes: changes},
		options: named(f.namespace, "meters"), clock: passing, lost: func(err error) { t.Error(err) },
	}
	const burst = 500
	go func() {
		for i := range burst {
			next := fwu.DeepCopy()
			next.Generation = int64(i + 1)
			changes.Modify(next) // waits until it is taken
		}
		passing.Step(seePause)
	}()
	looks, last := 0, int64(0)
	err := follower.run(t.Context(), func(now []*v1alpha1.FirmwareUpgrade) (bool, error) {
		looks, last = looks+1, now[0].Generation
		return looks > 1, nil
	})
	if err != nil || looks != 2 || last != burst {
		t.Errorf("error %v, %d looks, the last one at generation %d", err, looks, last)
	}
}

func TestNoAnswer(t *testing.T) {
	f := newFleet(t)
	code, _, errOut := f.run("viewer", "status", "meters", "--server", "http://127.0.0.1:1")
	want := "error: read FirmwareUpgrades: the API server at http://127.0.0.1:1 does not answer: does it run, and is " +
		"--context the right one? (connection refused)\n"
	if diff := cmp.Diff(want, errOut); diff != "" || code != exitUnknown {
		t.Errorf("code %d (-want +got):\n%s", code, diff)
	}
}

// An API server that does not know a kind answers as it does of any path.
func TestMissingKind(t *testing.T) {
	clients, err := kubernetes.NewForConfig(cluster.Config())
	must(t, err)
	err = clients.RESTClient().Get().AbsPath("/apis/fwupgrade.io/v1alpha0/firmwareupgrades").Do(t.Context()).Error()
	c := &connection{host: "https://example.com"}
	if got := c.explainUpgrades(err, "x").Error(); !strings.Contains(got, "CRDs are not installed") {
		t.Errorf("of %v: %s", err, got)
	}
}

// The operator's namespace is the one that the ResultStore names, for those who may read that.
func TestOperatorNamespace(t *testing.T) {
	store := &storage.ResultStore{
		ObjectMeta: metav1.ObjectMeta{Name: storage.ResultStoreName}, Spec: storage.ResultStoreSpec{Namespace: "upgrades"},
	}
	must(t, k8s.Create(t.Context(), store))
	t.Cleanup(func() { must(t, k8s.Delete(context.Background(), store)) })
	f := newFleet(t)
	for user, want := range map[string]string{"overseer": "upgrades", "viewer": defaultOperatorNamespace} {
		harness.Eventually(t, func() string {
			_, _, errOut := f.run(user, "rejected")
			if !strings.Contains(errOut, `in the namespace "`+want+`"`) {
				return user + ": " + errOut
			}
			return ""
		})
	}
}

// A watch that breaks off, and an API server that is away for a moment, end nothing.
func TestFollowerGoesOn(t *testing.T) {
	f := newFleet(t)
	fwu := f.upgrade(wrappers.MakeFirmwareUpgrade("meters", "").Operation(f.task().OperationID).App("app").Expected(1))
	lists := 0
	flaky := &flakyClient{WithWatch: k8s, list: func() error {
		if lists++; lists == 2 || lists == 3 {
			return errors.New("away for a moment")
		}
		if lists == 5 {
			f.count(fwu, reported(f.task(), "d", time.Minute, succeeded, ""))
		}
		return nil
	}}
	lost := 0
	follower := &follower{
		client: flaky, options: named(f.namespace, "meters"), clock: hurriedClock{clocktesting.NewFakeClock(now)},
		lost: func(error) { lost++ },
	}
	code := exitUnknown
	err := follower.run(t.Context(), func(now []*v1alpha1.FirmwareUpgrade) (bool, error) {
		code = codeOf(now[0])
		return code == exitGood, nil
	})
	if err != nil || code != exitGood || lost != 2 || lists != 5 {
		t.Errorf("error %v, code %d, lost %d times, %d lists", err, code, lost, lists)
	}
}

// flakyClient fails to list when it is told to, and its watches are not those of the API server.
type flakyClient struct {
	client.WithWatch
	list func() error
	// changes is what is watched instead; nil for watches that break off at once.
	changes watch.Interface
}

func (c *flakyClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if err := c.list(); err != nil {
		return err
	}
	return c.WithWatch.List(ctx, list, options...)
}

func (c *flakyClient) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	if c.changes != nil {
		return c.changes, nil
	}
	return watch.NewEmptyWatch(), nil
}
