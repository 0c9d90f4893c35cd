// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// The types of the notifications about firmware.
const (
	ResultNotify      = "fwUpgradeResultNotify"
	StateChangeNotify = "fwUpgradeStateChangeNotify"
)

// What a result's statusDesc says of a success.
const successDesc = "The device upgrade is successful"

// ResultBody is a fwUpgradeResultNotify, its keys in the documented order.
type ResultBody struct {
	NotifyType     string          `json:"notifyType"`
	DeviceID       string          `json:"deviceId"`
	AppID          string          `json:"appId"`
	OperationID    string          `json:"operationId"`
	SubOperationID string          `json:"subOperationId"`
	CurVersion     json.RawMessage `json:"curVersion,omitempty"`
	TargetVersion  string          `json:"targetVersion"`
	SourceVersion  string          `json:"sourceVersion"`
	Status         string          `json:"status"`
	StatusDesc     string          `json:"statusDesc"`
	UpgradeTime    json.RawMessage `json:"upgradeTime"`
}

// StateChangeBody is a fwUpgradeStateChangeNotify.
type StateChangeBody struct {
	NotifyType     string `json:"notifyType"`
	DeviceID       string `json:"deviceId"`
	AppID          string `json:"appId"`
	OperationID    string `json:"operationId"`
	SubOperationID string `json:"subOperationId"`
	Step           string `json:"step"`
	StepDesc       string `json:"stepDesc"`
}

// Body returns the body of the notification with the number i: compact JSON. A repetition has the same bytes.
func (p *Plan) Body(i int) ([]byte, error) {
	n := p.At(i)
	var content any
	if n.Kind < Fail {
		content = p.stateChange(n)
	} else {
		content = p.result(n)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode notification %d: %w", i, err)
	}
	return body, nil
}

func (p *Plan) stateChange(n Notification) StateChangeBody {
	return StateChangeBody{
		NotifyType:     StateChangeNotify,
		DeviceID:       p.DeviceID(n.Device),
		AppID:          p.options.AppID,
		OperationID:    p.OperationID(n.Task),
		SubOperationID: p.subOperationID(n.Device, n.Attempt),
		Step:           strconv.Itoa(int(n.Kind)),
		StepDesc:       n.Kind.StepDesc(),
	}
}

func (p *Plan) result(n Notification) ResultBody {
	body := ResultBody{
		NotifyType:     ResultNotify,
		DeviceID:       p.DeviceID(n.Device),
		AppID:          p.options.AppID,
		OperationID:    p.OperationID(n.Task),
		SubOperationID: p.subOperationID(n.Device, n.Attempt),
		TargetVersion:  p.options.TargetVersion,
		SourceVersion:  p.options.SourceVersion,
		UpgradeTime:    upgradeTime(n),
	}
	if n.Kind == Success {
		body.Succeed()
		return body
	}
	_, text := p.failureOf(n.Device)
	body.Fail(text)
	// Whether a failure carries the current version is documented nowhere: all three ways.
	switch n.Device % 3 {
	case 0:
		body.CurVersion = quoted(p.options.SourceVersion)
	case 1:
		body.CurVersion = json.RawMessage("null")
	}
	return body
}

// Succeed makes it say that the device has its target version.
func (b *ResultBody) Succeed() {
	b.Status, b.StatusDesc = "SUCCESS", successDesc
	b.CurVersion = quoted(b.TargetVersion)
}

// Fail makes it say that the upgrade failed, and why. It names no current version.
func (b *ResultBody) Fail(why string) { b.Status, b.StatusDesc = "FAIL", why }

// StepDesc is the platform's name of a step.
func (k Kind) StepDesc() string {
	return [...]string{"idle", "downloading", "downloaded", "updating"}[k]
}

// upgradeTime is a string on some of the platform's pages and a number on others, so it is both.
func upgradeTime(n Notification) json.RawMessage {
	duration := strconv.Itoa(30 + n.Device*7%570)
	if n.Device%4 == 0 {
		return json.RawMessage(duration)
	}
	return quoted(duration)
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil { // a string can always be encoded
		return json.RawMessage(`""`)
	}
	return b
}
