// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// bars is a bar chart: a group is a colour, a category a place on the horizontal axis, where the groups stand side by
// side or, stacked, on each other.
type bars struct {
	title, axis string
	// format is how the numbers above the bars are written.
	format     string
	stacked    bool
	groups     []string
	categories []category
	// dropped says what is not shown because nothing else could be seen beside it.
	dropped string
}

// category has a value for each group.
type category struct {
	title  string
	values []value
	known  []bool
}

func (c *category) add(v value, ok bool) {
	c.values, c.known = append(c.values, v), append(c.known, ok)
}

// total is the greatest of the values; their sum where they are stacked.
func (c *category) total(stacked bool) float64 {
	total := 0.0
	for _, v := range c.values {
		if stacked {
			total += v.median
		} else {
			total = max(total, v.median)
		}
	}
	return total
}

func (b *bars) addGroup(name string) { b.groups = append(b.groups, name) }

// addCategory takes a category unless nothing of it is known.
func (b *bars) addCategory(c category) {
	if slices.Contains(c.known, true) {
		b.categories = append(b.categories, c)
	}
}

// dropEmptyGroups removes groups of which nothing is known.
func (b *bars) dropEmptyGroups() {
	for g := len(b.groups) - 1; g >= 0; g-- {
		if slices.ContainsFunc(b.categories, func(c category) bool { return c.known[g] }) {
			continue
		}
		b.groups = slices.Delete(b.groups, g, g+1)
		for i := range b.categories {
			c := &b.categories[i]
			c.values, c.known = slices.Delete(c.values, g, g+1), slices.Delete(c.known, g, g+1)
		}
	}
}

// outlier is how many times as great as all others a category is not to be shown.
const outlier = 5

// dropOutlier removes the greatest category if the others could not be seen beside it, and says so.
func (b *bars) dropOutlier() {
	if len(b.categories) < 2 {
		return
	}
	greatest, most, second := 0, 0.0, 0.0
	for i := range b.categories {
		total := b.categories[i].total(b.stacked)
		if total > most {
			greatest, most, second = i, total, most
		} else {
			second = max(second, total)
		}
	}
	if most > outlier*second {
		b.dropped = fmt.Sprintf("not shown: %s, "+b.format+" %s", b.categories[greatest].title, most, b.axis)
		b.categories = slices.Delete(b.categories, greatest, greatest+1)
	}
}

// draw returns the chart under a name; without a plot where there is nothing to draw.
func (b *bars) draw(name string) figure {
	if len(b.categories) == 0 {
		return figure{}
	}
	f := figure{name: name, plot: newPlot(b.title, b.axis)}
	if len(b.groups) > 1 {
		f.legend = newLegend()
	}
	p := f.plot
	if b.dropped != "" {
		p.X.Label.Text = b.dropped
	}
	titles := make([]string, len(b.categories))
	for i, c := range b.categories {
		titles[i] = wrapped(c.title)
	}
	nominal(p, titles)
	p.Y.Min, p.Y.Max = 0, 0
	if b.stacked {
		b.drawStacked(&f)
	} else {
		b.drawBeside(&f)
	}
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.12 // room for the numbers
	if p.Y.Max <= 0 {
		p.Y.Max = 1
	}
	return f
}

// drawBeside draws the groups side by side, with the range of the rounds and the median above each bar.
func (b *bars) drawBeside(f *figure) {
	width := plotWidth / vg.Length(len(b.categories)) * 0.84 / vg.Length(len(b.groups))
	width = min(width, vg.Inch)
	for g, name := range b.groups {
		offset := width * (vg.Length(g) - vg.Length(len(b.groups)-1)/2)
		heights := make(plotter.Values, len(b.categories))
		ranges, numbers := &ranges{offset: offset}, &numbers{offset: offset}
		for i, c := range b.categories {
			if !c.known[g] {
				continue
			}
			v := c.values[g]
			heights[i] = v.median
			ranges.add(float64(i), v)
			numbers.add(float64(i), v.high, fmt.Sprintf(b.format, v.median))
		}
		chart := newBarChart(heights, width, g)
		chart.Offset = offset
		f.plot.Add(chart, ranges, numbers)
		if f.legend != nil {
			f.legend.Add(name, chart)
		}
	}
}

// drawStacked draws the groups on each other, with the sum above.
func (b *bars) drawStacked(f *figure) {
	width := min(plotWidth/vg.Length(len(b.categories))*0.5, vg.Inch)
	var below *plotter.BarChart
	for g, name := range b.groups {
		heights := make(plotter.Values, len(b.categories))
		for i, c := range b.categories {
			heights[i] = c.values[g].median
		}
		chart := newBarChart(heights, width, g)
		if below != nil {
			chart.StackOn(below)
		}
		below = chart
		f.plot.Add(chart)
		if f.legend != nil {
			f.legend.Add(name, chart)
		}
	}
	sums := &numbers{}
	for i, c := range b.categories {
		sums.add(float64(i), c.total(true), fmt.Sprintf(b.format, c.total(true)))
	}
	f.plot.Add(sums)
}

func newBarChart(heights plotter.Values, width vg.Length, group int) *plotter.BarChart {
	return &plotter.BarChart{Values: heights, Width: width, Color: colorOf(group)}
}
