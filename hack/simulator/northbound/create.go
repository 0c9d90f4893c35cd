// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// request is the body of a creation. Documented.
type request struct {
	FileID  string  `json:"fileId"`
	Targets targets `json:"targets"`
	Policy  *policy `json:"policy"`
}

type targets struct {
	DeviceGroups     []string `json:"deviceGroups"`
	DeviceType       *string  `json:"deviceType"`
	Model            *string  `json:"model"`
	ManufacturerName *string  `json:"manufacturerName"`
	Devices          []string `json:"devices"`
}

type policy struct {
	ExecuteType string  `json:"executeType"`
	StartTime   *string `json:"startTime"`
	EndTime     *string `json:"endTime"`
	RetryType   *bool   `json:"retryType"`
	RetryTimes  *int    `json:"retryTimes"`
}

// maxTargets is how many devices or groups a creation may name. Documented.
const maxTargets = 256

// createdBody is the answer to a creation. Documented.
type createdBody struct {
	OperationID string `json:"operationId"`
}

// create creates a task. Documented. Inferred: nothing recognizes a request that was made before.
func (s *Server) create(c *call) answer {
	var r request
	if problem := c.decode(&r); problem != "" {
		return beyond(codeBadRequest, problem)
	}
	if code, why := s.check(&r, c.at); code != "" {
		return refuseBecause(code, why)
	}
	if c.hits.createdLate > 0 {
		s.agenda.add(entry{at: c.at.Add(c.hits.createdLate), do: func(at time.Time) {
			s.ledger.lateTask(c.at, s.add(s.newID(), r, s.targetsOf(&r.Targets), false, at))
		}})
		return answer{cut: true}
	}
	t := s.add(s.newID(), r, s.targetsOf(&r.Targets), false, c.at)
	status := s.faults.current.CreatedStatus
	setDefault(&status, http.StatusOK)
	c.created = t.id
	return answer{status: status, body: createdBody{OperationID: t.id}}
}

// creation is what the ledger has of a creation, whatever came of it.
func (c *call) creation(a answer) Creation {
	var r request
	_ = c.decode(&r) // what can be read of it
	written := Creation{
		Time: c.at, Hash: r.hash(), FileID: r.FileID, Devices: len(r.Targets.Devices), Groups: r.Targets.DeviceGroups,
		OperationID: c.created, Status: a.status, Code: a.code,
	}
	if a.cut {
		written.Status = 0
	}
	return written
}

// check says what is wrong with a request. Documented, but where it says otherwise.
func (s *Server) check(r *request, now time.Time) (code, why string) {
	if r.FileID == "" || len(r.FileID) > maxIDBytes {
		return codeBadRequest, "fileId"
	}
	if code, why := r.Targets.check(); code != "" {
		return code, why
	}
	for _, group := range r.Targets.DeviceGroups {
		if s.options.Groups[group] == 0 {
			return codeBadRequest, "there is no group " + group // inferred
		}
	}
	if _, ok := s.packageOf(r); !ok {
		return codeWrongTarget, ""
	}
	if r.Policy == nil {
		return "", ""
	}
	return r.Policy.check(s.platformTime(now))
}

func (t *targets) check() (code, why string) {
	switch {
	case len(t.Devices) == 0 && len(t.DeviceGroups) == 0:
		return codeNoTargets, ""
	case len(t.Devices) > 0 && len(t.DeviceGroups) > 0:
		return codeTwoTargets, ""
	case len(t.Devices) > maxTargets || len(t.DeviceGroups) > maxTargets:
		return codeTooManyTargets, ""
	}
	for _, name := range append(slices.Clone(t.Devices), t.DeviceGroups...) {
		if name == "" || len(name) > maxIDBytes {
			return codeBadRequest, "an id of no or over 256 bytes"
		}
	}
	if len(t.DeviceGroups) > 0 {
		switch {
		case empty(t.ManufacturerName):
			return codeNoManufacturer, ""
		case empty(t.DeviceType):
			return codeNoDeviceType, ""
		case empty(t.Model):
			return codeNoModel, ""
		}
	}
	return "", ""
}

func empty(s *string) bool { return s == nil || *s == "" }

func (p *policy) check(now time.Time) (code, why string) {
	switch p.ExecuteType {
	case "now":
		if p.StartTime != nil || p.EndTime != nil {
			return codeWindow, "startTime and endTime belong to custom" // inferred
		}
	case "custom":
		start, startErr := parseTime(p.StartTime)
		end, endErr := parseTime(p.EndTime)
		switch {
		case startErr != nil || endErr != nil:
			return codeWindow, ""
		case start.After(end):
			return codeWindowOrder, ""
		case start.Before(now.Truncate(time.Second)):
			return codeWindowPast, ""
		}
	default:
		return codeExecuteType, ""
	}
	retries := p.RetryType != nil && *p.RetryType
	if retries && p.RetryTimes == nil || p.RetryTimes != nil && (*p.RetryTimes < 1 || *p.RetryTimes > 5) {
		return codeRetryTimes, ""
	}
	return "", ""
}

