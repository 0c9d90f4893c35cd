// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"fwupgrade.io/operator/hack/simulator/northbound"
)

// runReport is what a run came to.
type runReport struct {
	options *options
	took    time.Duration
	epochs  int
	tasks   map[kind]int
	devices int
	answers map[int]int64
	refused int64
	silent  int64
	struck  map[faultKind]int
	looks   int
	rest    time.Duration
	gap     time.Duration
	endings map[string]int
	// waves are the tasks that come from Git, platform is what the platform has of them, attempts how they ended.
	waves    map[kind]int
	platform *northbound.Report
	attempts map[string]int
	// failed is the epoch in which something was wrong, problems what.
	failed   *epoch
	problems []string
}

func newReport(o *options) *runReport {
	return &runReport{
		options: o, tasks: map[kind]int{}, waves: map[kind]int{}, answers: map[int]int64{}, struck: map[faultKind]int{},
	}
}

// add adds an epoch.
func (r *runReport) add(e *epoch, o *outcome, s *system) {
	r.epochs++
	for _, l := range o.lives {
		if l.wave != nil {
			r.waves[l.kind]++
			continue
		}
		r.tasks[l.kind]++
		r.devices += len(l.devices[0]) + len(l.devices[1]) + len(l.stray)
	}
	for kind, n := range o.struck {
		r.struck[kind] += n
	}
	r.looks += o.looks
	r.rest = max(r.rest, o.rest)
	for code, n := range s.codes {
		r.answers[code] += n
	}
	r.refused, r.silent = r.refused+s.refused, r.silent+s.silent
	s.codes, s.refused, s.silent = nil, 0, 0
	if len(o.problems) > 0 {
		r.failed, r.problems = e, o.problems
	}
}

// longestGap is how long no push may be answered 200 beyond an outage.
const longestGap = 10 * time.Second

// checkProcesses looks for what the processes did that none may do.
func (s *system) checkProcesses() []string {
	secrets := []string{s.secret}
	if s.platform != nil {
		secrets = append(secrets, s.platform.Secret())
	}
	problems := checkLogs(s.dir, secrets...)
	endings := s.endings()
	for _, webhook := range s.webhooks { // a leader ends when it has lost its lease
		if n := endings[webhook.name]; n > 0 {
			problems = append(problems, fmt.Sprintf("%s ended %d times by itself", webhook.name, n))
		}
	}
	if gap := longestBeyond(s.gaps, s.allOutages()); gap > longestGap {
		problems = append(problems, fmt.Sprintf("for %s no push was answered 200, beyond outages", gap.Round(time.Second)))
	}
	return problems
}

// shownProblems is how many problems are printed.
const shownProblems = 40

func (r *runReport) print(w io.Writer) {
	pushes := r.refused + r.silent
	for _, n := range r.answers {
		pushes += n
	}
	faults := 0
	for _, n := range r.struck {
		faults += n
	}
	fmt.Fprintf(w, "seed %d: %d epochs in %s, %d tasks with %d devices, %d pushes, %d faults\n", r.options.seed, r.epochs,
		r.took.Round(time.Second), sum(r.tasks), r.devices, pushes, faults)
	fmt.Fprintf(w, "  answers: %s; %d without an answer, %d connections refused\n", list(r.answers), r.silent, r.refused)
	fmt.Fprintf(w, "  tasks: %s\n  faults: %s\n", list(r.tasks), list(r.struck))
	fmt.Fprintf(w, "  processes that ended by themselves: %s\n", list(r.endings))
	fmt.Fprintf(w, "  looked at all statuses %d times while faults struck; at rest %s after healing at most\n", r.looks,
		r.rest.Round(time.Second))
	fmt.Fprintf(w, "  longest time without a 200 beyond an outage: %s\n", r.gap.Round(100*time.Millisecond))
	fmt.Fprintf(w, "  lost %d, doubled %d, unannounced %d, announced twice %d, other problems %d\n",
		r.count("LOST"), r.count("DOUBLED"), r.count("UNANNOUNCED"), r.count("ANNOUNCED")-r.count("UNANNOUNCED"), r.others())
	r.printPlatform(w)
	for _, p := range r.problems[:min(shownProblems, len(r.problems))] {
		fmt.Fprintln(w, "  !", p)
	}
	if more := len(r.problems) - shownProblems; more > 0 {
		fmt.Fprintf(w, "  ! and %d more\n", more)
	}
}

// printPlatform prints what became of the tasks that come from Git.
func (r *runReport) printPlatform(w io.Writer) {
	if r.platform == nil {
		return
	}
	answers := map[int]int{}
	for _, c := range r.platform.Creations {
		answers[c.Status]++
	}
	fmt.Fprintf(w, "  waves: %s\n", list(r.waves))
	tasks := r.platform.Tasks
	fmt.Fprintf(w, "  the platform was asked %d times (answers: %s, 0 is none) and created %d tasks, duplicates %d\n",
		len(r.platform.Creations), list(answers), tasks.Created, tasks.Duplicates)
	fmt.Fprintf(w, "  attempts: %s\n", list(r.attempts))
}

func (r *runReport) count(word string) int {
	n := 0
	for _, p := range r.problems {
		if strings.Contains(p, word) {
			n++
		}
	}
	return n
}

func (r *runReport) others() int {
	return len(r.problems) - r.count("LOST") - r.count("DOUBLED") - r.count("ANNOUNCED")
}

// list writes counts, sorted by name.
func list[K ~int | ~string, N ~int | ~int64](counts map[K]N) string {
	if len(counts) == 0 {
		return "none"
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%v %d", key, counts[key]))
	}
	return strings.Join(parts, ", ")
}

func sum[K comparable](counts map[K]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}

// summary says how the pushes of an epoch were answered so far.
func (s *sender) summary() string {
	others := int64(0)
	for code := range s.counts {
		if code != http.StatusOK {
			others += s.counts[code].Load()
		}
	}
	return fmt.Sprintf("%d pushes answered 200, %d otherwise, %d not at all, %d connections refused, %d under way",
		s.counts[http.StatusOK].Load(), others, s.silent.Load(), s.refused.Load(), s.pending.Load())
}
