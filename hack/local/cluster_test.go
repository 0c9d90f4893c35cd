// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// envOrphan makes this test binary start a control plane, print what it consists of and wait to be killed.
const envOrphan = "FWUPGRADE_TEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(envOrphan) != "" {
		os.Exit(runOrphan())
	}
	if os.Getenv(envAssets) == "" {
		fmt.Fprintln(os.Stderr, envAssets+" is not set: run `make test`")
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// orphan is what a parent that gets killed leaves behind, or should not.
type orphan struct {
	Dir  string
	PIDs map[string]int
}

func runOrphan() int {
	cluster, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o := orphan{Dir: cluster.guard.dir, PIDs: map[string]int{controllerManagerName: cluster.controllerManager.PID()}}
	for _, name := range []string{etcdName, apiServerName} {
		if o.PIDs[name], err = cluster.guard.pid(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(o); err != nil {
		return 1
	}
	select {}
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), envOrphan+"=1")
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("read what the parent started: %v", err)
	}
	var left orphan
	if err := json.Unmarshal(line, &left); err != nil {
		t.Fatal(err)
	}
	if len(left.PIDs) != 3 {
		t.Fatalf("the parent started %v, want three processes", left.PIDs)
	}
	for name, pid := range left.PIDs {
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("%s (%d) does not run: %v", name, pid, err)
		}
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()

	for name, pid := range left.PIDs {
		eventually(t, fmt.Sprintf("%s (%d) is gone", name, pid), func(context.Context) error {
			if gone(pid) {
				return nil
			}
			return errors.New("it runs")
		})
	}
	eventually(t, "the folder is gone", func(context.Context) error {
		if _, err := os.Stat(left.Dir); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("stat %s: %w", left.Dir, err)
		}
		return nil
	})
}

// gone tells whether a process has ended. Where nobody collects orphans it stays as a zombie.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err != nil || len(cmdline) == 0
}

func TestCluster(t *testing.T) {
	cluster, err := Start(t.Context(), Options{APIServerArgs: map[string][]string{"event-ttl": {"2h"}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := cluster.guard.dir
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
		if err := cluster.Stop(); err != nil {
			t.Errorf("stop a second time: %v", err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder %s is left: %v", dir, err)
		}
	})
	// One control plane serves all cases, one after the other: two of them kill parts of it.
	t.Run("namespaces are deleted", func(t *testing.T) { testNamespaceDeletion(t, cluster) })
	t.Run("service accounts", func(t *testing.T) { testServiceAccount(t, cluster) })
	t.Run("the API server is killed", func(t *testing.T) {
		testKill(t, cluster, cluster.KillAPIServer, cluster.RestartAPIServer)
	})
	t.Run("etcd is killed", func(t *testing.T) { testKill(t, cluster, cluster.KillEtcd, cluster.RestartEtcd) })
	t.Run("the kubeconfig", func(t *testing.T) { testKubeconfig(t, cluster) })
}

func testNamespaceDeletion(t *testing.T, cluster *Cluster) {
	clients := clientsFor(t, cluster.Config())
	if err := cluster.EnsureNamespace(t.Context(), "short-lived"); err != nil {
		t.Fatal(err)
	}
	if err := cluster.EnsureNamespace(t.Context(), "short-lived"); err != nil {
		t.Fatalf("ensure it a second time: %v", err)
	}
	if err := clients.CoreV1().Namespaces().Delete(t.Context(), "short-lived", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func(ctx context.Context) error {
		_, err := clients.CoreV1().Namespaces().Get(ctx, "short-lived", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}

func testServiceAccount(t *testing.T, cluster *Cluster) {
	config, err := cluster.ServiceAccountConfig(t.Context(), "default", "default")
	if err != nil {
		t.Fatal(err)
	}
	_, err = clientsFor(t, config).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("listing namespaces without a role: got %v, want forbidden", err)
	}
	if _, err := cluster.ServiceAccountConfig(t.Context(), "default", "nobody"); err == nil {
		t.Error("a token for a service account that does not exist: got none, want an error")
	}
}

func testKill(t *testing.T, cluster *Cluster, kill, restart func() error) {
	clients := clientsFor(t, cluster.Config())
	kept, err := clients.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "kept-"}, Data: map[string]string{"a": "b"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := kill(); err != nil {
		t.Fatal(err)
	}
	down, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := clients.CoreV1().ConfigMaps("default").Create(down, kept, metav1.CreateOptions{}); err == nil {
		t.Error("a create succeeded while it was down")
	}
	if err := restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was stored is there", func(ctx context.Context) error {
		got, err := clients.CoreV1().ConfigMaps("default").Get(ctx, kept.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if diff := cmp.Diff(kept.Data, got.Data); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

func testKubeconfig(t *testing.T, cluster *Cluster) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := cluster.WriteKubeconfig(path); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := clientsFor(t, config).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}

func clientsFor(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(httpClient.CloseIdleConnections)
	clients, err := kubernetes.NewForConfigAndClient(config, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// eventually waits, at most half a minute, until check returns nil.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true,
		func(ctx context.Context) (bool, error) {
			last = check(ctx)
			return last == nil, nil
		})
	if err != nil {
		t.Errorf("wait until %s: %v: %v", what, err, last)
	}
}
