// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import "slices"

// pattern finds a value in texts, whichever way each of its characters is spelled there.
//
// It is an automaton, whose state is how many bytes of the value were seen, and which is in all states at once that are
// possible: a set of bits for each place of the text. So nothing is tried and taken back, and the work is bounded by
// the bytes of the text times those of the value, divided by 64, whatever the platform makes of both.
type pattern struct {
	// size is how many bytes the value has: the state in which all of it was seen.
	size int
	// after has, for a byte, the states that it leads to: of the value "aba", 1 and 3 for "a".
	after map[byte]states
}

// states is a set of states, 64 in each number.
type states []uint64

func (s states) add(state int)      { s[state/64] |= 1 << (state % 64) }
func (s states) has(state int) bool { return s[state/64]>>(state%64)&1 == 1 }

// join adds all states of another set.
func (s states) join(other states) {
	for i, word := range other {
		s[i] |= word
	}
}

// meets says whether two sets have a state in common.
func (s states) meets(other states) bool {
	for i, word := range other {
		if s[i]&word != 0 {
			return true
		}
	}
	return false
}

func newPattern(value []byte) *pattern {
	p := &pattern{size: len(value), after: map[byte]states{}}
	for i, c := range value {
		if p.after[c] == nil {
			p.after[c] = make(states, p.words())
		}
		p.after[c].add(i + 1)
	}
	return p
}

func (p *pattern) words() int { return p.size/64 + 1 }

// step returns the states that a byte leads to, in to, and whether there are any. Both may be the same.
func (p *pattern) step(to, from states, c byte) bool {
	after, known := p.after[c]
	if !known {
		return false
	}
	carry, seen := uint64(0), uint64(0)
	for i, word := range from {
		to[i] = (word<<1 | carry) & after[i]
		carry = word >> 63
		seen |= to[i]
	}
	return seen != 0
}

// stepBack returns the states that lead to others by a byte.
func (p *pattern) stepBack(to, from states, c byte) bool {
	after, known := p.after[c]
	if !known {
		return false
	}
	carry, seen := uint64(0), uint64(0)
	for i, word := range slices.Backward(from) {
		word &= after[i]
		to[i] = word>>1 | carry
		carry = word << 63
		seen |= to[i]
	}
	return seen != 0
}

// places has a set of states for each place of a text.
type places struct {
	words int
	sets  states
}

func (p *pattern) newPlaces(n int) places { return places{p.words(), make(states, n*p.words())} }

func (p places) at(place int) states { return p.sets[place*p.words : (place+1)*p.words] }

// hide marks where text[:end] has the value. Where the text is cut there, it marks also what may be the beginning of
// one, up to the end: of what the text has behind it only escapes that begin before are read.
func (p *pattern) hide(text string, end int, cut bool, known escapes, hidden []bool) {
	before, found := p.seen(text, end, known) // what was seen of it before each place
	behind := p.newPlaces(end + 1)            // with which the rest of it is behind each place
	for place := range end + 1 {
		behind.at(place).add(p.size)
	}
	for state := 1; cut && state < p.size; state++ {
		behind.at(end).add(state)
		found = found || before.at(end).has(state)
	}
	if !found {
		return
	}
	scratch := make(states, p.words())
	for at := end - 1; at >= 0; at-- {
		for _, s := range spelledAt(text, at, known) {
			next := min(at+s.width, end)
			if p.steps(scratch, before.at(at), s.means) && scratch.meets(behind.at(next)) {
				for i := at; i < next; i++ {
					hidden[i] = true
				}
			}
			if p.stepsBack(scratch, behind.at(next), s.means) {
				behind.at(at).join(scratch)
			}
		}
	}
}

// seen returns what may have been seen of the value before each place of text[:end], and whether that was ever all.
func (p *pattern) seen(text string, end int, known escapes) (before places, all bool) {
	before = p.newPlaces(end + 1)
	scratch := make(states, p.words())
	for at := range end {
		before.at(at).add(0) // it may begin anywhere
		for _, s := range spelledAt(text, at, known) {
			if p.steps(scratch, before.at(at), s.means) {
				before.at(min(at+s.width, end)).join(scratch)
				all = all || scratch.has(p.size)
			}
		}
	}
	return before, all
}

// spelledAt returns what may stand at a place: its byte, and the escapes that begin there.
func spelledAt(text string, at int, known escapes) []spelling {
	itself := spelling{1, text[at : at+1]}
	if len(known[at]) > 0 {
		return append([]spelling{itself}, known[at]...)
	}
	return []spelling{itself}
}

// steps returns the states that the bytes of a character lead to.
func (p *pattern) steps(to, from states, means string) bool {
	for i := range len(means) {
		if !p.step(to, from, means[i]) {
			return false
		}
		from = to
	}
	return true
}

// stepsBack returns the states that lead to others by the bytes of a character.
func (p *pattern) stepsBack(to, from states, means string) bool {
	for i := len(means) - 1; i >= 0; i-- {
		if !p.stepBack(to, from, means[i]) {
			return false
		}
		from = to
	}
	return true
}
