// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// taskBody is a task as the API shows it. Documented, for the list up to stopTime; the rest of the list's is SDK code.
type taskBody struct {
	OperationID string        `json:"operationId"`
	CreateTime  *string       `json:"createTime"`
	StartTime   *string       `json:"startTime"`
	StopTime    *string       `json:"stopTime"`
	OperateType string        `json:"operateType"`
	Targets     targets       `json:"targets"`
	Policy      *policy       `json:"policy"`
	Status      string        `json:"status"`
	StaResult   staResultBody `json:"staResult"`
	ExtendPara  extendPara    `json:"extendPara"`
}

// staResultBody is the figures of a task. Documented; whether fail has those that timed out is not.
type staResultBody struct {
	Total      int `json:"total"`
	Wait       int `json:"wait"`
	Processing int `json:"processing"`
	Success    int `json:"success"`
	Fail       int `json:"fail"`
	Stop       int `json:"stop"`
	Timeout    int `json:"timeout"`
}

type extendPara struct {
	FileVersion string `json:"fileVersion"`
}

// pageBody is a page of tasks or of sub-tasks. Documented; totalSize is SDK code.
type pageBody[T any] struct {
	Data       []T  `json:"data"`
	PageNo     int  `json:"pageNo"`
	PageSize   int  `json:"pageSize"`
	TotalCount *int `json:"totalCount,omitempty"`
	TotalSize  *int `json:"totalSize,omitempty"`
}

// body returns a task as the API shows it, its figures as old as they are to be.
func (s *Server) body(t *task, now time.Time, lag time.Duration) taskBody {
	counts := t.counts
	if lag > 0 {
		counts = t.countsAt(now.Add(-lag))
	}
	result := staResultBody(counts)
	if s.faults.current.TimeoutBeside {
		result.Fail -= result.Timeout
	}
	return taskBody{
		OperationID: t.id, CreateTime: s.stamp(t.created), StartTime: s.stamp(t.started), StopTime: s.stamp(t.stopped),
		OperateType: firmwareUpgrade, Targets: t.request.Targets, Policy: t.request.Policy, Status: t.status,
		StaResult: result, ExtendPara: extendPara{FileVersion: t.version},
	}
}

// getTask is documented.
func (s *Server) getTask(c *call) answer {
	t, ok := s.tasks.get(c.id)
	if !ok {
		return refuse(codeUnknownTask)
	}
	return answer{status: http.StatusOK, body: s.body(t, c.at, c.hits.lag)}
}

// listTasks is documented. Inferred: the newest task comes first; and some platforms may not have the list, hence the
// fault.
func (s *Server) listTasks(c *call) answer {
	if s.faults.current.TasksUnlisted {
		return refuse(codeUnknownPath)
	}
	p, ok := c.paging(maxPageSize)
	if !ok {
		return refuse(codePaging)
	}
	selects, problem := c.taskFilter()
	if problem != "" {
		return beyond(codeBadRequest, problem)
	}
	var found []*task
	for _, t := range slices.Backward(s.tasks.order) {
		if !t.deleted && !t.listed.After(c.at) && selects(t) {
			found = append(found, t)
		}
	}
	body := pageBody[taskBody]{Data: []taskBody{}, PageNo: p.number, PageSize: p.size}
	body.TotalCount, body.TotalSize = s.total(len(found))
	for _, t := range page(found, p, c.hits, s.faults.random["pagesShuffled"]) {
		shown := s.body(t, c.at, c.hits.lag)
		if s.faults.current.DefaultsUnlisted {
			shown.Policy = shown.Policy.withoutDefaults()
		}
		body.Data = append(body.Data, shown)
	}
	return answer{status: http.StatusOK, body: body}
}

// withoutDefaults returns a policy without what a creation need not say; nil where nothing is left.
func (p *policy) withoutDefaults() *policy {
	if p == nil {
		return nil
	}
	kept := *p
	if kept.RetryType != nil && !*kept.RetryType {
		kept.RetryType = nil
	}
	if kept == (policy{ExecuteType: "now"}) {
		return nil
	}
	return &kept
}

