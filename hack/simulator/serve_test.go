// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// process is `simulator serve` in a process of its own.
type process struct {
	t                          *testing.T
	cmd                        *exec.Cmd
	dir                        string
	northbound, control, appID string
	client                     *http.Client
}

func startServe(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir()}
	p.cmd = exec.CommandContext(t.Context(), os.Args[0], append([]string{
		"serve", "--address=127.0.0.1:0", "--control-address=127.0.0.1:0", "--secret-file=" + p.file("secret"),
		"--control-key-file=" + p.file("key"), "--ca-file=" + p.file("ca.pem"), "--report=" + p.file("report.json"),
	}, args...)...)
	p.cmd.Env = []string{asMain + "=1"}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, to := range []*string{&p.northbound, &p.control, &p.appID} {
		if !lines.Scan() {
			t.Fatal("The simulator ended before it served")
		}
		_, *to, _ = strings.Cut(lines.Text(), " ")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.read("ca.pem")))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{Transport: transport}
	return p
}

func (p *process) file(name string) string { return filepath.Join(p.dir, name) }

func (p *process) read(name string) string {
	p.t.Helper()
	content, err := os.ReadFile(p.file(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(content)
}

// send sends a request and returns what was answered.
func (p *process) send(method, address, contentType, body string, header http.Header) (int, map[string]any) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := p.client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		p.t.Fatal(err)
	}
	var answer map[string]any
	_ = json.Unmarshal(content, &answer)
	return response.StatusCode, answer
}

// create logs in and creates a task for a device.
func (p *process) create() {
	p.t.Helper()
	form := url.Values{"appId": {p.appID}, "secret": {p.read("secret")}}
	_, login := p.send(http.MethodPost, p.northbound+"/iocm/app/sec/v1.1.0/login", "application/x-www-form-urlencoded",
		form.Encode(), nil)
	token, _ := login["accessToken"].(string)
	status, answer := p.send(http.MethodPost, p.northbound+"/iodm/northbound/v1.5.0/operations/firmwareUpgrade",
		"application/json", `{"fileId":"package","targets":{"devices":["d"]}}`,
		http.Header{"App_key": {p.appID}, "Authorization": {"Bearer " + token}})
	if status != http.StatusOK {
		p.t.Fatalf("create: %d %v", status, answer)
	}
}

// stop ends the process by SIGTERM and returns its exit code and its report.
func (p *process) stop() (int, northbound.Report) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // its exit code is looked at
	var report northbound.Report
	if err := json.Unmarshal([]byte(p.read("report.json")), &report); err != nil {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode(), report
}

func TestServe(t *testing.T) {
	p := startServe(t, "--task=operationId=first,devices=3,startsIn=1h", "--fault=pushLost=0.5", "--app-id=meters",
		"--package=fileId=package,version=2.0", "--fate=a=fails,b=offline", "--groups=north=5,south=5")
	key := http.Header{"Authorization": {"Bearer " + p.read("key")}}
	status, truth := p.send(http.MethodGet, p.control+"/_/tasks/first", "", "", key)
	devices, _ := truth["devices"].([]any)
	if status != http.StatusOK || truth["fileVersion"] != "2.0" || truth["status"] != "wait" || len(devices) != 3 {
		t.Errorf("the task of the flag: %d %v", status, truth)
	}
	_, faults := p.send(http.MethodGet, p.control+"/_/faults", "", "", key)
	if diff := cmp.Diff(map[string]any{"share": 0.5}, faults["pushLost"]); diff != "" {
		t.Errorf("the fault of the flag (-want +got):\n%s", diff)
	}
	if p.appID != "meters" {
		t.Errorf("the application is %q", p.appID)
	}
	p.create()
	code, report := p.stop()
	if code != 0 || report.Tasks.Created != 1 || report.Tasks.Console != 1 || report.Calls.Total != 2 {
		t.Errorf("exit code %d, report %+v", code, report)
	}
}

func TestServeExitsWith4(t *testing.T) {
	p := startServe(t)
	p.create()
	p.create()
	if code, report := p.stop(); code != exitDuplicate || report.Tasks.Duplicates != 1 {
		t.Errorf("exit code %d with %d duplicates, want 4 and 1", code, report.Tasks.Duplicates)
	}
}

func TestServeKeepsSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	made, err := secretFrom(path)
	if err != nil || len(made) != 32 {
		t.Fatalf("%q, %v", made, err)
	}
	if again, err := secretFrom(path); err != nil || again != made {
		t.Errorf("%q, then %q, %v", made, again, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := secretFrom(t.TempDir()); err == nil {
		t.Error("a folder was read as a secret")
	}
}

func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	required := []string{"--secret-file=" + filepath.Join(dir, "s"), "--control-key-file=" + filepath.Join(dir, "k")}
	free := []string{"--address=127.0.0.1:0", "--control-address=127.0.0.1:0"}
	cases := map[string]struct {
		args []string
		want int
	}{
		"help":                  {[]string{"--help"}, 0},
		"no secret":             {[]string{required[1]}, exitUsage},
		"no key":                {[]string{required[0]}, exitUsage},
		"an argument":           {append([]string{"x"}, required...), exitUsage},
		"an unknown flag":       {append([]string{"--what"}, required...), exitUsage},
		"an unknown fault":      {append([]string{"--fault=x=1"}, required...), exitUsage},
		"an impossible fault":   {append([]string{"--fault=pushLost=2"}, required...), exitUsage},
		"an unknown fate":       {append([]string{"--fate=a=b"}, required...), exitUsage},
		"a task of words":       {append([]string{"--task=devices=x"}, required...), exitUsage},
		"a task in words":       {append([]string{"--task=devices=1,startsIn=x"}, required...), exitUsage},
		"a package of anything": {append([]string{"--package=x=1"}, required...), exitUsage},
		"a certificate alone":   {append([]string{"--tls-cert=x"}, required...), exitUsage},
		"no such certificate":   {append([]string{"--tls-cert=x", "--tls-key=y"}, required...), exitUsage},
		"no such client CA":     {append([]string{"--client-ca=/nowhere"}, required...), exitUsage},
		"no such callback CA":   {append([]string{"--callback-ca=/dev/null"}, required...), exitUsage},
		"no place for the CA":   {append([]string{"--ca-file=/nowhere/ca"}, append(free, required...)...), exitUsage},
		"control for everybody": {append([]string{"--control-address=0.0.0.0:0"}, required...), exitUsage},
	}
	for name, tc := range cases {
		if got := run(t.Context(), append([]string{"serve"}, tc.args...)); got != tc.want {
			t.Errorf("%s: exit code %d, want %d", name, got, tc.want)
		}
	}
}

// flagRow is a row of a table of flags.
var flagRow = regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\|([^|]*)\\|")

// TestServeManual holds that the manual has the flags of serve, each with its default, and no others; and every fault.
func TestServeManual(t *testing.T) {
	page, err := os.ReadFile("../../docs/simulator.md")
	if err != nil {
		t.Fatal(err)
	}
	documented, want := map[string]string{}, map[string]string{}
	for _, row := range flagRow.FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = strings.Trim(row[2], " `")
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(serveOptions).addFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) { want[f.Name] = strings.Trim(f.DefValue, "[]") })
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("flags with their defaults (-serve +docs/simulator.md):\n%s", diff)
	}
	for field := range reflect.TypeFor[northbound.Faults]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/simulator.md lacks the fault %s", name)
		}
	}
}
