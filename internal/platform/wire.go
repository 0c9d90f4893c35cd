// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswerBytes is how large an answer may be. A page of a hundred sub-tasks has some 30 KiB.
	maxAnswerBytes = 4 << 20
	// maxTextBytes is how much is kept of a text, as of a notification, and maxWordBytes of a word.
	maxTextBytes = 1 << 10
	maxWordBytes = 64
)

// text is a JSON string, or a number as it was written. null and what has no text leave it as it was.
type text string

// UnmarshalJSON takes any JSON value.
func (t *text) UnmarshalJSON(data []byte) error {
	switch c := data[0]; {
	case c == '"':
		return json.Unmarshal(data, (*string)(t))
	case c == '-' || c >= '0' && c <= '9' || c == 't' || c == 'f':
		*t = text(data)
	}
	return nil
}

// maxNumber is the largest number that says something: of devices, seconds or tasks there are fewer. Sums of such
// numbers can't overflow.
const maxNumber = 1_000_000_000

// number is a whole number of 0 to maxNumber, as a JSON number or a string. Some encoders write 3 as 3.0. What is no
// such number, null among it, is unknown.
type number struct {
	value int64
	known bool
}

// UnmarshalJSON takes any JSON value.
func (n *number) UnmarshalJSON(data []byte) error {
	s := strings.TrimSpace(string(bytes.Trim(data, `"`)))
	if s == "null" || s == "" {
		return nil
	}
	*n = number{}
	value, err := strconv.ParseFloat(s, 64) // which has every whole number up to maxNumber
	if err == nil && value == math.Trunc(value) && value >= 0 && value <= maxNumber {
		*n = number{value: int64(value), known: true}
	}
	return nil
}

// maxItems is how many items of an array are read: of a page five times what is asked for, as a platform may take no
// notice of that. Without a limit some bytes of an answer become hundreds in memory.
const maxItems = 5 * PageSize

// items is an array, of which more than maxItems are not read.
type items[T any] struct {
	read []T
	// more says that there were more.
	more bool
}

// UnmarshalJSON takes an array, or null.
func (i *items[T]) UnmarshalJSON(data []byte) error {
	*i = items[T]{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	switch begin, err := decoder.Token(); {
	case err != nil || begin == nil:
		return err
	case begin != json.Delim('['):
		return errors.New("there is no array where a list should be")
	}
	for decoder.More() {
		if len(i.read) == maxItems {
			i.more = true
			return nil
		}
		var item T
		if err := decoder.Decode(&item); err != nil {
			return err
		}
		i.read = append(i.read, item)
	}
	return nil
}

// lenient is a part of an answer that costs only itself where it is of another type than it should be.
type lenient[T any] struct{ value T }

// UnmarshalJSON takes any JSON value.
func (l *lenient[T]) UnmarshalJSON(data []byte) error {
	var value T
	if err := json.Unmarshal(data, &value); err == nil {
		l.value = value
	}
	return nil
}

// timeLayout is how the platform writes a time, always in UTC (documented).
const timeLayout = "20060102T150405Z"

// parseTime returns a time of the platform, or the zero time where there is none, or none that can be read.
func parseTime(t text) time.Time {
	for _, layout := range []string{timeLayout, time.RFC3339} { // the latter inferred: what other platforms write
		if parsed, err := time.Parse(layout, strings.TrimSpace(string(t))); err == nil {
			return parsed.UTC()
		}
	}
	return time.Time{}
}

// formatTime writes a time as the platform reads it, nothing for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// wireError is the body of a refusal (documented).
type wireError struct {
	Code        text `json:"error_code"`
	Description text `json:"error_desc"`
}

// wireLogin is the answer to a login (documented). It has more: a refreshToken, which needs the secret as well, so that
// logging in again is as good; tokenType, always bearer; scope.
type wireLogin struct {
	AccessToken text   `json:"accessToken"`
	ExpiresIn   number `json:"expiresIn"` // seconds; an integer in the manual, a string tolerated
}

// wireTotal is how many items all pages have: totalCount in the REST manual (documented), totalSize from SDK code.
type wireTotal struct {
	TotalCount number `json:"totalCount"`
	TotalSize  number `json:"totalSize"`
}

// total returns what both say; they are not to contradict each other.
func (w wireTotal) total() number {
	switch {
	case !w.TotalCount.known:
		return w.TotalSize
	case w.TotalSize.known && w.TotalSize != w.TotalCount:
		return number{}
	}
	return w.TotalCount
}

type wireSubscriptions struct {
	wireTotal
	Subscriptions items[wireSubscription] `json:"subscriptions"` // documented
}

type wireSubscription struct {
	SubscriptionID text `json:"subscriptionId"`
	NotifyType     text `json:"notifyType"`
	CallbackURL    text `json:"callbackUrl"` // encoding/json takes callbackurl as well
}

type wireTasks struct {
	wireTotal
	Data items[wireTask] `json:"data"`
}

// wireTask is a task as it is got by its id (documented). In a list it has the same (from SDK code; the manual lists
// fewer). Times of its begin and end are not read.
type wireTask struct {
	OperationID text                `json:"operationId"`
	CreateTime  text                `json:"createTime"`
	OperateType text                `json:"operateType"`
	Status      text                `json:"status"`
	Targets     json.RawMessage     `json:"targets"` // wireTarget, read where it is wanted
	Policy      lenient[wirePolicy] `json:"policy"`
	StaResult   lenient[wireResult] `json:"staResult"`
	ExtendPara  lenient[wireExtend] `json:"extendPara"`
}

type wireTarget struct {
	Devices          lenient[items[text]] `json:"devices"`
	DeviceGroups     lenient[items[text]] `json:"deviceGroups"`
	DeviceType       text                 `json:"deviceType"`
	Model            text                 `json:"model"`
	ManufacturerName text                 `json:"manufacturerName"`
}

type wirePolicy struct {
	ExecuteType text   `json:"executeType"`
	StartTime   text   `json:"startTime"`
	EndTime     text   `json:"endTime"`
	RetryType   text   `json:"retryType"` // a boolean
	RetryTimes  number `json:"retryTimes"`
}

type wireResult struct {
	Total      number `json:"total"`
	Wait       number `json:"wait"`
	Processing number `json:"processing"`
	Success    number `json:"success"`
	Fail       number `json:"fail"`
	Stop       number `json:"stop"`
	Timeout    number `json:"timeout"`
}

type wireExtend struct {
	FileVersion text `json:"fileVersion"`
}

type wireSubTasks struct {
	wireTotal
	Data items[wireSubTask] `json:"data"`
}

// wireSubTask is one device of a task (documented).
type wireSubTask struct {
	SubOperationID text `json:"subOperationId"`
	DeviceID       text `json:"deviceId"`
	StopTime       text `json:"stopTime"`
	Status         text `json:"status"`
	DetailInfo     text `json:"detailInfo"`
}
