// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/cert"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// metricsName is whom the certificate of the metrics is for.
const metricsName = "fwupgrade-metrics"

// asking is what both accounts may do with the component metrics-secure, beside what they may without.
func asking() []string {
	return []string{
		"create authentication.k8s.io/tokenreviews", "create authorization.k8s.io/subjectaccessreviews",
	}
}

// admin runs kubectl as the administrator.
func admin(t *testing.T, args ...string) {
	t.Helper()
	_, err := harness.Kubectl(t.Context(), kubeconfig, args...)
	must(t, err)
}

// config returns a path of the configuration.
func config(t *testing.T, parts ...string) string {
	t.Helper()
	root, err := local.ModuleRoot()
	must(t, err)
	return filepath.Join(append([]string{root, "config"}, parts...)...)
}

// overlay makes a folder for kustomize: config/default with a component.
func overlay(t *testing.T, component string) (folder string) {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir()) // kustomize wants paths relative to where it is
	must(t, err)
	base, err := filepath.Rel(folder, config(t))
	must(t, err)
	content := fmt.Sprintf("resources: [%[1]s/default]\ncomponents: [%[1]s/%[2]s]\n", base, component)
	must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600))
	return folder
}

// installMetricsSecure installs config/default with the component, and the account that scrapes, until the test ends.
func installMetricsSecure(t *testing.T) {
	t.Helper()
	admin(t, "apply", "--server-side", "--force-conflicts", "-k", overlay(t, "metrics-secure"))
	for _, name := range []string{"service_account.yaml", "cluster_role_binding.yaml"} {
		admin(t, "apply", "-f", config(t, "monitoring", "secure", name))
	}
	t.Cleanup(func() {
		_, err := harness.Kubectl(context.Background(), kubeconfig, "delete", "clusterrolebinding,clusterrole",
			"fwupgrade-metrics-auth", "fwupgrade-metrics-reader")
		must(t, err)
	})
}

// certificate writes a new certificate into a folder, as it is renewed in a pod: both files at once.
func certificate(t *testing.T, folder string) (roots *x509.CertPool) {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey(metricsName, []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	must(t, err)
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		fresh := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(fresh, content, 0o600))
		must(t, os.Rename(fresh, filepath.Join(folder, name)))
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return roots
}

// scrape asks for a page of the metrics' port.
func scrape(t *testing.T, url string, roots *x509.CertPool, token string) (code int, body string, err error) {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: metricsName},
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	must(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// token returns a token of a service account of the operator's namespace.
func token(t *testing.T, account string) string {
	t.Helper()
	config, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, account)
	must(t, err)
	return config.BearerToken
}

// startSecure runs a component that serves its metrics with the certificate in a folder.
func startSecure(t *testing.T, component string, args ...string) *local.Manager {
	t.Helper()
	account, err := cluster.ServiceAccountConfig(t.Context(), operatorNamespace, "fwupgrade-"+component)
	must(t, err)
	m, err := local.StartManager(t.Context(), local.ManagerOptions{
		Config: account, Dir: t.TempDir(), Components: component,
		Args: append(args, "--metrics-secure", "--operator-namespace="+operatorNamespace),
	})
	must(t, err)
	t.Cleanup(func() { must(t, m.Kill()) })
	return m
}

// With the component the two accounts may ask the API server whose a token is and what he may, and nothing else.
func TestMetricsSecureGrantsTwoQuestions(t *testing.T) {
	installMetricsSecure(t)
	for account := range table() {
		want := append(wanted(account, placeholderNamespace), asking()...)
		slices.Sort(want)
		if diff := cmp.Diff(want, rulesOf(t, account, placeholderNamespace)); diff != "" {
			t.Errorf("%s (-want +rules):\n%s", account, diff)
		}
	}
	if diff := cmp.Diff([]string{"get /metrics"}, rulesOf(t, "fwupgrade-metrics-reader", operatorNamespace)); diff != "" {
		t.Errorf("who scrapes (-want +rules):\n%s", diff)
	}
}

// Who has no token, and who may not get metrics, gets none; who may gets them, by HTTPS alone, with the certificate as
// it is on disk now.
func TestMetricsAreServedToWhoMayGetThem(t *testing.T) {
	makeNobody(t)
	installMetricsSecure(t)
	for component, args := range map[string][]string{
		"webhook": {"--allow-anonymous", "--drain-duration=0s"}, "controllers": nil,
	} {
		t.Run(component, func(t *testing.T) {
			folder := t.TempDir()
			roots := certificate(t, folder)
			m := startSecure(t, component, append(args, "--metrics-cert-dir="+folder)...)
			url := "https://" + m.MetricsAddress + "/metrics"
			for who, tc := range map[string]struct {
				token string
				code  int
			}{
				"nobody": {"", http.StatusUnauthorized},
				// controller-runtime's filter takes it for an error that the API server calls a token invalid.
				"a made up token": {"made-up", http.StatusInternalServerError},
				"another account": {token(t, nobody), http.StatusForbidden},
				"its own account": {token(t, "fwupgrade-"+component), http.StatusForbidden},
				"who scrapes":     {token(t, "fwupgrade-metrics-reader"), http.StatusOK},
			} {
				code, body, err := scrape(t, url, roots, tc.token)
				has := strings.Contains(body, "fwupgrade_build_info")
				if err != nil || code != tc.code || has != (code == http.StatusOK) {
					t.Errorf("%s: want %d, got %d, %v, metrics in the answer: %t", who, tc.code, code, err, has)
				}
			}
			reader := token(t, "fwupgrade-metrics-reader")
			code, body, err := scrape(t, "http://"+m.MetricsAddress+"/metrics", roots, reader)
			if err == nil && code != http.StatusBadRequest || strings.Contains(body, "fwupgrade_") {
				t.Errorf("plain HTTP: %d, %v: %s", code, err, body)
			}
			renewed := certificate(t, folder)
			harness.Eventually(t, func() string {
				if code, _, err := scrape(t, url, renewed, reader); err != nil || code != http.StatusOK {
					return fmt.Sprintf("by the renewed certificate: %d, %v", code, err)
				}
				return ""
			})
			if _, _, err := scrape(t, url, roots, reader); err == nil {
				t.Error("the old certificate is still served")
			}
		})
	}
}

// Without a folder the process makes a certificate, which encrypts and can't be checked; without the right to ask it
// gives metrics to nobody.
func TestMetricsWithoutTheRightToAsk(t *testing.T) {
	m := startSecure(t, "webhook", "--allow-anonymous", "--drain-duration=0s")
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // nobody can check it
	connection, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", m.MetricsAddress)
	must(t, err)
	defer connection.Close()
	own := connection.(*tls.Conn).ConnectionState().PeerCertificates
	roots := x509.NewCertPool()
	roots.AddCert(own[len(own)-1])
	transport := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"},
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+m.MetricsAddress+"/metrics", nil)
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+token(t, nobody))
	response, err := (&http.Client{Transport: transport}).Do(request)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusInternalServerError {
		t.Errorf("got %d", response.StatusCode)
	}
}
