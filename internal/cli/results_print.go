// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/internal/tally"
)

// Formats of the output.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatCSV   = "csv"
	formatJSON  = "json"
)

func resultFormats() []string { return []string{formatTable, formatWide, formatCSV, formatJSON} }

// resultPrinter prints results as they come.
type resultPrinter interface {
	row(r *result.Result) error
	// end prints what is left.
	end() error
}

func (s *session) newResultPrinter(out io.Writer, o *resultsOptions, suspects *suspects) resultPrinter {
	var data resultPrinter
	switch o.output {
	case formatCSV:
		data = &csvPrinter{writer: csv.NewWriter(out)}
	case formatJSON:
		data = &jsonPrinter{encoder: newLineEncoder(out), suspects: suspects}
	}
	switch {
	case data != nil && s.look.terminal:
		return &cleanPrinter{data}
	case data != nil:
		return data
	}
	p := &tablePrinter{now: s.Clock.Now(), suspects: suspects, ofOneDevice: o.device != ""}
	header := []string{"DEVICE", "STATE", "AGE", "DETAIL"}
	if p.ofOneDevice {
		header = []string{"RECEIVED", "STATE", "AGE", "MERGED", "DETAIL"}
	}
	if p.wide = o.output == formatWide; p.wide {
		header = append(header[:len(header)-1:len(header)-1], "SUBTASK", "SOURCE", "TARGET", "CURRENT", "DETAIL")
	}
	p.table = newTable(out, s.look, p.wide, header...)
	return p
}

// tablePrinter prints results for people.
type tablePrinter struct {
	table             *table
	now               time.Time
	suspects          *suspects
	wide, ofOneDevice bool
}

func (p *tablePrinter) row(r *result.Result) error {
	first := r.DeviceID
	if p.ofOneDevice {
		first = microTime(r.ReceivedAt)
	}
	cells := []string{first, string(r.State), age(p.now, time.UnixMicro(r.ReceivedAt))}
	if p.ofOneDevice {
		cells = append(cells, merged(r))
	}
	if p.wide {
		cells = append(cells, r.SubOperationID, r.SourceVersion, r.TargetVersion, r.CurVersion)
	}
	return p.table.add(append(cells, p.detail(r))...)
}

// detail is what a person wants to know of a result beside its state.
func (p *tablePrinter) detail(r *result.Result) string {
	switch {
	case r.State == storage.StateFailed && r.StatusDesc == "":
		return tally.CauseUnspecified
	case r.State == storage.StateFailed:
		return r.StatusDesc
	case p.suspects.has(r):
		wanted := cmp.Or(p.suspects.target, r.TargetVersion)
		if r.CurVersion != "" && r.CurVersion != wanted {
			return fmt.Sprintf("suspect: %s, not %s", r.CurVersion, wanted)
		}
		return fmt.Sprintf("suspect: was to get %s, not %s", r.TargetVersion, wanted)
	case r.State == storage.StateSucceeded:
		return r.CurVersion
	}
	return ""
}

// merged says whether compaction made the result of several notifications.
func merged(r *result.Result) string {
	if r.FirstReceivedAt != 0 || r.LastReceivedAt != 0 || r.FailedAt != 0 && r.FailedAt != r.ReceivedAt {
		return "yes"
	}
	return "no"
}

func (p *tablePrinter) end() error { return p.table.flush() }

// csvPrinter prints results for spreadsheets and scripts. Values are as they are stored, but for those that a
// spreadsheet would take for a formula that can call something.
type csvPrinter struct {
	writer *csv.Writer
	begun  bool
}

func (p *csvPrinter) begin() error {
	if p.begun {
		return nil
	}
	p.begun = true
	return p.writer.Write([]string{
		"appId", "operationId", "deviceId", "state", "receiveTime", "failTime", "subOperationId", "sourceVersion",
		"targetVersion", "curVersion", "cause", "statusDesc",
	})
}

func (p *csvPrinter) row(r *result.Result) error {
	if err := p.begin(); err != nil {
		return err
	}
	cells := []string{
		r.AppID, r.OperationID, r.DeviceID, string(r.State), microTime(r.ReceivedAt), microTime(r.FailedAt),
		r.SubOperationID, r.SourceVersion, r.TargetVersion, r.CurVersion, causeOf(r), r.StatusDesc,
	}
	return p.writer.Write(withoutFormulas(cells))
}

const (
	// formulaSigns begin what a spreadsheet takes for a formula; those of full width do so in East Asian ones.
	formulaSigns = "=+-@＝＋－＠"
	// separators end a cell within a text: where the comma is the decimal sign, spreadsheets separate by semicolons, and
	// heed quotes only at the beginning of a cell. So do some, and scripts, by tabs. Then a line feed ends the line, too.
	separators = ";\t\r\n"
)

