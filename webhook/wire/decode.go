// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// message is everything the operator reads of a push, in one pass. encoding/json matches keys without regard to case
// and skips those it doesn't know.
//
// The identifying fields are plain strings: another type makes a notification of ours unusable, as two spellings of a
// number could make one device two. The descriptive ones take what comes, as they must not cost a result.
type message struct {
	NotifyType     string `json:"notifyType"`
	DeviceID       string `json:"deviceId"`
	AppID          string `json:"appId"`
	OperationID    string `json:"operationId"`
	SubOperationID string `json:"subOperationId"`
	Status         loose  `json:"status"`
	Step           loose  `json:"step"`
	CurVersion     loose  `json:"curVersion"`
	TargetVersion  loose  `json:"targetVersion"`
	SourceVersion  loose  `json:"sourceVersion"`
	StatusDesc     loose  `json:"statusDesc"`
	StepDesc       loose  `json:"stepDesc"`
	UpgradeTime    loose  `json:"upgradeTime"`
	// CommandID and Resource tell the callbacks without a notifyType apart.
	CommandID loose `json:"commandId"`
	Resource  loose `json:"resource"`
}

// Decode reads one push. The error is an *Unusable for every body that is the operator's or nobody's; bodies that are
// another receiver's decode to KindOther, whatever else is in them.
//
// Of a key that stands several times, in whatever case, the last value that is not null counts, as encoding/json has
// it. The decoded value alone is looked at, stored and compared with the credentials, so the repetition can't smuggle
// anything past them.
func Decode(body []byte) (Notification, error) {
	var m message
	err := json.Unmarshal(body, &m)
	wrongType, isWrongType := errors.AsType[*json.UnmarshalTypeError](err)
	if err != nil && !isWrongType {
		return Notification{}, unusable("the body is not JSON: %s", err)
	}
	if isWrongType && wrongType.Field == "" {
		return Notification{}, unusable("the body is a JSON %s, not an object", quote(wrongType.Value))
	}
	kind, name := classify(&m)
	switch {
	case kind == KindOther && name != "":
		return Notification{Kind: KindOther, Type: name}, nil
	case isWrongType:
		return Notification{}, unusable("%s is a JSON %s, not a string", quote(wrongType.Field), quote(wrongType.Value))
	case kind == KindOther:
		return Notification{}, unusable("notifyType is missing")
	}
	return m.notification(kind)
}

// classify says whose a message is. The name is empty when that can't be said.
func classify(m *message) (Kind, string) {
	switch {
	case strings.EqualFold(m.NotifyType, typeResult):
		return KindResult, typeResult
	case strings.EqualFold(m.NotifyType, typeStateChange):
		return KindStateChange, typeStateChange
	case m.NotifyType != "":
		return KindOther, quote(m.NotifyType)
	case m.CommandID != "":
		return KindOther, "command status"
	case m.Resource != "":
		return KindOther, "resource " + quote(string(m.Resource))
	}
	return KindOther, ""
}

// notification checks what identifies a notification of ours and cuts what describes it.
func (m *message) notification(kind Kind) (Notification, error) {
	ids := [...]struct {
		key, value string
		required   bool
	}{
		{"operationId", m.OperationID, true},
		{"deviceId", m.DeviceID, true},
		{"subOperationId", m.SubOperationID, false},
		{"appId", m.AppID, false},
	}
	for _, id := range ids {
		if id.value == "" && !id.required {
			continue
		}
		if problem := checkID(id.value); problem != "" {
			return Notification{}, unusable("%s %s", id.key, problem)
		}
	}
	state, err := m.state(kind)
	if err != nil {
		return Notification{}, err
	}
	desc := m.StatusDesc
	if kind == KindStateChange {
		desc = m.StepDesc
	}
	return Notification{
		Kind:           kind,
		AppID:          m.AppID,
		OperationID:    m.OperationID,
		SubOperationID: m.SubOperationID,
		DeviceID:       m.DeviceID,
		ResultFields: storage.ResultFields{
			State:         state,
			TargetVersion: cut(m.TargetVersion, storage.MaxVersionBytes),
			SourceVersion: cut(m.SourceVersion, storage.MaxVersionBytes),
			CurVersion:    cut(m.CurVersion, storage.MaxVersionBytes),
			StatusDesc:    cut(desc, storage.MaxStatusDescBytes),
			UpgradeTime:   cut(m.UpgradeTime, storage.MaxUpgradeTimeBytes),
		},
	}, nil
}

// state maps status or step to how far the device got.
func (m *message) state(kind Kind) (storage.State, error) {
	if kind == KindStateChange {
		switch strings.TrimSpace(string(m.Step)) {
		case "0":
			return storage.StateIdle, nil
		case "1":
			return storage.StateDownloading, nil
		case "2":
			return storage.StateDownloaded, nil
		case "3":
			return storage.StateUpdating, nil
		case "":
			return "", unusable("step is missing")
		}
		return "", unusable("step is %q, not 0, 1, 2 or 3", quote(string(m.Step)))
	}
	status := strings.TrimSpace(string(m.Status))
	switch {
	case strings.EqualFold(status, "SUCCESS"):
		return storage.StateSucceeded, nil
	case strings.EqualFold(status, "FAIL"):
		return storage.StateFailed, nil
	case status == "":
		return "", unusable("status is missing")
	}
	return "", unusable("status is %q, not SUCCESS or FAIL", quote(status))
}

// cut copies what it cuts, as the rest of a large value would stay in memory with it.
func cut(value loose, maxBytes int) string {
	if len(value) <= maxBytes {
		return string(value)
	}
	return strings.Clone(result.CutString(string(value), maxBytes))
}

func unusable(format string, args ...any) *Unusable {
	return &Unusable{Reason: result.CutString(fmt.Sprintf(format, args...), storage.MaxRejectedReasonBytes)}
}
