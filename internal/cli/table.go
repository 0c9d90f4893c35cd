// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
)

const (
	// columnGap is between two columns of a table.
	columnGap = "  "
	// minLastColumn is what the last column keeps where the others leave less.
	minLastColumn = 12
	// measuredRows is how many rows of a stream the widths of its columns are taken from.
	measuredRows = 1000
)

// table writes rows in columns as they come. Every column but the last is written whole, so that no id or name is cut;
// the last one is cut at the edge, visibly, unless wide is set.
type table struct {
	out    io.Writer
	look   look
	wide   bool
	header []string

	waiting [][]string
	widths  []int
}

func newTable(out io.Writer, l look, wide bool, header ...string) *table {
	return &table{out: out, look: l, wide: wide, header: header}
}

// add adds a row, whose cells are cleaned here.
func (t *table) add(cells ...string) error {
	for i := range cells {
		cells[i] = t.look.clean(cells[i])
	}
	if t.widths != nil {
		return t.write(cells)
	}
	t.waiting = append(t.waiting, cells)
	if len(t.waiting) < measuredRows {
		return nil
	}
	return t.flush()
}

// flush writes the rows that wait for the widths of their columns. Without any row it writes nothing.
func (t *table) flush() error {
	if t.widths != nil || len(t.waiting) == 0 {
		return nil
	}
	t.widths = make([]int, len(t.header))
	rows := append([][]string{t.header}, t.waiting...)
	t.waiting = nil
	for _, row := range rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], columnsOf(cell))
		}
	}
	for _, row := range rows {
		if err := t.write(row); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) write(cells []string) error {
	var line strings.Builder
	last := len(cells) - 1
	for i, cell := range cells[:last] {
		line.WriteString(pad(cell, t.widths[i]))
		line.WriteString(columnGap)
	}
	cell := cells[last]
	if !t.wide {
		cell = t.look.cut(cell, max(minLastColumn, t.look.width-columnsOf(line.String())))
	}
	line.WriteString(cell)
	_, err := fmt.Fprintln(t.out, strings.TrimRight(line.String(), " "))
	return err
}
