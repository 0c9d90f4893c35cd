// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/hack/local"
	"fwupgrade.io/operator/test/harness"
)

// A stranger who makes up tokens, as many as he likes, gets one line of the log, also while the API server can't be
// asked whose they are.
func TestMadeUpTokensAreOneLine(t *testing.T) {
	_, away := newGate(t)
	for name, tc := range map[string]struct {
		config *rest.Config
		lines  []string
	}{
		"the API server knows none of them": {admin, []string{"Authentication failed"}},
		"the API server is away": {
			away, []string{"Authentication failed", "Failed to make webhook authenticator request"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, out := launch(t, tc.config, "webhook", "--operator-namespace="+harness.NewNamespace(t, k8s),
				"--allow-anonymous", "--drain-duration=0s", "--metrics-secure")
			await(t, m)
			const tokens = 10
			for i := range tokens {
				if code := getAs(t, m, fmt.Sprintf("made-up-%d", i)); code != http.StatusInternalServerError {
					t.Errorf("answered %d", code)
				}
			}
			stop(t, m) // after which all is logged
			for _, line := range tc.lines {
				if n := strings.Count(out.String(), `"msg":"`+line); n != 1 {
					t.Errorf("logged %d times: %s", n, line)
				}
			}
		})
	}
}

// getAs asks for the metrics with a token, and returns the status of the answer.
func getAs(t *testing.T, m *local.Manager, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+m.MetricsAddress+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // Nobody can.
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}
