// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bounds is the data range of what is drawn.
type bounds struct {
	any                    bool
	xmin, xmax, ymin, ymax float64
}

func (b *bounds) extend(x, y float64) {
	if !b.any {
		*b = bounds{any: true, xmin: x, xmax: x, ymin: y, ymax: y}
	}
	b.xmin, b.xmax = min(b.xmin, x), max(b.xmax, x)
	b.ymin, b.ymax = min(b.ymin, y), max(b.ymax, y)
}

// DataRange implements plot.DataRanger.
func (b *bounds) DataRange() (xmin, xmax, ymin, ymax float64) {
	if !b.any {
		return math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	}
	return b.xmin, b.xmax, b.ymin, b.ymax
}

// ranges draws the least and the greatest value of a bar as a thin line.
type ranges struct {
	bounds
	offset vg.Length
	at     []float64
	values []value
}

func (r *ranges) add(x float64, v value) {
	r.extend(x, v.high)
	r.at, r.values = append(r.at, x), append(r.values, v)
}

// Plot implements plot.Plotter.
func (r *ranges) Plot(c draw.Canvas, p *plot.Plot) {
	tox, toy := p.Transforms(&c)
	style := draw.LineStyle{Color: color.Black, Width: vg.Points(0.8)}
	for i, v := range r.values {
		if v.low < v.high {
			x := tox(r.at[i]) + r.offset
			c.StrokeLine2(style, x, toy(v.low), x, toy(v.high))
		}
	}
}

// numbers writes numbers above bars.
type numbers struct {
	bounds
	offset vg.Length
	at     []float64
	above  []float64
	texts  []string
}

func (n *numbers) add(x, above float64, text string) {
	n.extend(x, above)
	n.at, n.above, n.texts = append(n.at, x), append(n.above, above), append(n.texts, text)
}

// Plot implements plot.Plotter.
func (n *numbers) Plot(c draw.Canvas, p *plot.Plot) {
	tox, toy := p.Transforms(&c)
	style := p.X.Tick.Label
	style.Font.Size = vg.Points(7.5)
	style.XAlign, style.YAlign = text.XCenter, text.YBottom
	for i, s := range n.texts {
		c.FillText(style, vg.Point{X: tox(n.at[i]) + n.offset, Y: toy(n.above[i]) + vg.Points(2)}, s)
	}
}