// taskFilter returns whether a task is one of those that the parameters select. Documented. Inferred: what type, model
// and manufacturer of a task are, by its request; and that deviceId finds a device in a group's task.
func (c *call) taskFilter() (selects func(*task) bool, problem string) {
	status, operation := c.query.Get("operationStatus"), c.query.Get("operationType")
	known := []string{"", statusWait, statusProcessing, statusFailed, statusSuccess, statusStop}
	if !slices.Contains(known, status) {
		return nil, "the operationStatus " + status
	}
	if !slices.Contains([]string{"", firmwareUpgrade, "software_upgrade"}, operation) {
		return nil, "the operationType " + operation
	}
	fits := func(name string, has *string) bool {
		asked := c.query.Get(name)
		return asked == "" || has != nil && *has == asked
	}
	deviceID := c.query.Get("deviceId")
	return func(t *task) bool {
		targets := &t.request.Targets
		return (operation == "" || operation == firmwareUpgrade) && (status == "" || status == t.status) &&
			fits("deviceType", targets.DeviceType) && fits("model", targets.Model) &&
			fits("manufacturerName", targets.ManufacturerName) &&
			(deviceID == "" || slices.ContainsFunc(t.devices, func(d device) bool { return d.id == deviceID }))
	}, ""
}

// subTaskBody is a sub-task as the API shows it. Documented.
type subTaskBody struct {
	SubOperationID string      `json:"subOperationId"`
	CreateTime     *string     `json:"createTime"`
	StartTime      *string     `json:"startTime"`
	StopTime       *string     `json:"stopTime"`
	OperateType    string      `json:"operateType"`
	DeviceID       string      `json:"deviceId"`
	Status         string      `json:"status"`
	DetailInfo     *string     `json:"detailInfo"`
	ExtendInfo     *extendInfo `json:"extendInfo"`
}

// extendInfo is documented as an object; its keys are SDK code.
type extendInfo struct {
	UpgradeTime  *string `json:"upgradeTime"`
	DownloadTime *string `json:"downloadTime"`
}

// listSubTasks is documented. Inferred: their order is that of the targets.
func (s *Server) listSubTasks(c *call) answer {
	t, ok := s.tasks.get(c.id)
	if !ok {
		return refuse(codeUnknownTask)
	}
	p, ok := c.paging(maxPageSize)
	if !ok {
		return refuse(codePaging)
	}
	status := c.query.Get("subOperationStatus")
	known := []string{"", statusWait, statusProcessing, statusFail, statusSuccess, statusStop}
	if !slices.Contains(known, status) {
		return beyond(codeBadRequest, fmt.Sprintf("the subOperationStatus %q", status))
	}
	var found []int
	for i := range t.devices {
		if status == "" || t.devices[i].status == status {
			found = append(found, i)
		}
	}
	body := pageBody[subTaskBody]{Data: []subTaskBody{}, PageNo: p.number, PageSize: p.size}
	body.TotalCount, body.TotalSize = s.total(len(found))
	for _, i := range page(found, p, c.hits, s.faults.random["pagesShuffled"]) {
		body.Data = append(body.Data, s.subTask(t, &t.devices[i]))
	}
	return answer{status: http.StatusOK, body: body}
}

func (s *Server) subTask(t *task, d *device) subTaskBody {
	body := subTaskBody{
		SubOperationID: s.options.subOperationID(t.id, d.id, d.attempt), CreateTime: s.stamp(t.created),
		StartTime: s.stamp(d.started), StopTime: s.stamp(d.stopped), OperateType: firmwareUpgrade, DeviceID: d.id,
		Status: d.status, ExtendInfo: &extendInfo{},
	}
	if d.detail != "" {
		body.DetailInfo = &d.detail
	}
	return body
}
