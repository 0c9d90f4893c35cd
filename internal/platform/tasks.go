// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fwupgrade.io/operator/internal/result"
)

const (
	operationsPath  = "/iodm/northbound/v1.5.0/operations"
	firmwareUpgrade = "firmware_upgrade"
)

// TaskStatus is the state of a task, as the platform names it. A word that is not known is kept as it came.
type TaskStatus string

// The states of a task (documented). Failed is not final while the platform has retries left, which begin when the
// whole task has failed.
const (
	TaskWaiting    TaskStatus = "wait"
	TaskProcessing TaskStatus = "processing"
	TaskFailed     TaskStatus = "failed"
	TaskSucceeded  TaskStatus = "success"
	TaskStopped    TaskStatus = "stop"
)

// Task is a firmware upgrade task of the platform. Times are zero where the platform gave none.
type Task struct {
	OperationID string
	CreateTime  time.Time
	Status      TaskStatus
	// Targets are not told in a list that is not filtered by them.
	Targets Targets
	Policy  Policy
	// FileVersion is the version of the package. Its id is not told.
	FileVersion string
	Result      StaResult
}

// Targets are the devices of a task, or the groups and what they are of.
type Targets struct {
	Devices          []string
	DeviceGroups     []string
	DeviceType       string
	Model            string
	ManufacturerName string
}

// Policy is when the platform upgrades, and how often it tries.
type Policy struct {
	ExecuteType string // now or custom (documented)
	StartTime   time.Time
	EndTime     time.Time
	Retry       bool
	RetryTimes  int64
}

// StaResult counts the devices of a task by their states. Where the platform gave no such counts it is zero.
type StaResult struct {
	Total, Wait, Processing, Success, Fail, Stop, Timeout int64
}

// withoutTimeout is the sum of all states but timeouts.
func (r StaResult) withoutTimeout() int64 { return r.Wait + r.Processing + r.Success + r.Fail + r.Stop }

// Failed returns how many devices failed: fail and stop. Whether timeouts are counted within fail or beside it is not
// documented: they are added where only so all states add up to the total.
func (r StaResult) Failed() int64 {
	if r.withoutTimeout() != r.Total && r.withoutTimeout()+r.Timeout == r.Total {
		return r.Fail + r.Stop + r.Timeout
	}
	return r.Fail + r.Stop
}

// AddsUp says whether the states add up to the total, of one device at least. Else the counts are not to be relied on.
func (r StaResult) AddsUp() bool {
	return r.Total > 0 && (r.withoutTimeout() == r.Total || r.withoutTimeout()+r.Timeout == r.Total)
}

// TaskFilter is what tasks are listed by (documented); what is empty does not filter. The status is for following
// tasks. The rest is for finding one that was created: with any of it tasks have their Targets, which are by far the
// most of a task and nothing for who only looks how far it is.
type TaskFilter struct {
	Status           string // a TaskStatus
	DeviceID         string
	DeviceType       string
	Model            string
	ManufacturerName string
}

