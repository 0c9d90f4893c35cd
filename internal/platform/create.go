// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// createPath is documented.
const createPath = operationsPath + "/firmwareUpgrade"

// When a task is executed (documented).
const (
	executeNow    = "now"
	executeCustom = "custom"
)

// TaskRequest is a firmware upgrade task to be created.
type TaskRequest struct {
	// PackageID is the firmware package: the platform's fileId.
	PackageID string
	// Targets are devices, or groups with all that belongs to them. Nothing of it is checked here: the platform does, and
	// refuses with a code.
	Targets Targets
	// Start and End are when the platform may upgrade, to the second; both zero: at once.
	Start, End time.Time
	// Retries is how often the platform tries failed devices again: 0–5.
	Retries int
}

// wireCreation is the body of a creation (documented). It has only what was asked for.
type wireCreation struct {
	FileID  string             `json:"fileId"`
	Targets wireCreationTarget `json:"targets"`
	Policy  wireCreationPolicy `json:"policy"`
}

type wireCreationTarget struct {
	Devices          []string `json:"devices,omitempty"`
	DeviceGroups     []string `json:"deviceGroups,omitempty"`
	DeviceType       string   `json:"deviceType,omitempty"`
	Model            string   `json:"model,omitempty"`
	ManufacturerName string   `json:"manufacturerName,omitempty"`
}

type wireCreationPolicy struct {
	ExecuteType string `json:"executeType"`
	StartTime   string `json:"startTime,omitempty"`
	EndTime     string `json:"endTime,omitempty"`
	RetryType   bool   `json:"retryType,omitempty"`
	RetryTimes  int    `json:"retryTimes,omitempty"`
}

// wireCreated is the answer to a creation (documented).
type wireCreated struct {
	OperationID text `json:"operationId"`
}

// CreateTask has the platform create a firmware upgrade task, and returns its operationId. It asks once, on a
// connection of its own, and never again by itself: not with another token, not when there was no answer. What an error
// says of the task tells Creation.
//
// The context bounds the waiting as well: a call whose context ends before it is sent is not sent. ready is asked last,
// when the connection stands and nothing of the request was written; with its error nothing is. It must not block; nil
// is always ready.
func (c *Client) CreateTask(ctx context.Context, r TaskRequest, ready func() error) (operationID string, err error) {
	body, err := json.Marshal(r.wire())
	if err != nil {
		return "", err // of texts and numbers
	}
	p := &posting{ready: ready}
	status, answer, err := c.call(ctx, request{
		name: CallCreateTask, priority: PriorityCreate, method: http.MethodPost, path: createPath,
		contentType: contentJSON, body: body, posting: p,
	})
	if err != nil {
		return "", creationFailed(err, p.sent)
	}
	return c.createdID(status, answer)
}

func (r TaskRequest) wire() wireCreation {
	w := wireCreation{
		FileID: r.PackageID,
		Targets: wireCreationTarget{
			Devices: distinct(r.Targets.Devices), DeviceGroups: distinct(r.Targets.DeviceGroups),
			DeviceType: r.Targets.DeviceType, Model: r.Targets.Model, ManufacturerName: r.Targets.ManufacturerName,
		},
		Policy: wireCreationPolicy{ExecuteType: executeNow, RetryType: r.Retries > 0, RetryTimes: r.Retries},
	}
	if !r.Start.IsZero() || !r.End.IsZero() {
		w.Policy.ExecuteType = executeCustom
		w.Policy.StartTime, w.Policy.EndTime = formatTime(r.Start), formatTime(r.End)
	}
	return w
}

// distinct returns names in their order, each once: the platform may count one that is named twice as two.
func distinct(names []string) []string {
	seen := make(map[string]bool, len(names))
	var kept []string
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			kept = append(kept, name)
		}
	}
	return kept
}

// createdID returns the id of the task that was created. One that can't be told and asked for as it is, is none: what
// the platform created is found by looking.
func (c *Client) createdID(status int, answer []byte) (string, error) {
	var created wireCreated
	err := json.Unmarshal(answer, &created)
	id := string(created.OperationID)
	switch {
	case err != nil:
	case status != http.StatusOK && status != http.StatusCreated: // others are not documented
		err = errors.New("the status is neither 200 nor 201")
	case id == "":
		err = errors.New("it has no operationId")
	case !isOperationID(id), c.redactor.id(id) != id:
		err = errors.New("what it has as operationId can't be one")
	}
	if err != nil {
		failure := c.unreadable(CallCreateTask, err)
		failure.HTTPStatus = status
		return "", failure
	}
	return id, nil
}

// isOperationID says whether a text came whole, and can be the id of a task.
func isOperationID(id string) bool {
	switch id {
	case ".", "..", "true", "false": // other paths, and what JSON has instead of a text
		return false
	}
	return len(id) <= storage.MaxIDBytes && strings.TrimFunc(id, result.IsPadding) == id &&
		!strings.ContainsFunc(id, result.IsHidden) && !strings.ContainsRune(id, utf8.RuneError)
}
