// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
)

// load is one way in which pushes arrive.
type load struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	// Connections is how many connections there are: in a closed loop each pushes again as soon as it was answered, in
	// an open one they are a pool.
	Connections int `json:"connections"`
	// PerSecond is how many pushes fall due in a second, whatever the answers do; 0 in a closed loop.
	PerSecond int `json:"perSecond,omitempty"`
	// Seconds is how long they fall due; 0 in a closed loop, where how many there are depends on the side.
	Seconds int `json:"seconds,omitempty"`
	// Rounds is how often every side has its turn.
	Rounds int `json:"rounds"`
}

func (l load) open() bool { return l.PerSecond > 0 }

// results returns how many results are pushed to a side.
func (l load) results(c *contender) int {
	if l.open() {
		return l.PerSecond * l.Seconds
	}
	return c.results
}

func closedKey(connections int) string { return fmt.Sprintf("closed-%d", connections) }
func openKey(perSecond int) string     { return fmt.Sprintf("open-%d", perSecond) }

// loadsOf returns the loads that the options name: closed loops, then open ones.
func loadsOf(o *options) []load {
	var loads []load
	for _, connections := range o.connections {
		l := load{
			Key: closedKey(connections), Title: fmt.Sprintf("Closed loop, %d connections", connections),
			Connections: connections, Rounds: o.otherRounds,
		}
		if connections == o.mainConnections {
			l.Rounds = o.rounds
		}
		loads = append(loads, l)
	}
	for _, rate := range o.rates {
		loads = append(loads, load{
			Key: openKey(rate), Title: fmt.Sprintf("Open loop, %d a second for %d s", rate, o.openSeconds),
			Connections: o.openConnections, PerSecond: rate, Seconds: o.openSeconds, Rounds: o.otherRounds,
		})
	}
	return slices.DeleteFunc(loads, func(l load) bool { return l.Rounds == 0 })
}

// turnOf is a turn that is to be taken.
type turnOf struct {
	side, load, round int // numbers from 0
	seed              uint64
}

// turnsOf returns the turns in their order: the sides take turns at one load after the other, and after the last load
// the next round begins. All sides get the same pushes, as far as they get as many.
func turnsOf(sides []contender, loads []load) []turnOf {
	rounds := 0
	for _, l := range loads {
		rounds = max(rounds, l.Rounds)
	}
	var turns []turnOf
	for round := range rounds {
		for n, l := range loads {
			if round >= l.Rounds {
				continue
			}
			for i := range sides {
				if sides[i].takes(l) {
					turns = append(turns, turnOf{side: i, load: n, round: round, seed: uint64(round*len(loads) + n)})
				}
			}
		}
	}
	return turns
}