func (f TaskFilter) query() url.Values {
	query := url.Values{"operationType": {firmwareUpgrade}}
	for name, value := range map[string]string{
		"operationStatus": f.Status, "deviceId": f.DeviceID, "deviceType": f.DeviceType, "model": f.Model,
		"manufacturerName": f.ManufacturerName,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// byTargets says whether tasks are listed by what they are for.
func (f TaskFilter) byTargets() bool { return f != TaskFilter{Status: f.Status} }

// TaskList is a list of tasks.
type TaskList struct {
	Tasks []Task
	// Complete says whether these are all, by the platform's own count. A list that is not complete proves nothing about
	// tasks that are not in it.
	Complete bool
	// Calls is how many pages were asked for.
	Calls int
}

// Tasks lists firmware upgrade tasks, all pages. With an error there may be tasks, too. A task whose id no notification
// could have is left out, and the list is not complete then.
func (c *Client) Tasks(ctx context.Context, filter TaskFilter, p Priority) (list TaskList, err error) {
	var all []taskItem
	all, list.Complete, list.Calls, err = readPages(taskID, func(pageNo int) (page[taskItem], error) {
		return c.tasksPage(ctx, filter, pageNo, p)
	})
	for _, item := range all {
		// A platform may know other operations, and not filter by the type.
		if item.operateType == "" || item.operateType == firmwareUpgrade {
			list.Tasks = append(list.Tasks, item.Task)
		}
	}
	return list, err
}

// taskItem is a task of a list, in which there may be operations of other types.
type taskItem struct {
	Task
	operateType string
}

func taskID(t taskItem) string { return t.OperationID }

func (c *Client) tasksPage(ctx context.Context, f TaskFilter, pageNo int, p Priority) (page[taskItem], error) {
	var answer wireTasks
	size, err := c.getList(ctx, request{
		name: CallListTasks, priority: p, path: operationsPath, query: paged(f.query(), pageNo),
	}, &answer, &answer.Data.more)
	items := make([]taskItem, len(answer.Data.read))
	for i, w := range answer.Data.read {
		if !f.byTargets() {
			w.Targets = nil
		}
		items[i] = taskItem{Task: c.task(w), operateType: strings.ToLower(string(w.OperateType))}
	}
	return page[taskItem]{items: items, total: answer.total(), bytes: size}, err
}

// paged adds the page to a query. Both parameters are always sent: what is meant without them is not clear, as the
// manuals contradict each other. The first page is 0 (documented).
func paged(query url.Values, pageNo int) url.Values {
	query.Set("pageNo", strconv.Itoa(pageNo))
	query.Set("pageSize", strconv.Itoa(PageSize))
	return query
}

// Task gets a task.
func (c *Client) Task(ctx context.Context, operationID string, p Priority) (*Task, error) {
	path, err := c.operationPath(CallGetTask, operationID)
	if err != nil {
		return nil, err
	}
	var answer wireTask
	var task Task
	r := request{name: CallGetTask, priority: p, path: path}
	r.read = func([]byte) *Error {
		task = c.task(answer)
		if answer.OperationID == "" && task.Status != "" {
			task.OperationID = operationID
		}
		if task.OperationID == operationID {
			return nil
		}
		return c.fail(&Error{
			Kind: Unexpected, Call: CallGetTask,
			Message: "the platform answered with another task, or none: " + task.OperationID,
		})
	}
	if _, err := c.get(ctx, r, &answer); err != nil {
		return nil, err
	}
	return &task, nil
}

// operationPath returns the path of a task. An id that can't be one is not asked for: "..", say, would be another path.
func (c *Client) operationPath(call, operationID string) (string, error) {
	if operationID == "." || operationID == ".." || strings.TrimSpace(operationID) != operationID ||
		result.CheckID(operationID) != "" {
		return "", c.fail(&Error{Kind: NotFound, Call: call, Message: "no task can have this operationId: correct it"})
	}
	return operationsPath + "/" + url.PathEscape(operationID), nil
}

// task returns what a task of the wire says.
func (c *Client) task(w wireTask) Task {
	clean := func(t text) string { return c.redactor.clean(string(t), maxTextBytes) }
	var targets lenient[wireTarget]
	if len(w.Targets) > 0 {
		_ = targets.UnmarshalJSON(w.Targets) // takes anything
	}
	policy, sta := w.Policy.value, w.StaResult.value
	return Task{
		OperationID: c.redactor.id(string(w.OperationID)),
		CreateTime:  parseTime(w.CreateTime),
		Status: word(c.redactor, string(w.Status),
			TaskWaiting, TaskProcessing, TaskFailed, TaskSucceeded, TaskStopped),
		Targets: c.targets(targets.value),
		Policy: Policy{
			ExecuteType: clean(policy.ExecuteType), StartTime: parseTime(policy.StartTime),
			EndTime: parseTime(policy.EndTime), Retry: strings.EqualFold(string(policy.RetryType), "true"),
			RetryTimes: policy.RetryTimes.value,
		},
		FileVersion: c.redactor.name(string(w.ExtendPara.value.FileVersion)),
		Result: StaResult{
			Total: sta.Total.value, Wait: sta.Wait.value, Processing: sta.Processing.value,
			Success: sta.Success.value, Fail: sta.Fail.value, Stop: sta.Stop.value, Timeout: sta.Timeout.value,
		},
	}
}

// targets returns what a task is for. Where an id can't be one, or there are too many, there are no ids: some of them
// would be another task's. Type, model and manufacturer belong to groups: the platform may tell them beside devices,
// too (documented), where they say nothing that the devices don't.
func (c *Client) targets(w wireTarget) Targets {
	t := Targets{Devices: c.ids(w.Devices.value), DeviceGroups: c.ids(w.DeviceGroups.value)}
	if len(t.Devices) == 0 {
		t.DeviceType, t.Model = c.redactor.name(string(w.DeviceType)), c.redactor.name(string(w.Model))
		t.ManufacturerName = c.redactor.name(string(w.ManufacturerName))
	}
	return t
}

func (c *Client) ids(texts items[text]) []string {
	var ids []string
	for _, t := range texts.read {
		id := c.redactor.id(string(t))
		if id == "" || texts.more {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

// getList makes a call that has a list. One with more items than are read is no answer: that those behind are not there
// would be taken for a fact.
func (c *Client) getList(ctx context.Context, r request, answer any, more *bool) (size int, err error) {
	size, err = c.get(ctx, r, answer)
	if err == nil && *more {
		return 0, c.fail(&Error{
			Kind: Unexpected, Call: r.name, HTTPStatus: http.StatusOK,
			Message: fmt.Sprintf("the platform answered with a page of more than %d items, where %d were asked for",
				maxItems, PageSize),
		})
	}
	return size, err
}

// get makes a call that has an answer, and reads its JSON. It returns how large that is.
func (c *Client) get(ctx context.Context, r request, answer any) (size int, err error) {
	r.method = http.MethodGet
	check := r.read
	r.read = func(body []byte) *Error {
		if err := json.Unmarshal(body, answer); err != nil {
			return c.unreadable(r.name, err)
		}
		if check != nil {
			return check(body)
		}
		return nil
	}
	_, body, err := c.call(ctx, r)
	return len(body), err
}
