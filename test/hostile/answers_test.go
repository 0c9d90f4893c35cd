// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"maps"
	"regexp"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fwupgrade.io/operator/test/harness"
)

// answers are how many answers came out of the port, by status.
type answers struct {
	mu       sync.Mutex
	byStatus map[string]int
}

func (a *answers) add(statuses ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byStatus == nil {
		a.byStatus = map[string]int{}
	}
	for _, status := range statuses {
		a.byStatus[status]++
	}
}

func (a *answers) all() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.byStatus)
}

// statusLine matches the first line of an answer.
var statusLine = regexp.MustCompile(`HTTP/1\.[01] ([2-5]\d\d) [^\r\n]*\r\n`)

// statusesIn returns the statuses of all answers in what came over a connection; one that only asks to go on is none.
func statusesIn(received []byte) []string {
	var statuses []string
	for _, line := range statusLine.FindAllSubmatch(received, -1) {
		statuses = append(statuses, string(line[1]))
	}
	return statuses
}

// countedAs matches the series that count answers, as docs/metrics.md has them.
var countedAs = regexp.MustCompile(`^fwupgrade_webhook_` +
	`(notifications|probes|server_answers|tls_handshake_errors)_total\{[a-z]+="([a-z_0-9]+)"\}$`)

// statusOf is the status of an answer by the value of its label.
var statusOf = map[string]string{
	"recorded": "200", "ignored": "200", "rejected": "200", "unauthorized": "401", "not_found": "404",
	"method_not_allowed": "405", "incomplete": "408", "no_length": "400", "not_stored": "503", "busy": "503",
	"ready": "200", "draining": "503", "plain_http": "400",
}

// counted is what the metrics say of the answers, by status.
func (w *webhook) counted(t *testing.T) map[string]int {
	t.Helper()
	byStatus := map[string]int{}
	for series, value := range w.series(t) {
		found := countedAs.FindStringSubmatch(series)
		if found == nil || value == 0 {
			continue
		}
		status, ok := statusOf[found[2]]
		switch {
		case found[1] == "server_answers":
			status = found[2]
		case found[1] == "tls_handshake_errors" && !ok:
			continue // it ended without an answer
		case !ok:
			t.Errorf("an answer of which nobody knows the status: %s", series)
		}
		byStatus[status] += int(value)
	}
	return byStatus
}

// checkCounted holds that every answer that came out of the port was counted, and no other. An answer is counted when
// it was written, so that the last ones may come a moment later.
func (w *webhook) checkCounted(t *testing.T) {
	t.Helper()
	harness.Eventually(t, func() string { return cmp.Diff(w.answers.all(), w.counted(t)) })
}

// checkCountedBeside is the same while honest senders push, whose answers are left out.
func (w *webhook) checkCountedBeside(t *testing.T) {
	t.Helper()
	harness.Eventually(t, func() string {
		heard, counted := w.answers.all(), w.counted(t)
		delete(heard, "200")
		delete(counted, "200")
		return cmp.Diff(heard, counted)
	})
}
