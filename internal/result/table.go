// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// column is what a table says of each result, in the table's field if it is the same for all, else in the rows.
type column struct {
	name string
	// text is the value in a result; nil for times.
	text func(*Result) *string
	// time is the value in a result; 0 stands for none.
	time func(*Result) *int64
	// shared is the field of the table; nil for what is always in the rows.
	shared func(*storage.ResultTable) *string
	// required says that no result is without it.
	required bool
}

// columns are all there are, in their order from left to right.
//
//nolint:gochecknoglobals // A constant table.
var columns = []column{
	{
		name: "operationId", required: true,
		text:   func(r *Result) *string { return &r.OperationID },
		shared: func(t *storage.ResultTable) *string { return &t.OperationID },
	},
	{
		name:   "appId",
		text:   func(r *Result) *string { return &r.AppID },
		shared: func(t *storage.ResultTable) *string { return &t.AppID },
	},
	{name: "deviceId", required: true, text: func(r *Result) *string { return &r.DeviceID }},
	{name: "subOperationId", text: func(r *Result) *string { return &r.SubOperationID }},
	{name: "receiveTime", required: true, time: func(r *Result) *int64 { return &r.ReceivedAt }},
	{name: "failTime", time: func(r *Result) *int64 { return &r.FailedAt }},
	{name: "firstReceiveTime", time: func(r *Result) *int64 { return &r.FirstReceivedAt }},
	{name: "lastReceiveTime", time: func(r *Result) *int64 { return &r.LastReceivedAt }},
	{
		name:   "targetVersion",
		text:   func(r *Result) *string { return &r.TargetVersion },
		shared: func(t *storage.ResultTable) *string { return &t.TargetVersion },
	},
	{
		name:   "sourceVersion",
		text:   func(r *Result) *string { return &r.SourceVersion },
		shared: func(t *storage.ResultTable) *string { return &t.SourceVersion },
	},
	{
		name:   "curVersion",
		text:   func(r *Result) *string { return &r.CurVersion },
		shared: func(t *storage.ResultTable) *string { return &t.CurVersion },
	},
	{
		name:   "upgradeTime",
		text:   func(r *Result) *string { return &r.UpgradeTime },
		shared: func(t *storage.ResultTable) *string { return &t.UpgradeTime },
	},
	{
		name:   "statusDesc",
		text:   func(r *Result) *string { return &r.StatusDesc },
		shared: func(t *storage.ResultTable) *string { return &t.StatusDesc },
	},
}

// newTable makes the table of at least one result. They are normalized and have the same state.
func newTable(results []*Result) storage.ResultTable {
	var table storage.ResultTable
	table.State = results[0].State
	var inRows []*column
	for i := range columns {
		c := &columns[i]
		if c.shared != nil && c.isSame(results) {
			*c.shared(&table) = *c.text(results[0])
		} else if c.required || slices.ContainsFunc(results, c.isSet) {
			inRows = append(inRows, c)
		}
	}
	table.Rows = encodeRows(inRows, results)
	return table
}

func (c *column) isSame(results []*Result) bool {
	first := *c.text(results[0])
	for _, result := range results[1:] {
		if *c.text(result) != first {
			return false
		}
	}
	return true
}

func (c *column) isSet(result *Result) bool {
	if c.text != nil {
		return *c.text(result) != ""
	}
	return c.storedTime(result) != 0
}

// storedTime is the time as it is stored: a failed result implies when it failed.
func (c *column) storedTime(result *Result) int64 {
	at := c.time(result)
	if at == &result.FailedAt && result.State == storage.StateFailed && *at == result.ReceivedAt {
		return 0
	}
	return *at
}

func encodeRows(inRows []*column, results []*Result) string {
	var rows strings.Builder
	writer := csv.NewWriter(&rows)
	record := make([]string, len(inRows))
	for i, c := range inRows {
		record[i] = c.name
	}
	_ = writer.Write(record) // a strings.Builder takes everything
	for _, result := range results {
		for i, c := range inRows {
			if c.text != nil {
				record[i] = *c.text(result)
			} else if at := c.storedTime(result); at != 0 {
				record[i] = strconv.FormatInt(at, 10)
			} else {
				record[i] = ""
			}
		}
		_ = writer.Write(record)
	}
	writer.Flush()
	return rows.String()
}

// appendTable appends the results of a table, normalized. The error says which rows can't be read; the other results
// are appended all the same.
func appendTable(results []Result, table *storage.ResultTable) ([]Result, error) {
	var template Result
	template.ResultFields = table.ResultFields
	for i := range columns {
		if c := &columns[i]; c.shared != nil {
			*c.text(&template) = *c.shared(table)
		}
	}
	reader := csv.NewReader(strings.NewReader(table.Rows))
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return results, fmt.Errorf("read the names of the columns: %w", err)
	}
	inRows, err := columnsNamed(header, &template)
	if err != nil {
		return results, err
	}
	results = slices.Grow(results, strings.Count(table.Rows, "\n"))
	var errs []error
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return results, errors.Join(errs...)
		}
		result := template
		if err == nil {
			if err = decodeRow(&result, inRows, record); err != nil {
				line, _ := reader.FieldPos(0)
				err = fmt.Errorf("line %d: %w", line, err)
			}
		}
		if err != nil {
			if errs = append(errs, err); len(errs) == maxRowErrors {
				return results, errors.Join(errs...)
			}
			continue
		}
		result.Normalize()
		results = append(results, result)
	}
}

// maxRowErrors is after how many rows that can't be read the rest of a table is given up.
const maxRowErrors = 10

// columnsNamed returns the columns that a header names. One that is not known may be another version's: it is an error,
// lest it be lost when the slice is rewritten.
func columnsNamed(header []string, template *Result) ([]*column, error) {
	var inRows []*column
	for _, name := range header {
		i := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("column %q is not known", name)
		case slices.Contains(inRows, &columns[i]) || columns[i].shared != nil && *columns[i].text(template) != "":
			return nil, fmt.Errorf("column %q stands twice", name)
		}
		inRows = append(inRows, &columns[i])
	}
	return inRows, nil
}

func decodeRow(result *Result, inRows []*column, record []string) error {
	for i, c := range inRows {
		if c.text != nil {
			*c.text(result) = record[i]
			continue
		}
		if record[i] == "" {
			continue
		}
		at, err := strconv.ParseInt(record[i], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		*c.time(result) = at
	}
	if result.OperationID == "" || result.DeviceID == "" {
		return errors.New("it names no operationId or no deviceId")
	}
	return nil
}
