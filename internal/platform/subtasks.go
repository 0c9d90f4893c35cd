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
	SubOperationID string
	// DeviceID is empty where an id of the sub-task can't be used: it holds a secret.
	DeviceID   string
	CreateTime time.Time
	StartTime  time.Time
	StopTime   time.Time
	Status     SubTaskStatus
	// DetailInfo is the cause of a failure, in words.
	DetailInfo string
}

// SubTaskPage is a page of sub-tasks: at most 100, and none behind the last one. Pages may shift while devices move
// from one state to another, so that a page proves nothing about sub-tasks that are not in it.
type SubTaskPage struct {
	SubTasks []SubTask
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
	if _, err := c.get(ctx, r, &answer); err != nil {
		return SubTaskPage{}, err
	}
	result := SubTaskPage{Total: -1}
	if total := answer.total(); total.known {
		result.Total = total.value
	}
	for _, w := range answer.Data {
		result.SubTasks = append(result.SubTasks, c.subTask(w))
	}
	return result, nil
}

func (c *Client) subTask(w wireSubTask) SubTask {
	deviceID, subOperationID := c.redactor.id(string(w.DeviceID)), c.redactor.id(string(w.SubOperationID))
	if subOperationID == "" && w.SubOperationID != "" {
		deviceID = ""
	}
	return SubTask{
		SubOperationID: subOperationID,
		DeviceID:       deviceID,
		CreateTime:     parseTime(w.CreateTime),
		StartTime:      parseTime(w.StartTime),
		StopTime:       parseTime(w.StopTime),
		Status: word(c.redactor, string(w.Status),
			SubTaskWaiting, SubTaskProcessing, SubTaskFailed, SubTaskSucceeded, SubTaskStopped, SubTaskTimeout),
		DetailInfo: c.redactor.clean(string(w.DetailInfo), maxTextBytes),
	}
}
