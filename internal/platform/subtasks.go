// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"net/url"
	"time"
)

// SubTaskStatus is the state of a sub-task, as the platform names it. A word that is not known is kept as it came.
type SubTaskStatus string

// The states of a sub-task (documented). A task that failed is "failed", a sub-task "fail".
const (
	SubTaskWaiting    SubTaskStatus = "wait"
	SubTaskProcessing SubTaskStatus = "processing"
	SubTaskFailed     SubTaskStatus = "fail"
	SubTaskSucceeded  SubTaskStatus = "success"
	SubTaskStopped    SubTaskStatus = "stop"
	// SubTaskTimeout is inferred from the figures of a task, which count timeouts.
	SubTaskTimeout SubTaskStatus = "timeout"
)

// SubTask is the upgrade of one device. Times are zero where the platform gave none.
type SubTask struct {
	SubOperationID string // empty where the platform gave none
	DeviceID       string
	StopTime       time.Time
	Status         SubTaskStatus
	// DetailInfo is the cause of a failure, in words.
	DetailInfo string
}

// SubTaskPage is a page of sub-tasks. Pages may shift while devices move from one state to another, so that a page
// proves nothing about sub-tasks that are not in it. There is none behind a page without Items; how many a page has
// before may be the platform's choice.
type SubTaskPage struct {
	SubTasks []SubTask
	// Items is how many sub-tasks the page has as it came, Unusable how many of them are not in SubTasks: they name no
	// device, or have an id that no notification could have, or one with a secret in it.
	Items, Unusable int
	// Total is how many sub-tasks all pages have, by the platform's own count; -1 where it gave none.
	Total int64
}

// SubTasks gets a page of the sub-tasks of a task, the first one being 0; with a status only those of this one.
func (c *Client) SubTasks(
	ctx context.Context, operationID, status string, pageNo int, p Priority,
) (SubTaskPage, error) {
	path, err := c.operationPath(CallListSubTasks, operationID)
	if err != nil {
		return SubTaskPage{}, err
	}
	query := url.Values{}
	if status != "" {
		query.Set("subOperationStatus", status)
	}
	var answer wireSubTasks
	r := request{name: CallListSubTasks, priority: p, path: path + "/subOperations", query: paged(query, pageNo)}
	if _, err := c.getList(ctx, r, &answer, &answer.Data.more); err != nil {
		return SubTaskPage{}, err
	}
	result := SubTaskPage{Items: len(answer.Data.read), Total: -1}
	if total := answer.total(); total.known {
		result.Total = total.value
	}
	for _, w := range answer.Data.read {
		if s, usable := c.subTask(w); usable {
			result.SubTasks = append(result.SubTasks, s)
		} else {
			result.Unusable++
		}
	}
	return result, nil
}

// subTask returns a sub-task, if it can be told from others.
func (c *Client) subTask(w wireSubTask) (s SubTask, usable bool) {
	deviceID, subOperationID := c.redactor.id(string(w.DeviceID)), c.redactor.id(string(w.SubOperationID))
	if deviceID == "" || subOperationID == "" && w.SubOperationID != "" {
		return SubTask{}, false
	}
	return SubTask{
		SubOperationID: subOperationID,
		DeviceID:       deviceID,
		StopTime:       parseTime(w.StopTime),
		Status: word(c.redactor, string(w.Status),
			SubTaskWaiting, SubTaskProcessing, SubTaskFailed, SubTaskSucceeded, SubTaskStopped, SubTaskTimeout),
		DetailInfo: c.redactor.clean(string(w.DetailInfo), maxTextBytes),
	}, true
}
