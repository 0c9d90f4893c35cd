// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"encoding/json"
	"strconv"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// notifyStep tells the subscribers that a device reached a step. Documented.
func (s *Server) notifyStep(t *task, i int, step platform.Kind, at time.Time) {
	d := &t.devices[i]
	s.notify(t, i, platform.StateChangeNotify, step.StepDesc(), platform.StateChangeBody{
		NotifyType: platform.StateChangeNotify, DeviceID: d.id, AppID: s.options.AppID, OperationID: t.id,
		SubOperationID: s.options.subOperationID(t.id, d.id, d.attempt),
		Step:           strconv.Itoa(int(step)), StepDesc: step.StepDesc(),
	}, at)
}

// notifyResult tells the subscribers how a sub-task ended. Documented. Inferred: every attempt is told.
func (s *Server) notifyResult(t *task, i int, sourceVersion string, at time.Time) {
	d := &t.devices[i]
	body := platform.ResultBody{
		NotifyType: platform.ResultNotify, DeviceID: d.id, AppID: s.options.AppID, OperationID: t.id,
		SubOperationID: s.options.subOperationID(t.id, d.id, d.attempt),
		TargetVersion:  t.version, SourceVersion: sourceVersion, UpgradeTime: upgradeTime(d, i),
	}
	if d.status == statusSuccess {
		body.Succeed()
	} else {
		body.Fail(d.detail)
		// Whether a failure has the current version is documented nowhere: both ways.
		if i%2 == 0 {
			body.CurVersion = json.RawMessage(strconv.Quote(sourceVersion))
		}
	}
	d.pushes.Due++
	s.notify(t, i, platform.ResultNotify, d.status, body, at)
}

// upgradeTime is a string on some pages and a number on others: both ways.
func upgradeTime(d *device, i int) json.RawMessage {
	seconds := 0
	if !d.started.IsZero() {
		seconds = int(d.stopped.Sub(d.started).Seconds())
	}
	text := strconv.Itoa(seconds)
	if i%4 != 0 {
		text = strconv.Quote(text)
	}
	return json.RawMessage(text)
}

// notify has a notification pushed to every subscriber, as the faults will have it. What selects it for a fault is
// what it says, and not when it is pushed.
func (s *Server) notify(t *task, i int, notifyType, what string, body any, at time.Time) {
	subscribers := s.subscriptions.of(notifyType)
	counts := &s.ledger.report.Pushes
	if len(subscribers) == 0 {
		counts.Unsubscribed++
		return
	}
	content, err := json.Marshal(body)
	if err != nil { // no body has anything that can't be encoded
		return
	}
	d := &t.devices[i]
	for _, to := range subscribers {
		counts.Due++
		name := t.id + " " + d.id + " " + what + " " + strconv.Itoa(int(d.attempt)) + " " + to.ID
		if s.faults.hitPush("pushLost", name) {
			counts.Lost++
			if notifyType == platform.ResultNotify {
				d.pushes.Lost++
			}
			continue
		}
		p := push{at: at, due: at, to: to, body: content, task: t, device: i, result: notifyType == platform.ResultNotify}
		if s.faults.hitPush("pushLate", name) {
			counts.Late++
			p.due = at.Add(time.Duration(s.faults.current.PushLate.Delay))
		}
		s.pushes.add(p, s.options.Push)
		if s.faults.hitPush("pushDoubled", name) {
			counts.Doubled++
			s.pushes.add(p, s.options.Push)
		}
	}
}
