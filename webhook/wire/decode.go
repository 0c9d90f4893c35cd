// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// message is everything the operator reads of a push, in one pass. encoding/json matches keys without regard to case
// and skips those it doesn't know.
type message struct {
	NotifyType     value   `json:"notifyType"`
	DeviceID       idValue `json:"deviceId"`
	AppID          idValue `json:"appId"`
	OperationID    idValue `json:"operationId"`
	SubOperationID idValue `json:"subOperationId"`
	Status         value   `json:"status"`
	Step           value   `json:"step"`
	CurVersion     value   `json:"curVersion"`
	TargetVersion  value   `json:"targetVersion"`
	SourceVersion  value   `json:"sourceVersion"`
	StatusDesc     value   `json:"statusDesc"`
	StepDesc       value   `json:"stepDesc"`
	UpgradeTime    value   `json:"upgradeTime"`
	// CommandID and Resource tell the callbacks without a notifyType apart.
	CommandID value `json:"commandId"`
	Resource  value `json:"resource"`
}

// maxBesideBytes is how large a body is at most that is decoded beside others: four times the platform's largest.
const maxBesideBytes = 4 << 10

// Decoder decodes pushes. What takes several times the memory of a body, because it is large or has to be repaired, is
// decoded one at a time, so that its memory is fixed however many arrive. The zero value is ready.
type Decoder struct {
	mu    sync.Mutex
	fixed []byte
}

// Decode decodes one push as a Decoder does.
func Decode(body []byte) (Notification, error) { return new(Decoder).Decode(body) }

