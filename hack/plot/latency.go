// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// latencies draws, for each load, the quantiles of each side, on a logarithmic axis.
func latencies(r *report) figure {
	p := newPlot("Time to the answer: median (dot), 99th percentile (square) and longest (dash)", "milliseconds")
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.TickerFunc(powersOfTen)
	var labels []string
	lines := make([]*quantiles, len(r.Sides))
	for i := range r.Sides {
		lines[i] = &quantiles{color: colorOf(i), offset: vg.Points(11) * (vg.Length(i) - vg.Length(len(r.Sides)-1)/2)}
	}
	for _, l := range r.Loads {
		known := false
		for i, s := range r.Sides {
			q := [3]float64{}
			for n, figure := range []func(measurement) float64{
				func(m measurement) float64 { return m.P50 },
				func(m measurement) float64 { return m.P99 },
				func(m measurement) float64 { return m.Max },
			} {
				v, _ := r.valueOf(l.Key, s.Key, figure)
				q[n] = v.median
			}
			if q[0] > 0 { // 0 has no logarithm, and stands for nothing
				lines[i].add(float64(len(labels)), q)
				known = true
			}
		}
		if known {
			labels = append(labels, wrapped(loadLabel(l)))
		}
	}
	if len(labels) == 0 {
		return figure{}
	}
	f := figure{name: "latency", plot: p, legend: newLegend()}
	for i, s := range r.Sides {
		if lines[i].any {
			p.Add(lines[i])
			f.legend.Add(s.Title, lines[i])
		}
	}
	nominal(p, labels)
	p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
	p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max)))
	return f
}

// powersOfTen marks the powers of ten with numbers and what is between them without.
func powersOfTen(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Pow(10, math.Floor(math.Log10(low))); power <= high; power *= 10 {
		ticks = append(ticks, plot.Tick{Value: power, Label: fmt.Sprintf("%g", power)})
		for n := 2.0; n < 10 && n*power <= high; n++ {
			ticks = append(ticks, plot.Tick{Value: n * power})
		}
	}
	return ticks
}

// quantiles draws median, 99th percentile and maximum as three marks on a line.
type quantiles struct {
	bounds
	color  color.Color
	offset vg.Length
	at     []float64
	values [][3]float64
}

func (q *quantiles) add(x float64, values [3]float64) {
	q.extend(x, values[0])
	q.extend(x, values[2])
	q.at, q.values = append(q.at, x), append(q.values, values)
}

// Plot implements plot.Plotter.
func (q *quantiles) Plot(c draw.Canvas, p *plot.Plot) {
	tox, toy := p.Transforms(&c)
	for i, v := range q.values {
		x := tox(q.at[i]) + q.offset
		c.StrokeLine2(draw.LineStyle{Color: q.color, Width: vg.Points(1.2)}, x, toy(v[0]), x, toy(v[2]))
		q.mark(&c, draw.CircleGlyph{}, x, toy(v[0]))
		q.mark(&c, draw.BoxGlyph{}, x, toy(v[1]))
		style := draw.LineStyle{Color: q.color, Width: vg.Points(1.6)}
		c.StrokeLine2(style, x-vg.Points(4), toy(v[2]), x+vg.Points(4), toy(v[2]))
	}
}

func (q *quantiles) mark(c *draw.Canvas, shape draw.GlyphDrawer, x, y vg.Length) {
	c.DrawGlyph(draw.GlyphStyle{Color: q.color, Radius: vg.Points(3), Shape: shape}, vg.Point{X: x, Y: y})
}

// Thumbnail implements plot.Thumbnailer.
func (q *quantiles) Thumbnail(c *draw.Canvas) {
	center := c.Center()
	c.StrokeLine2(draw.LineStyle{Color: q.color, Width: vg.Points(1.2)}, c.Min.X, center.Y, c.Max.X, center.Y)
	q.mark(c, draw.CircleGlyph{}, center.X, center.Y)
}
