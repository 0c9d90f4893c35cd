// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
)

// record is the intent of a request's first attempt, or what it is changed to, under its name.
func record(
	request string, change func(s *storage.FirmwareUpgradeTaskRecordSpec),
) *storage.FirmwareUpgradeTaskRecord {
	sum := sha256.Sum256([]byte(request))
	hash := hex.EncodeToString(sum[:16])
	r := &storage.FirmwareUpgradeTaskRecord{Spec: storage.FirmwareUpgradeTaskRecordSpec{
		RequestHash: hash, Attempt: 1, AppID: "app",
		Intent: &storage.TaskIntent{
			Time: metav1.NowMicro(), Deadline: metav1.Now(), Nonce: "nonce", Holder: "controllers-1",
			For:       storage.ObjectReference{Namespace: "fleet", Name: "meters-1.6", UID: "uid"},
			PackageID: "package", TargetsHash: hash, ProbeDevices: []string{"a", "b", "c"}, Run: 1,
		},
	}}
	if change != nil {
		change(&r.Spec)
	}
	r.Namespace, r.Name = "default", storage.IntentName(r.Spec.RequestHash, r.Spec.Attempt)
	if r.Spec.Outcome != nil {
		r.Name = storage.OutcomeName(r.Spec.RequestHash, r.Spec.Attempt)
	}
	return r
}

// outcome is what came of a request's first attempt.
func outcome(request string, change func(o *storage.TaskOutcome)) *storage.FirmwareUpgradeTaskRecord {
	return record(request, func(s *storage.FirmwareUpgradeTaskRecordSpec) {
		s.Intent = nil
		s.Outcome = &storage.TaskOutcome{
			Time: metav1.NowMicro(), Result: storage.TaskResultCreated, OperationID: "op", How: storage.TaskAnswered,
		}
		if change != nil {
			change(s.Outcome)
		}
	})
}

func TestTaskRecordsAreValidated(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n+1) }
	spec := func(change func(s *storage.FirmwareUpgradeTaskRecordSpec)) *storage.FirmwareUpgradeTaskRecord {
		return record("validated", change)
	}
	intent := func(change func(i *storage.TaskIntent)) *storage.FirmwareUpgradeTaskRecord {
		return spec(func(s *storage.FirmwareUpgradeTaskRecordSpec) { change(s.Intent) })
	}
	result := func(change func(o *storage.TaskOutcome)) *storage.FirmwareUpgradeTaskRecord {
		return outcome("validated", change)
	}
	named := func(r *storage.FirmwareUpgradeTaskRecord, name string) *storage.FirmwareUpgradeTaskRecord {
		r.Name = name
		return r
	}
	attempt := func(n int32) *storage.FirmwareUpgradeTaskRecord {
		return spec(func(s *storage.FirmwareUpgradeTaskRecordSpec) { s.Attempt = n })
	}
	const name, either, created = "a record's name is", "either an intent or an outcome", "where the task was created"
	hash := spec(nil).Spec.RequestHash
	cases := map[string]struct {
		record *storage.FirmwareUpgradeTaskRecord
		want   string // part of the message; empty: accepted
	}{
		"an intent":                      {spec(nil), ""},
		"the twelfth":                    {attempt(12), ""},
		"the last":                       {attempt(1<<31 - 1), ""},
		"none":                           {attempt(0), "spec.attempt"},
		"an outcome":                     {result(nil), ""},
		"another's name":                 {named(spec(nil), storage.IntentName(strings.Repeat("0", 32), 1)), name},
		"another attempt's name":         {named(spec(nil), storage.IntentName(hash, 2)), name},
		"a longer attempt's name":        {named(spec(nil), storage.IntentName(hash, 11)), name},
		"an attempt with a zero":         {named(spec(nil), hash+"-01"), name},
		"an attempt that is no number":   {named(spec(nil), hash+"-99999999999999999999"), name},
		"no attempt":                     {named(spec(nil), hash), name},
		"an outcome's name":              {named(spec(nil), storage.OutcomeName(hash, 1)), name},
		"an intent's name":               {named(result(nil), storage.IntentName(hash, 1)), name},
		"another outcome's name":         {named(result(nil), storage.OutcomeName(hash, 2)), name},
		"a name that goes on":            {named(result(nil), storage.OutcomeName(hash, 1)+"-2"), name},
		"another word":                   {named(result(nil), storage.IntentName(hash, 1)+"-created"), name},
		"neither":                        {spec(func(s *storage.FirmwareUpgradeTaskRecordSpec) { s.Intent = nil }), either},
		"both":                           {spec(func(s *storage.FirmwareUpgradeTaskRecordSpec) { s.Outcome = result(nil).Spec.Outcome }), either},
		"a short hash":                   {spec(func(s *storage.FirmwareUpgradeTaskRecordSpec) { s.RequestHash = s.RequestHash[:31] }), "spec.requestHash"},
		"no application":                 {spec(func(s *storage.FirmwareUpgradeTaskRecordSpec) { s.AppID = "" }), "spec.appId"},
		"a long application":             {spec(func(s *storage.FirmwareUpgradeTaskRecordSpec) { s.AppID = long(256) }), "spec.appId"},
		"no nonce":                       {intent(func(i *storage.TaskIntent) { i.Nonce = "" }), "spec.intent.nonce"},
		"a long nonce":                   {intent(func(i *storage.TaskIntent) { i.Nonce = long(64) }), "spec.intent.nonce"},
		"a long holder":                  {intent(func(i *storage.TaskIntent) { i.Holder = long(256) }), "spec.intent.holder"},
		"no package":                     {intent(func(i *storage.TaskIntent) { i.PackageID = "" }), "spec.intent.packageId"},
		"a hash of targets that is none": {intent(func(i *storage.TaskIntent) { i.TargetsHash = "x" }), "spec.intent.targetsHash"},
		"four probes":                    {intent(func(i *storage.TaskIntent) { i.ProbeDevices = []string{"a", "b", "c", "d"} }), "spec.intent.probeDevices"},
		"no run":                         {intent(func(i *storage.TaskIntent) { i.Run = 0 }), "spec.intent.run"},
		"too many retries":               {intent(func(i *storage.TaskIntent) { i.Retries = 6 }), "spec.intent.retries"},
		"a long version":                 {intent(func(i *storage.TaskIntent) { i.FileVersion = long(256) }), "spec.intent.fileVersion"},
		"groups and a window": {intent(func(i *storage.TaskIntent) {
			i.Groups, i.Window = groups(), &storage.TaskWindow{Start: metav1.Now(), End: metav1.Now()}
		}), ""},
		"refused": {result(func(o *storage.TaskOutcome) {
			o.Result, o.OperationID, o.Code = storage.TaskResultRefused, "", "123016"
		}), ""},
		"absent":                  {result(func(o *storage.TaskOutcome) { o.Result, o.OperationID = storage.TaskResultAbsent, "" }), ""},
		"exists":                  {result(func(o *storage.TaskOutcome) { o.Result, o.OperationID = storage.TaskResultExists, "" }), ""},
		"created, without its id": {result(func(o *storage.TaskOutcome) { o.OperationID = "" }), created},
		"refused, with an id":     {result(func(o *storage.TaskOutcome) { o.Result = storage.TaskResultRefused }), created},
		"absent, with an id":      {result(func(o *storage.TaskOutcome) { o.Result = storage.TaskResultAbsent }), created},
		"another result":          {result(func(o *storage.TaskOutcome) { o.Result = "Made" }), "spec.outcome.result"},
		"another way to know":     {result(func(o *storage.TaskOutcome) { o.How = "Guessed" }), "spec.outcome.how"},
		"witnessed":               {result(func(o *storage.TaskOutcome) { o.How = storage.TaskWitnessed }), ""},
		"declared":                {result(func(o *storage.TaskOutcome) { o.How = storage.TaskDeclared }), ""},
		"a long id":               {result(func(o *storage.TaskOutcome) { o.OperationID = long(256) }), "spec.outcome.operationId"},
		"a long code":             {result(func(o *storage.TaskOutcome) { o.Code = long(64) }), "spec.outcome.code"},
		"a long message":          {result(func(o *storage.TaskOutcome) { o.Message = long(512) }), "spec.outcome.message"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			checkRefusal(t, c.want, k8s.Create(t.Context(), c.record, client.DryRunAll))
		})
	}
}

