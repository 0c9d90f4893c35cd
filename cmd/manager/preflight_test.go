// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"fwupgrade.io/operator/test/harness"
)

// An API server that stays away is given up after two minutes, with a sentence that names it; until then the log says
// so every ten seconds, not at each attempt.
func TestAPIServerStaysAway(t *testing.T) {
	_, config := newGate(t)
	scheme, err := harness.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakeClock(time.Unix(0, 0))
	var lines []string
	p := &preflight{
		client: c, host: config.Host, operatorNS: "default", clock: clock,
		log: funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}),
	}
	ended := make(chan error, 1)
	go func() { ended <- p.await(t.Context()) }()
	attempts := 0
	for {
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "the API server at "+config.Host+" could not be used for 2m0s") {
				t.Errorf("got %v", err)
			}
			if at := clock.Since(time.Unix(0, 0)); at < 2*time.Minute || at > 2*time.Minute+lastRetry {
				t.Errorf("given up after %s", at)
			}
			if attempts < 24 || len(lines) < 8 || len(lines) > 13 {
				t.Errorf("%d attempts, of which the log tells %d", attempts, len(lines))
			}
			return
		case <-time.After(time.Millisecond):
			if clock.HasWaiters() {
				attempts++
				for pause := time.Duration(0); pause < lastRetry && clock.HasWaiters(); pause += firstRetry {
					clock.Step(firstRetry)
				}
			}
		}
	}
}
