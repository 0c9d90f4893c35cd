// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package metricsdoc

import (
	"bytes"
	"fmt"
	"strings"
)

const head = `# Metrics

<!-- Generated from the code by make docs: don't edit. -->

Every process serves ` + "`/metrics`" + ` on its port ` + "`metrics`" + ` (8080), by plain HTTP or, where they are
[secure](operations.md#secure-metrics), by HTTPS to those whose token may get them. [Alerting](alerting.md) says how to
scrape it, and has rules and a dashboard. Beside the metrics of this page there are the usual ones: of the process
(` + "`process_…`" + `), the Go runtime (` + "`go_…`" + `), the client (` + "`rest_client_…`" + `) and the controllers
(` + "`controller_runtime_…`, `workqueue_…`" + `).

* **No label has a platform id**, a secret or anything else that a sender chose. ` + "`secret`" + ` is the beginning of a hash.
* Names of FirmwareUpgrades are labels of three metrics, of 1,000 upgrades at most. Placeholders, which a sender can
  cause, are not named.
* Counters of which an increase matters are there from the start, at 0.
`

const tail = `
## What the values of labels mean

| label | value | meaning |
|---|---|---|
| ` + "`answer` of notifications | `recorded` | Stored as a result: 200." + ` |
| | ` + "`ignored`" + ` | Not about a firmware upgrade: 200. |
| | ` + "`rejected`" + ` | It could not be used, and is kept for a time: 200. |
| | ` + "`unauthorized`, `not_found`, `method_not_allowed`" + ` | 401 without valid credentials, 404 for another path, 405 for another method than POST. |
| | ` + "`incomplete`" + ` | The body broke off: 408. |
| | ` + "`no_length`" + ` | A push of HTTP/1.0 that gives no length: 400. |
| | ` + "`not_stored`" + ` | It could not be stored: 503. |
| | ` + "`busy`" + ` | Too many large bodies are under way: 503. |
| ` + "`kind` of handshakes | `refused_by_sender`" + ` | The sender broke it off: in most cases it does not trust the certificate. |
| | ` + "`unsupported`" + ` | A version of TLS, a cipher or a protocol that is not served. |
| | ` + "`plain_http`, `not_tls`" + ` | It came without TLS. |
| | ` + "`broken_off`" + ` | The connection was closed, as probes of the port do. |
| ` + "`outcome` of limits | `refused`" + ` | One source address has its share. |
| | ` + "`waited`" + ` | All connections are taken. |
| | ` + "`replaced`" + ` | An idle connection, or one that had sent nothing, was closed for a new one. |
| ` + "`reason` of client certificates | `unknown_authority`" + ` | It is of another CA. |
| | ` + "`usage`" + ` | It is not for clients. |
| ` + "`reason` of storing | `store_full`" + ` | The store is full, or another installation's. |
| ` + "`stalled` of FirmwareUpgrades" + ` | | The reason of the condition Stalled; empty where nothing is. |
| ` + "`type`, `reason`" + ` of Events | | As in [Events](events.md). |
`

// section is some metrics that are served by the same processes.
type section struct {
	title, text string
	holds       func(name string) bool
}

func sections() []section {
	begins := func(prefix string) func(string) bool {
		return func(name string) bool { return strings.HasPrefix(name, prefix) }
	}
	return []section{
		{
			"Every process", "", begins("fwupgrade_build_"),
		},
		{
			"The webhook",
			"Each replica counts what it answered itself: sum them. The certificate's are there with\n" +
				"`--callback-cert-dir`, and `…_secret_requests_total` with secrets.",
			begins("fwupgrade_webhook_"),
		},
		{
			"The controllers",
			"Each replica serves them, and only the leader works: take the sum of counters and the maximum of gauges.",
			begins("fwupgrade_controllers_"),
		},
		{
			"The leader",
			"Served by the leader only, once it has read all stored slices. While the leader changes they are missing.\n" +
				"`fwupgrade_oldest_waiting_event_timestamp_seconds` is missing while no Event waits. A FirmwareUpgrade that\n" +
				"ended badly stays in `fwupgrade_firmwareupgrades` for as long as it exists: don't alert on it. In\n" +
				"`fwupgrade_devices` the suspect ones are counted under `succeeded`, too. The label `namespace` is that of the\n" +
				"FirmwareUpgrade: scrape with honored labels.",
			begins("fwupgrade_"),
		},
	}
}

// render writes the page.
func render(metrics []metric) []byte {
	var out bytes.Buffer
	out.WriteString(head)
	written := map[string]bool{}
	for _, s := range sections() {
		fmt.Fprintf(&out, "\n## %s\n\n", s.title)
		if s.text != "" {
			fmt.Fprintf(&out, "%s\n\n", s.text)
		}
		out.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
		for _, m := range metrics {
			if written[m.name] || !s.holds(m.name) {
				continue
			}
			written[m.name] = true
			var labels []string
			for _, l := range m.labels {
				labels = append(labels, "`"+l+"`")
			}
			help := m.help
			if len(m.values) > 0 {
				help += " Values: `" + strings.Join(m.values, "`, `") + "`."
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(labels, ", "), help)
		}
	}
	out.WriteString(tail)
	return out.Bytes()
}