// withoutFormulas puts an apostrophe wherever a spreadsheet would take a part of a line for a formula, whichever
// separator it goes by: devices choose what they report, and a formula can run a command or send what is in the sheet.
// An id or a number that begins with a sign is left alone, so that scripts get it as it is. A spreadsheet may still
// compute it, as it does "+A1", but it calls and fetches nothing. The first of several cells is no exception, as what
// follows would be a part of it where the comma does not separate.
func withoutFormulas(cells []string) []string {
	for i, text := range cells {
		if i == 0 && len(cells) > 1 || !isSignedID(text) {
			cells[i] = noFormula(text)
		}
	}
	return cells
}

// noFormula is a text with an apostrophe before each of its parts that begins as a formula does.
func noFormula(text string) string {
	if !strings.ContainsAny(text, formulaSigns) {
		return text
	}
	var b strings.Builder
	for more := true; more; {
		end := strings.IndexAny(text, separators)
		if more = end >= 0; !more {
			end = len(text) - 1
		}
		part := text[:end+1]
		text = text[end+1:]
		first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(part, isBeforeFormula))
		if strings.ContainsRune(formulaSigns, first) {
			b.WriteByte('\'')
		}
		b.WriteString(part)
	}
	return b.String()
}

// isBeforeFormula says whether a spreadsheet may skip a character at the beginning of a cell: a quote is one of CSV's.
func isBeforeFormula(r rune) bool { return r == '"' || result.IsHidden(r) || unicode.IsSpace(r) }

// isSignedID says whether a text is a sign with nothing after it but what the platform's ids and versions are made of.
func isSignedID(text string) bool {
	const of = "-_.:0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return text != "" && (text[0] == '-' || text[0] == '+') && strings.Trim(text[1:], of) == ""
}

func (p *csvPrinter) end() error {
	if err := p.begin(); err != nil {
		return err
	}
	p.writer.Flush()
	return p.writer.Error()
}

// cleanPrinter prints data on a terminal, which must not see what hides in it.
type cleanPrinter struct{ resultPrinter }

func (p *cleanPrinter) row(r *result.Result) error {
	shown := *r
	for _, text := range []*string{
		&shown.AppID, &shown.OperationID, &shown.DeviceID, &shown.SubOperationID, &shown.TargetVersion,
		&shown.SourceVersion, &shown.CurVersion, &shown.StatusDesc, &shown.UpgradeTime,
	} {
		*text = result.Clean(*text, maxTextBytes)
	}
	return p.resultPrinter.row(&shown)
}

// jsonResult is a result as JSON.
type jsonResult struct {
	AppID            string `json:"appId"`
	OperationID      string `json:"operationId"`
	DeviceID         string `json:"deviceId"`
	State            string `json:"state"`
	ReceiveTime      string `json:"receiveTime"`
	FailTime         string `json:"failTime,omitempty"`
	FirstReceiveTime string `json:"firstReceiveTime,omitempty"`
	LastReceiveTime  string `json:"lastReceiveTime,omitempty"`
	SubOperationID   string `json:"subOperationId,omitempty"`
	SourceVersion    string `json:"sourceVersion,omitempty"`
	TargetVersion    string `json:"targetVersion,omitempty"`
	CurVersion       string `json:"curVersion,omitempty"`
	UpgradeTime      string `json:"upgradeTime,omitempty"`
	Cause            string `json:"cause,omitempty"`
	StatusDesc       string `json:"statusDesc,omitempty"`
	Suspect          bool   `json:"suspect,omitempty"`
}

// jsonPrinter prints results for jq and the like, an object a line.
type jsonPrinter struct {
	encoder  *json.Encoder
	suspects *suspects
}

func (p *jsonPrinter) row(r *result.Result) error {
	return p.encoder.Encode(jsonResult{
		AppID: r.AppID, OperationID: r.OperationID, DeviceID: r.DeviceID, State: string(r.State),
		ReceiveTime: microTime(r.ReceivedAt), FailTime: microTime(r.FailedAt),
		FirstReceiveTime: microTime(r.FirstReceivedAt), LastReceiveTime: microTime(r.LastReceivedAt),
		SubOperationID: r.SubOperationID, SourceVersion: r.SourceVersion, TargetVersion: r.TargetVersion,
		CurVersion: r.CurVersion, UpgradeTime: r.UpgradeTime, Cause: causeOf(r), StatusDesc: r.StatusDesc,
		Suspect: p.suspects.has(r),
	})
}

func (p *jsonPrinter) end() error { return nil }

// newLineEncoder writes JSON an object a line, without escaping what only HTML has to fear.
func newLineEncoder(out io.Writer) *json.Encoder {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder
}

// causeOf is the group of causes that a failure belongs to; empty for other results.
func causeOf(r *result.Result) string {
	if r.State != storage.StateFailed {
		return ""
	}
	return tally.Cause(r.StatusDesc)
}

// microTime writes a time in microseconds since 1970-01-01 UTC; 0 for none.
func microTime(at int64) string {
	if at == 0 {
		return ""
	}
	return time.UnixMicro(at).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// rfc3339 writes a time as people and programs read it.
func rfc3339(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// age is how long ago a time was, as kubectl writes it.
func age(now, at time.Time) string { return duration.HumanDuration(max(0, now.Sub(at))) }