// Decode reads one push, as far as it can be read without a doubt. The error is an *Unusable for every body that is the
// operator's or nobody's; bodies that are another receiver's decode to KindOther, whatever else is in them.
//
// What identifies a notification (type, ids, status or step) has to be there, once: of a key that stands several times,
// in whatever case, all values must mean the same. What describes it costs nothing: what can't be read is replaced or
// left out, of several values the last one counts, and a version is marked as one that could not be read. The decoded
// values alone are looked at, stored and compared with the credentials, so that nothing can be smuggled past them.
func (d *Decoder) Decode(body []byte) (Notification, error) {
	if len(body) <= maxBesideBytes {
		if m, err := parse(withoutPadding(body)); !isNotJSON(err) {
			return m.decoded(err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m, err := d.parse(plainText(body))
	return m.decoded(err)
}

// decoded returns what a message says, unless it could not be parsed.
func (m *message) decoded(err error) (Notification, error) {
	if err != nil {
		return Notification{}, err
	}
	kind, name := classify(m)
	switch {
	case m.NotifyType.contradicts:
		return Notification{}, unusable("notifyType stands there several times, with different values")
	case kind == KindOther && result.Unclear(m.NotifyType.text) != "":
		// It may be one of the operator's, so that it must not be ignored.
		return Notification{}, unusable("notifyType %s", result.Unclear(m.NotifyType.text))
	case kind == KindOther && name != "":
		return Notification{Kind: KindOther, Type: name}, nil
	case kind == KindOther && m.NotifyType.odd != "":
		return Notification{}, unusable("notifyType is a JSON %s, not a string", m.NotifyType.odd)
	case kind == KindOther:
		return Notification{}, unusable("notifyType is missing")
	}
	return m.notification(kind)
}

// parse reads the JSON of a body, made good where that leaves no doubt.
func (d *Decoder) parse(text []byte) (message, error) {
	m, err := parse(text)
	for _, pairs := range [...]bool{false, true} {
		if !isNotJSON(err) || pairs && utf8.Valid(text) {
			break
		}
		var mended bool
		if d.fixed, mended = repaired(d.fixed[:0], text, pairs); !mended {
			continue
		}
		if fixed, err := parse(d.fixed); err == nil {
			return fixed, nil
		}
	}
	return m, err
}

// isNotJSON says whether the error is that of a body that is no JSON as it is.
func isNotJSON(err error) bool {
	problem, ok := errors.AsType[*Unusable](err)
	return ok && problem.NotJSON
}

// parse reads the JSON of a text as it is.
func parse(text []byte) (message, error) {
	var m message
	err := json.Unmarshal(text, &m)
	if wrongType, isWrongType := errors.AsType[*json.UnmarshalTypeError](err); isWrongType {
		return message{}, unusable("the body is a JSON %s, not an object", result.Quote(wrongType.Value))
	}
	if err != nil {
		problem := unusable("the body is not JSON: %s", err)
		problem.NotJSON = true
		return message{}, problem
	}
	return m, nil
}

// classify says whose a message is. The name is empty when that can't be said. Without a notifyType a message is
// another receiver's only if it has nothing of the operator's.
func classify(m *message) (Kind, string) {
	name := result.Quote(m.NotifyType.text)
	switch {
	case m.NotifyType.odd != "":
		return KindOther, ""
	case strings.EqualFold(name, typeResult):
		return KindResult, typeResult
	case strings.EqualFold(name, typeStateChange):
		return KindStateChange, typeStateChange
	case name != "":
		return KindOther, name
	case m.OperationID.text != "":
		return KindOther, ""
	case m.CommandID.text != "":
		return KindOther, "command status"
	case m.Resource.text != "":
		return KindOther, "resource " + result.Quote(m.Resource.text)
	}
	return KindOther, ""
}

// notification checks what identifies a notification of ours and cleans what describes it.
func (m *message) notification(kind Kind) (Notification, error) {
	n := Notification{Kind: kind}
	ids := [...]struct {
		key      string
		value    *idValue
		to       *string
		optional bool
	}{
		{"operationId", &m.OperationID, &n.OperationID, false},
		{"deviceId", &m.DeviceID, &n.DeviceID, false},
		{"subOperationId", &m.SubOperationID, &n.SubOperationID, true},
		{"appId", &m.AppID, &n.AppID, true},
	}
	for _, i := range ids {
		if i.optional && *i.value == (idValue{}) {
			continue
		}
		id, problem := i.value.id()
		if problem != "" {
			return Notification{}, unusable("%s %s", i.key, problem)
		}
		*i.to = id
	}
	state, err := m.state(kind)
	if err != nil {
		return Notification{}, err
	}
	desc := m.StatusDesc
	if kind == KindStateChange {
		desc = m.StepDesc
	}
	n.ResultFields = storage.ResultFields{
		State:         state,
		TargetVersion: m.TargetVersion.version(),
		SourceVersion: m.SourceVersion.version(),
		CurVersion:    m.CurVersion.version(),
		StatusDesc:    result.Clean(desc.text, storage.MaxStatusDescBytes),
		UpgradeTime:   result.Clean(m.UpgradeTime.text, storage.MaxUpgradeTimeBytes),
	}
	return n, nil
}

// state maps status or step to how far the device got.
func (m *message) state(kind Kind) (storage.State, error) {
	key, said, states, allowed := "status", &m.Status, statusState, "SUCCESS or FAIL"
	if kind == KindStateChange {
		key, said, states, allowed = "step", &m.Step, stepState, "0, 1, 2 or 3"
	}
	switch {
	case said.contradicts:
		return "", unusable("%s stands there several times, with different values", key)
	case said.hasNoText():
		return "", unusable("%s is a JSON %s, not %s", key, said.odd, allowed)
	case said.text == "":
		return "", unusable("%s is missing", key)
	}
	state := states(said.text)
	if state == "" {
		return "", unusable("%s is %q, not %s", key, result.Quote(said.text), allowed)
	}
	return state, nil
}

// statusState is empty for an unknown status.
func statusState(status string) storage.State {
	switch {
	case strings.EqualFold(status, "SUCCESS"):
		return storage.StateSucceeded
	case strings.EqualFold(status, "FAIL"):
		return storage.StateFailed
	}
	return ""
}

// stepState is empty for an unknown step.
func stepState(step string) storage.State {
	switch withoutFraction(step) {
	case "0":
		return storage.StateIdle
	case "1":
		return storage.StateDownloading
	case "2":
		return storage.StateDownloaded
	case "3":
		return storage.StateUpdating
	}
	return ""
}

func unusable(format string, args ...any) *Unusable {
	return &Unusable{Reason: result.Clean(fmt.Sprintf(format, args...), storage.MaxRejectedReasonBytes)}
}
