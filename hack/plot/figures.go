// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// figuresOf returns the figures of a report. One for which nothing was measured is left out.
func figuresOf(r *report) []figure {
	all := []figure{throughput(r), latencies(r), statusLag(r), newsLag(r)}
	for _, key := range []string{r.Options.MainLoad, r.Options.RateLoad} {
		all = append(all, cpu(r, key), etcdBytes(r, key))
	}
	var drawn []figure
	for _, f := range all {
		if f.plot != nil {
			drawn = append(drawn, f)
		}
	}
	return drawn
}

func throughput(r *report) figure {
	b := bars{title: "Stored results a second, closed loop", axis: "results/s", format: "%.0f"}
	for _, l := range r.Loads {
		if !l.open() {
			b.addGroup(fmt.Sprintf("%d connections", l.Connections))
		}
	}
	for _, s := range r.Sides {
		c := category{title: s.Title}
		for _, l := range r.Loads {
			if !l.open() {
				c.add(r.valueOf(l.Key, s.Key, func(m measurement) float64 { return m.PerSecond }))
			}
		}
		b.addCategory(c)
	}
	return b.draw("throughput")
}

func statusLag(r *report) figure {
	b := bars{title: "How far behind a status ever was", axis: "seconds", format: "%.1f"}
	for _, s := range r.Sides {
		b.addGroup(s.Title)
	}
	for _, l := range r.Loads {
		c := category{title: loadLabel(l)}
		for _, s := range r.Sides {
			v, ok := r.valueOf(l.Key, s.Key, func(m measurement) float64 { return m.BehindMaxSeconds })
			c.add(v, ok && v.high > 0) // sides without statuses have none
		}
		b.addCategory(c)
	}
	b.dropEmptyGroups()
	return b.draw("status-lag")
}

// newsLag draws how long what somebody waits for took, until it was in the status and announced, at the longest.
func newsLag(r *report) figure {
	b := bars{title: "How far behind news ever were: first failure, Degraded, Finished", axis: "seconds", format: "%.1f"}
	for _, s := range r.Sides {
		b.addGroup(s.Title)
	}
	for _, l := range r.Loads {
		c := category{title: loadLabel(l)}
		for _, s := range r.Sides {
			v, ok := r.valueOf(l.Key, s.Key, func(m measurement) float64 { return m.News.behind() })
			c.add(v, ok && v.high > 0) // sides without statuses have none
		}
		b.addCategory(c)
	}
	b.dropEmptyGroups()
	return b.draw("news-lag")
}

func etcdBytes(r *report, loadKey string) figure {
	b := bars{title: "Written to etcd: " + r.loadTitle(loadKey), axis: "bytes per result", format: "%.0f"}
	b.addGroup("bytes")
	for _, s := range r.Sides {
		c := category{title: s.Title}
		c.add(r.valueOf(loadKey, s.Key, func(m measurement) float64 { return m.EtcdBytes }))
		b.addCategory(c)
	}
	b.dropOutlier()
	return b.draw("etcd-" + loadKey)
}

func cpu(r *report, loadKey string) figure {
	b := bars{title: "CPU: " + r.loadTitle(loadKey), axis: "seconds per 1,000 results", format: "%.3g", stacked: true}
	processes := []string{"receiver", "controllers", "kube-apiserver", "etcd", "kube-controller-manager"}
	for _, p := range processes {
		b.addGroup(p)
	}
	for _, s := range r.Sides {
		c := category{title: s.Title}
		for _, p := range processes {
			c.add(r.valueOf(loadKey, s.Key, func(m measurement) float64 { return m.CPU[p] }))
		}
		b.addCategory(c)
	}
	b.dropOutlier()
	return b.draw("cpu-" + loadKey)
}

// loadLabel returns a load's name for an axis.
func loadLabel(l load) string {
	if l.open() {
		return fmt.Sprintf("open loop, %d/s", l.PerSecond)
	}
	return fmt.Sprintf("closed loop, %d connections", l.Connections)
}