func groups() *storage.TaskGroups {
	return &storage.TaskGroups{Names: []string{"north"}, DeviceType: "t", Model: "m", ManufacturerName: "n"}
}

// What is recorded stays, and an attempt has one intent and one outcome, whatever it is.
func TestTaskRecordsAreImmutable(t *testing.T) {
	intent, created := record("immutable", nil), outcome("immutable", nil)
	for _, r := range []*storage.FirmwareUpgradeTaskRecord{intent, created} {
		if err := k8s.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	refused := outcome("immutable", func(o *storage.TaskOutcome) {
		o.Result, o.OperationID = storage.TaskResultRefused, ""
	})
	if err := client.IgnoreAlreadyExists(k8s.Create(t.Context(), refused)); err != nil || refused.UID != "" {
		t.Errorf("want AlreadyExists for a second outcome, got %v", err)
	}
	for patch, of := range map[string]*storage.FirmwareUpgradeTaskRecord{
		`{"spec":{"appId":"another"}}`:                                intent,
		`{"spec":{"intent":{"nonce":"another"}}}`:                     intent,
		`{"spec":{"intent":{"groups":{"model":"m"}}}}`:                intent,
		`{"spec":{"intent":{"fileVersion":"1.6"}}}`:                   intent,
		`{"spec":{"outcome":{"operationId":"another"}}}`:              created,
		`{"spec":{"outcome":{"message":"another"}}}`:                  created,
		`{"spec":{"outcome":{"how":"Declared"}}}`:                     created,
		`{"spec":{"outcome":{"time":"2026-01-01T00:00:00.000000Z"}}}`: created,
	} {
		err := k8s.Patch(t.Context(), of.DeepCopy(), mergePatch(patch), client.DryRunAll)
		checkRefusal(t, "a record is immutable", err)
	}
	err := k8s.Patch(t.Context(), intent.DeepCopy(), mergePatch(`{"metadata":{"labels":{"a":"b"}}}`), client.DryRunAll)
	if err != nil {
		t.Errorf("a label: %v", err)
	}
}
