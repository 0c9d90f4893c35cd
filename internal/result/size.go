// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package result

import (
	"unicode/utf8"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// bytes that a field costs beside its name and its value: two quotation marks, a colon, a comma.
const fieldOverhead = 4

// Size is how many bytes the tables take as a JSON array at most. It exceeds what encoding/json writes by some commas,
// and never falls below it.
func Size(tables []storage.ResultTable) int {
	size := len("null")
	for i := range tables {
		size += tableSize(&tables[i])
	}
	return size
}

func tableSize(table *storage.ResultTable) int {
	return len(`{},`) +
		optionalSize("appId", table.AppID) +
		optionalSize("operationId", table.OperationID) +
		fieldsSize(&table.ResultFields) +
		stringSize("rows", table.Rows)
}

func fieldsSize(fields *storage.ResultFields) int {
	return stringSize("state", string(fields.State)) +
		optionalSize("targetVersion", fields.TargetVersion) +
		optionalSize("sourceVersion", fields.SourceVersion) +
		optionalSize("curVersion", fields.CurVersion) +
		optionalSize("statusDesc", fields.StatusDesc) +
		optionalSize("upgradeTime", fields.UpgradeTime)
}

func optionalSize(name, value string) int {
	if value == "" {
		return 0
	}
	return stringSize(name, value)
}

// stringSize is the size of a field as encoding/json writes it: control characters and <, > and & take six bytes, and
// so do U+2028, U+2029 and every byte that is not UTF-8; a line feed, which ends every row, takes two.
func stringSize(name, value string) int {
	const escaped = len(`\u0000`)
	size := len(name) + fieldOverhead + len(`""`)
	for i := 0; i < len(value); {
		if c := value[i]; c < utf8.RuneSelf {
			i++
			switch {
			case c == '\n':
				size += 2
			case c < ' ' || c == '<' || c == '>' || c == '&':
				size += escaped
			case c == '"' || c == '\\':
				size += 2
			default:
				size++
			}
			continue
		}
		r, width := utf8.DecodeRuneInString(value[i:])
		i += width
		if r == utf8.RuneError && width == 1 || r == '\u2028' || r == '\u2029' {
			width = escaped
		}
		size += width
	}
	return size
}
