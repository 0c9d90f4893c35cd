// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import "net/http"

// source is how something is known.
type source string

const (
	documented source = "documented"
	inferred   source = "inferred"
)

// errorCode is an error that the platform answers.
type errorCode struct {
	status int
	text   string
	known  source
}

// The codes that are used here. Text and status of the documented ones are those of the pages.
const (
	codeParameterMissing = "102202"  // login
	codeWrongSecret      = "100208"  // login
	codeInvalidToken     = "1010005" // everywhere
	codeThrottled        = "1010009" // everywhere
	codeInternal         = "50252"   // everywhere
	codeIllegalURL       = "100222"  // subscriptions
	codeNotFound         = "100225"
	codeConflict         = "100227"
	codeInvalidInput     = "100228"
	codeBadRequest       = "120015" // operations
	codeUnknownTask      = "123009"
	codeWrongTarget      = "123016"
	codeNoManufacturer   = "123019"
	codeNoDeviceType     = "123020"
	codeNoModel          = "123021"
	codeNoTargets        = "123022"
	codeTwoTargets       = "123023"
	codeTooManyTargets   = "123024"
	codeExecuteType      = "123025"
	codeWindow           = "123026"
	codeRetryTimes       = "123028"
	codePaging           = "123029"
	codeWindowOrder      = "123032"
	codeWindowPast       = "123033"
	codeUnknownPath      = "404"
)

// errorCodes says of every code what it is answered with.
//
//nolint:gochecknoglobals // A constant table.
var errorCodes = map[string]errorCode{
	codeParameterMissing: {http.StatusBadRequest, "Required Parameter is null or empty.", documented},
	codeWrongSecret:      {http.StatusUnauthorized, "AppId or secret is not right.", documented},
	codeInvalidToken:     {http.StatusForbidden, "Invalid access token or appId.", documented},
	codeThrottled:        {http.StatusForbidden, "app throttle exceed.", documented},
	codeInternal:         {http.StatusInternalServerError, "Internal server error.", documented},
	codeIllegalURL:       {http.StatusBadRequest, "The request callbackurl is illegal.", documented},
	codeNotFound:         {http.StatusNotFound, "The resource is not found", documented},
	// Documented for subscriptions to devices' data, inferred for those to upgrades.
	codeConflict:     {http.StatusConflict, "The resource is conflicted.", inferred},
	codeInvalidInput: {http.StatusBadRequest, "The application input is invalid.", documented},
	codeBadRequest:   {http.StatusBadRequest, "Bad request error.", documented},
	codeUnknownTask:  {http.StatusNotFound, "The requested task does not exist.", documented},
	codeWrongTarget: {
		http.StatusBadRequest, "The parameter is error, targetversion not match with device.", documented,
	},
	codeNoManufacturer: {http.StatusBadRequest, "manufacturerName is null.", documented},
	codeNoDeviceType:   {http.StatusBadRequest, "deviceType is null", documented},
	codeNoModel:        {http.StatusBadRequest, "model is null.", documented},
	codeNoTargets:      {http.StatusBadRequest, "deviceGroups and devices cannot be null together", documented},
	codeTwoTargets:     {http.StatusBadRequest, "deviceGroups and devices cannot be exist together", documented},
	codeTooManyTargets: {http.StatusBadRequest, "The number of deviceGroups or devices reached upper limit", documented},
	codeExecuteType:    {http.StatusBadRequest, "executeType is error or can not to be null.", documented},
	codeWindow:         {http.StatusBadRequest, "startTime or endTime is null or error.", documented},
	codeRetryTimes:     {http.StatusBadRequest, "retryTimes is null or beyond the limit.", documented},
	codePaging:         {http.StatusBadRequest, "pageNo or pageSize beyond the limit.", documented},
	codeWindowOrder:    {http.StatusBadRequest, "startTime can not be later than the endTime.", documented},
	codeWindowPast:     {http.StatusBadRequest, "startTime can not be earlier than the now.", documented},
	codeUnknownPath:    {http.StatusNotFound, "No such API.", inferred},
}

// errorBody is the answer of an error. Documented.
type errorBody struct {
	Code string `json:"error_code"`
	Text string `json:"error_desc"`
}

// refuse answers with an error.
func refuse(code string) answer { return refuseBecause(code, "") }

// refuseBecause answers with an error that says more than its code does.
func refuseBecause(code, detail string) answer {
	known := errorCodes[code]
	text := known.text
	if detail != "" {
		text += " " + detail
	}
	return answer{status: known.status, code: code, body: errorBody{Code: code, Text: text}}
}

// beyond answers 400 to what the documents don't have. The text says what it is.
func beyond(code, what string) answer {
	a := refuseBecause(code, "Not in the documents: "+what)
	a.beyond = what
	return a
}
