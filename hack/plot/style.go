// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	figureWidth  = 10 * vg.Inch
	figureHeight = 4.6 * vg.Inch
	legendWidth  = 2 * vg.Inch
	margin       = 0.15 * vg.Inch
	// plotWidth is about how wide the plot itself is, without its vertical axis.
	plotWidth = figureWidth - legendWidth - 0.9*vg.Inch
	// labelWidth is how many characters a line of a label has at most.
	labelWidth = 16
)

// figure is a plot with its legend beside it, and the name of its file, without ending. The legend is nil where there
// is none, the plot where there is nothing to draw.
type figure struct {
	name   string
	plot   *plot.Plot
	legend *plot.Legend
}

// newLegend returns an empty legend: marks to the left, so that a font that is a little wider does no harm.
func newLegend() *plot.Legend {
	l := plot.NewLegend()
	l.TextStyle.Font = sans(9)
	l.Top, l.Left, l.Padding = true, true, vg.Points(4)
	return &l
}

func sans(points float64) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(points)}
}

// newPlot returns an empty plot in the style of all: sans serif, with horizontal lines.
func newPlot(title, axis string) *plot.Plot {
	p := plot.New()
	p.Title.TextStyle.Font = sans(13)
	for _, style := range []*text.Style{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font = sans(9)
	}
	p.Title.Text, p.Y.Label.Text = title, axis
	p.Title.Padding = vg.Points(10)
	p.X.Label.Padding = vg.Points(8)
	p.Y.Tick.Marker = plot.TickerFunc(roundTicks)
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: color.Gray{Y: 225}, Width: vg.Points(0.6)}
	p.Add(grid)
	return p
}

// nominal gives the horizontal axis a place for each label.
func nominal(p *plot.Plot, labels []string) {
	p.NominalX(labels...)
	p.X.Min, p.X.Max = -0.5, float64(len(labels))-0.5
}

// colorOf returns a color that can be told from the others by everybody: the palette of Okabe and Ito.
func colorOf(i int) color.Color {
	palette := []color.RGBA{
		{R: 0, G: 114, B: 178, A: 255}, {R: 86, G: 180, B: 233, A: 255}, {R: 230, G: 159, B: 0, A: 255},
		{R: 213, G: 94, B: 0, A: 255}, {R: 0, G: 158, B: 115, A: 255}, {R: 204, G: 121, B: 167, A: 255},
		{R: 120, G: 120, B: 120, A: 255}, {R: 240, G: 228, B: 66, A: 255}, {R: 0, G: 0, B: 0, A: 255},
	}
	return palette[i%len(palette)]
}

// roundTicks marks an axis at multiples of a round number, four to ten of them.
func roundTicks(low, high float64) []plot.Tick {
	unit := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	step := unit
	for _, multiple := range []float64{2, 5} {
		if (high-low)/(unit*multiple) >= 4 {
			step = unit * multiple
		}
	}
	var ticks []plot.Tick
	for n := math.Ceil(low / step); n*step <= high; n++ {
		// Rounded, as 3 * 0.1 is not 0.3.
		ticks = append(ticks, plot.Tick{Value: n * step, Label: strconv.FormatFloat(n*step, 'g', 6, 64)})
	}
	return ticks
}

// wrapped breaks a label into lines: after commas, and between words where a line would be too long.
func wrapped(label string) string {
	var lines []string
	for part := range strings.SplitSeq(strings.ReplaceAll(label, ", ", ",\n"), "\n") {
		line := ""
		for _, word := range strings.Fields(part) {
			if line != "" && len(line)+1+len(word) > labelWidth {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// save writes the figure as SVG into the folder.
func (f figure) save(folder string) error {
	canvas := vgsvg.New(figureWidth, figureHeight)
	all := draw.Crop(draw.New(canvas), margin, -margin, margin, -margin)
	if f.legend != nil {
		f.legend.Draw(draw.Crop(all, all.Max.X-all.Min.X-legendWidth+margin, 0, 0, -0.4*vg.Inch))
		all = draw.Crop(all, 0, -legendWidth, 0, 0)
	}
	f.plot.Draw(all)
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return fmt.Errorf("encode SVG: %w", err)
	}
	// Where the font is missing, one of the same widths is used.
	content := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	if err := os.WriteFile(filepath.Join(folder, f.name+".svg"), content, 0o644); err != nil {
		return fmt.Errorf("write SVG: %w", err)
	}
	return nil
}
