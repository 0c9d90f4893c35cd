// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"unicode/utf8"

	"fwupgrade.io/operator/api/v1alpha1"
)

// bytes that a field costs beside its name and its value: two quotation marks, a colon, a comma.
const fieldOverhead = 4

// Size is how many bytes the entries take as a JSON array at most. It exceeds what encoding/json writes by a comma an
// object, and never falls below it.
func Size(entries []v1alpha1.TaskResults) int {
	size := len("[]")
	for i := range entries {
		size += entrySize(&entries[i])
		for j := range entries[i].Results {
			size += resultSize(&entries[i].Results[j])
		}
	}
	return size
}

// Split cuts entries into chunks, in order, each of a Size below maxBytes and of at most v1alpha1.MaxSliceTasks
// entries. An entry that is cut keeps in every part what its results share, and in its first part the receive times of
// the entry. A chunk exceeds maxBytes only where a single result does. The chunks share the memory of the entries.
func Split(entries []v1alpha1.TaskResults, maxBytes int) [][]v1alpha1.TaskResults {
	var chunks [][]v1alpha1.TaskResults
	var chunk []v1alpha1.TaskResults
	size := len("[]")
	flush := func() {
		chunks = append(chunks, chunk)
		chunk, size = nil, len("[]")
	}
	for _, rest := range entries {
		for len(rest.Results) > 0 {
			count, bytes := leading(&rest, maxBytes-1-size)
			if count == 0 || len(chunk) == v1alpha1.MaxSliceTasks {
				if len(chunk) > 0 {
					flush()
					continue
				}
				count, bytes = 1, bytes+resultSize(&rest.Results[0])
			}
			part := rest
			part.Results = rest.Results[:count:count]
			chunk = append(chunk, part)
			size += bytes
			rest.Results = rest.Results[count:]
			rest.FirstReceivedAt, rest.LastReceivedAt = 0, 0
		}
	}
	if len(chunk) > 0 {
		flush()
	}
	return chunks
}

// leading is how many of the first results of an entry fit into room bytes, together with what they share, and the
// bytes they take.
func leading(entry *v1alpha1.TaskResults, room int) (count, bytes int) {
	bytes = entrySize(entry)
	for i := range entry.Results {
		size := resultSize(&entry.Results[i])
		if bytes+size > room {
			return i, bytes
		}
		bytes += size
	}
	return len(entry.Results), bytes
}

// entrySize is the size of an entry without its results.
func entrySize(entry *v1alpha1.TaskResults) int {
	return len(`{},`) +
		optionalSize("appId", entry.AppID) +
		stringSize("operationId", entry.OperationID) +
		fieldsSize(&entry.ResultFields) +
		optionalIntSize("firstReceivedAt", entry.FirstReceivedAt) +
		optionalIntSize("lastReceivedAt", entry.LastReceivedAt) +
		len(`"results":null,`) // also the size of [] and more
}

func resultSize(result *v1alpha1.DeviceResult) int {
	return len(`{},`) +
		stringSize("deviceId", result.DeviceID) +
		optionalSize("subOperationId", result.SubOperationID) +
		fieldsSize(&result.ResultFields) +
		intSize("receivedAt", result.ReceivedAt) +
		optionalIntSize("failedAt", result.FailedAt)
}

func fieldsSize(fields *v1alpha1.ResultFields) int {
	return optionalSize("state", string(fields.State)) +
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
// so do U+2028, U+2029 and every byte that is not UTF-8.
func stringSize(name, value string) int {
	const escaped = len(`\u0000`)
	size := len(name) + fieldOverhead + len(`""`)
	for i := 0; i < len(value); {
		if c := value[i]; c < utf8.RuneSelf {
			i++
			switch {
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

func optionalIntSize(name string, value int64) int {
	if value == 0 {
		return 0
	}
	return intSize(name, value)
}

func intSize(name string, value int64) int {
	digits := 1
	if value < 0 {
		digits = 2
	}
	for ; value > 9 || value < -9; value /= 10 {
		digits++
	}
	return len(name) + fieldOverhead + digits
}