func parseTime(text *string) (time.Time, error) {
	if text == nil {
		return time.Time{}, errors.New("there is none")
	}
	return time.Parse(timeFormat, *text)
}

// packageOf returns the package of a request, and whether it is one for its targets. Inferred: 123016 for a package
// that does not exist, too.
func (s *Server) packageOf(r *request) (Package, bool) {
	if len(s.options.Packages) == 0 {
		return Package{FileID: r.FileID, Version: s.options.TargetVersion}, true
	}
	i := slices.IndexFunc(s.options.Packages, func(p Package) bool { return p.FileID == r.FileID })
	if i < 0 {
		return Package{}, false
	}
	p := s.options.Packages[i]
	setDefault(&p.Version, s.options.TargetVersion)
	fits := func(asked *string, has string) bool { return empty(asked) || has == "" || *asked == has }
	return p, fits(r.Targets.DeviceType, p.DeviceType) && fits(r.Targets.Model, p.Model) &&
		fits(r.Targets.ManufacturerName, p.ManufacturerName)
}

// targetsOf returns the ids of the targeted devices, each once.
func (s *Server) targetsOf(t *targets) []string {
	var ids []string
	seen := map[string]bool{}
	for _, id := range t.Devices {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	for _, group := range t.DeviceGroups {
		for n := range s.options.Groups[group] {
			ids = append(ids, s.options.groupDevice(group, n))
		}
	}
	return ids
}

// groupDevice returns the id of a device of a group, by its number.
func (o *Options) groupDevice(group string, number int) string {
	return platform.UUID(o.random(saltGroup, group+" "+strconv.Itoa(number)))
}

func (s *Server) newID() string {
	s.tasks.made++
	return platform.HexID(s.options.random(saltOperation, strconv.Itoa(s.tasks.made)))
}

// add adds a task that begins when its policy says.
func (s *Server) add(id string, r request, ids []string, console bool, at time.Time) *task {
	p, _ := s.packageOf(&r)
	t := &task{
		id: id, request: r, version: p.Version, hash: r.hash(), console: console,
		status: statusWait, created: at, listed: at, counts: Counts{Total: len(ids), Wait: len(ids)},
		devices: make([]device, len(ids)),
	}
	if s.faults.hit("listLags") {
		t.listed = at.Add(time.Duration(s.faults.current.ListLags.Delay))
	}
	for i, id := range ids {
		t.devices[i] = device{id: id, status: statusWait, step: notBegun}
		if _, known := s.tasks.devices[id]; !known {
			s.tasks.devices[id] = registered{version: s.options.SourceVersion}
		}
	}
	t.remember(at)
	s.tasks.byID[id] = t
	s.tasks.order = append(s.tasks.order, t)
	s.ledger.task(t)
	s.schedule(t, at)
	return t
}

// schedule makes a task start and end when its policy says. What is not begun at the end of its window is stopped:
// that is inferred.
func (s *Server) schedule(t *task, at time.Time) {
	p := t.request.Policy
	if p != nil && p.RetryType != nil && *p.RetryType && p.RetryTimes != nil {
		t.retries = *p.RetryTimes
	}
	if p == nil || p.ExecuteType != "custom" {
		s.start(t, at)
		return
	}
	offset := time.Duration(s.faults.current.ClockOffset)
	start, _ := parseTime(p.StartTime) // was checked
	end, _ := parseTime(p.EndTime)
	s.agenda.add(entry{at: start.Add(-offset), do: func(at time.Time) { s.start(t, at) }})
	s.agenda.add(entry{at: end.Add(-offset), do: func(at time.Time) {
		if t.status == statusProcessing {
			s.stopDevices(t, at, true)
		}
	}})
}

// hash is the hash of what is upgraded to what: SHA-256 over the package and the targets, in whatever order and
// however often they were named.
func (r *request) hash() string {
	sorted := func(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }
	content, err := json.Marshal([]any{
		r.FileID, sorted(r.Targets.Devices), sorted(r.Targets.DeviceGroups),
		r.Targets.DeviceType, r.Targets.Model, r.Targets.ManufacturerName,
	})
	if err != nil { // strings can always be encoded
		return fmt.Sprint(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
