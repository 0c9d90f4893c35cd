// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// The documented samples with values as captured.
const (
	sampleSuccess = `{"notifyType":"fwUpgradeResultNotify","deviceId":"c7a9f0b2-2a4e-4c65-9b3a-0f9d3c1f6f11",` +
		`"appId":"Xq2_RfV0wAbnT3yLk9PzQeJmHsIa","operationId":"op-1","subOperationId":"sub-1","curVersion":"1.6",` +
		`"targetVersion":"1.6","sourceVersion":"1.3","status":"SUCCESS",` +
		`"statusDesc":"The device upgrade is successful","upgradeTime":"120"}`
	sampleFail = `{"notifyType":"fwUpgradeResultNotify","deviceId":"d","appId":"a","operationId":"o",` +
		`"subOperationId":"s","curVersion":null,"targetVersion":"1.6","sourceVersion":"1.3","status":"FAIL",` +
		`"statusDesc":"Invalid URI","upgradeTime":120}`
	sampleState = `{"notifyType":"fwUpgradeStateChangeNotify","deviceId":"d","appId":"a","operationId":"o",` +
		`"subOperationId":"s","step":"1","stepDesc":"downloading"}`
	sampleSoftware = `{"notifyType":"swUpgradeResultNotify","deviceId":"d","appId":"a","operationId":"o",` +
		`"swUpgradeResult":"SUCCESS","upgradeTime":"1","resultDesc":"x","errorCode":"0","description":null}`
	sampleCommand = `{"deviceId":"d","commandId":"c","result":{"resultCode":"DELIVERED","resultDetail":null}}`
	sampleTask    = `{"resource":"batchtask.status","event":"update","notify_data":{"app_id":"a","task_id":"t"}}`
)

// message of a result with one part replaced.
func with(old, replacement string) string {
	if !strings.Contains(sampleSuccess, old) {
		panic("the sample has no " + old)
	}
	return strings.Replace(sampleSuccess, old, replacement, 1)
}

func success(change func(*Notification)) Notification {
	n := Notification{
		Kind:           KindResult,
		AppID:          "Xq2_RfV0wAbnT3yLk9PzQeJmHsIa",
		OperationID:    "op-1",
		SubOperationID: "sub-1",
		DeviceID:       "c7a9f0b2-2a4e-4c65-9b3a-0f9d3c1f6f11",
		ResultFields: storage.ResultFields{
			State: storage.StateSucceeded, TargetVersion: "1.6", SourceVersion: "1.3", CurVersion: "1.6",
			StatusDesc: "The device upgrade is successful", UpgradeTime: "120",
		},
	}
	if change != nil {
		change(&n)
	}
	return n
}

func state(s storage.State) Notification {
	return Notification{
		Kind: KindStateChange, AppID: "a", OperationID: "o", SubOperationID: "s", DeviceID: "d",
		ResultFields: storage.ResultFields{State: s, StatusDesc: "downloading"},
	}
}

func other(name string) Notification { return Notification{Kind: KindOther, Type: name} }

func TestDecode(t *testing.T) {
	step := func(value string) string { return strings.Replace(sampleState, `"1"`, value, 1) }
	cases := map[string]struct {
		body string
		want Notification
	}{
		"documented success": {sampleSuccess, success(nil)},
		"documented failure": {sampleFail, Notification{
			Kind: KindResult, AppID: "a", OperationID: "o", SubOperationID: "s", DeviceID: "d",
			ResultFields: storage.ResultFields{
				State: storage.StateFailed, TargetVersion: "1.6", SourceVersion: "1.3", StatusDesc: "Invalid URI",
				UpgradeTime: "120",
			},
		}},
		"the least": {`{"operationId":"o","status":"FAIL","deviceId":"d","notifyType":"fwUpgradeResultNotify"}`, Notification{
			Kind: KindResult, OperationID: "o", DeviceID: "d", ResultFields: storage.ResultFields{State: storage.StateFailed},
		}},
		"capitalised keys":       {with(`"status"`, `"Status"`), success(nil)},
		"upper-case keys":        {with(`"deviceId"`, `"DEVICEID"`), success(nil)},
		"status in another case": {with(`"SUCCESS"`, `"Success"`), success(nil)},
		"type in another case":   {with(`"fwUpgradeResultNotify"`, `"FwUpgradeResultNotify"`), success(nil)},
		"white space":            {" \n" + with(`:"SUCCESS",`, ` : "SUCCESS" , `) + "\r\n\t", success(nil)},
		"unknown keys":           {with(`{`, `{"header":{"deviceId":"x"},"body":[1,{"status":"FAIL"}],"":0,`), success(nil)},
		"duration as a number":   {with(`"120"`, `120`), success(nil)},
		"duration as a fraction": {with(`"120"`, `1.50e2`), success(func(n *Notification) { n.UpgradeTime = "1.50e2" })},
		"huge duration": {
			with(`"120"`, `123456789012345678901234567890`),
			success(func(n *Notification) { n.UpgradeTime = "123456789012345678901234567890" }),
		},
		"duration of another kind": {with(`"120"`, `{"s":[120]}`), success(func(n *Notification) {
			n.UpgradeTime = ""
		})},
		"version as a number": {
			with(`"curVersion":"1.6"`, `"curVersion":1.60`),
			success(func(n *Notification) { n.CurVersion = "1.60" }),
		},
		"null for optional": {with(
			`"appId":"Xq2_RfV0wAbnT3yLk9PzQeJmHsIa","operationId":"op-1","subOperationId":"sub-1"`,
			`"appId":null,"operationId":"op-1","subOperationId":null`,
		), success(func(n *Notification) { n.AppID, n.SubOperationID = "", "" })},
		"escapes": {with(`op-1`, `\u006fp-\u0031`), success(nil)},
		"text beyond ASCII": {
			with(`The device upgrade is successful`, `升级成功 \"ok\"`),
			success(func(n *Notification) { n.StatusDesc = `升级成功 "ok"` }),
		},
		"text that is not UTF-8": {
			with(`The device upgrade is successful`, "a\xff\xfeb"),
			success(func(n *Notification) { n.StatusDesc = "a\ufffd\ufffdb" }),
		},
		"a key that stands twice with one value": {with(`"deviceId":`,
			`"DeviceID":" c7a9f0b2-2a4e-4c65-9b3a-0f9d3c1f6f11","deviceId":`), success(nil)},
		"two spellings of a status": {with(`"status":`, `"Status":"Success","status":`), success(nil)},
		"two spellings of a type":   {with(`"notifyType":`, `"notifytype":"FWUPGRADERESULTNOTIFY","notifyType":`), success(nil)},
		"two spellings of a step":   {step(`1,"Step":"1.0"`), state(storage.StateDownloading)},
		"two current versions": {with(`"curVersion":`, `"CurVersion":"1.5","curVersion":`),
			success(func(n *Notification) { n.CurVersion = "1.6\ufffd" })},
		"two target versions": {with(`"targetVersion":`, `"targetVersion":"1.60","targetVersion":`),
			success(func(n *Notification) { n.TargetVersion = "1.6\ufffd" })},
		"two versions, of which one is long": {
			with(`"curVersion":"1.6"`, `"curVersion":"1.6","curVersion":"`+strings.Repeat("1", 300)+`"`),
			success(func(n *Notification) { n.CurVersion = strings.Repeat("1", 253) + "\ufffd" }),
		},
		"one version twice":                   {with(`"curVersion":`, `"CurVersion":" 1.6","curVersion":`), success(nil)},
		"of two descriptions the last counts": {with(`"statusDesc":`, `"StatusDesc":"x","statusDesc":`), success(nil)},
		"an empty value after another":        {with(`"status":"SUCCESS"`, `"status":"SUCCESS","Status":""`), success(nil)},
		"null after a value":                  {with(`"status":"SUCCESS"`, `"status":"SUCCESS","status":null`), success(nil)},
		"id with any characters":              {with(`op-1`, `ü/.. :{}`), success(func(n *Notification) { n.OperationID = "ü/.. :{}" })},
		"longest id": {
			with(`op-1`, strings.Repeat("o", 256)),
			success(func(n *Notification) { n.OperationID = strings.Repeat("o", 256) }),
		},
		"long texts are cut": {with(`"statusDesc":"The device upgrade is successful","upgradeTime":"120"`,
			`"statusDesc":"`+strings.Repeat("é", 600)+`","upgradeTime":"`+strings.Repeat("9", 65)+`"`),
			success(func(n *Notification) {
				n.StatusDesc, n.UpgradeTime = strings.Repeat("é", 512), strings.Repeat("9", 64)
			})},
		"long versions are cut": {with(`"sourceVersion":"1.3"`, `"sourceVersion":"`+strings.Repeat("1", 300)+`"`),
			success(func(n *Notification) { n.SourceVersion = strings.Repeat("1", 256) })},

		"step 0":           {step(`"0"`), state(storage.StateIdle)},
		"step 1":           {step(`"1"`), state(storage.StateDownloading)},
		"step 2":           {step(`"2"`), state(storage.StateDownloaded)},
		"step 3":           {step(`"3"`), state(storage.StateUpdating)},
		"step as a number": {step(`3`), state(storage.StateUpdating)},

		"software": {sampleSoftware, other("swUpgradeResultNotify")},
		"software state": {
			`{"notifyType":"swUpgradeStateChangeNotify","deviceId":"d","swUpgradeState":"downloading"}`,
			other("swUpgradeStateChangeNotify"),
		},
		"device data": {
			`{"notifyType":"deviceDataChanged","deviceId":"d","service":{"data":{"status":1}}}`,
			other("deviceDataChanged"),
		},
		"header and body": {
			`{"notifyType":"deviceEvent","header":{"deviceId":"d"},"body":{}}`,
			other("deviceEvent"),
		},
		"other with odd ids": {
			`{"notifyType":"commandRsp","deviceId":{},"appId":7,"status":[],"step":true}`,
			other("commandRsp"),
		},
		"other with odd ids first": {`{"deviceId":{},"notifyType":"commandRsp"}`, other("commandRsp")},
		"command status":           {sampleCommand, other("command status")},
		"the newer platform":       {sampleTask, other("resource batchtask.status")},
		"a long type":              {`{"notifyType":"` + strings.Repeat("x", 100) + `"}`, other(strings.Repeat("x", 64))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("notification (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeUnusable(t *testing.T) {
	long := strings.Repeat("x", 257)
	cases := map[string]struct{ body, want string }{
		"nothing":       {"", "the body is not JSON"},
		"white space":   {" \n", "the body is not JSON"},
		"text":          {"hello", "the body is not JSON"},
		"cut off":       {sampleSuccess[:len(sampleSuccess)-1], "the body is not JSON"},
		"trailing data": {sampleSuccess + "{}", "the body is not JSON"},
		"a form":        {"notifyType=fwUpgradeResultNotify", "the body is not JSON"},
		"an array":      {"[" + sampleSuccess + "]", "the body is a JSON array, not an object"},
		"a string":      {`"x"`, "the body is a JSON string, not an object"},
		"a number":      {"1", "the body is a JSON number, not an object"},
		"null":          {"null", "notifyType is missing"},
		"nothing in it": {"{}", "notifyType is missing"},
		"another receiver's key beside ours": {`{"commandId":"c","deviceId":"d","operationId":"o","status":"FAIL"}`,
			"notifyType is missing"},
		"no type":          {with(`"notifyType":"fwUpgradeResultNotify",`, ""), "notifyType is missing"},
		"type is a number": {with(`"fwUpgradeResultNotify"`, "5"), "notifyType is a JSON number, not a string"},
		"depth":            {`{"a":` + strings.Repeat("[", 20000), "the body is not JSON"},
		"closed depth": {
			`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}",
			"the body is not JSON",
		},
		"no operation":           {with(`"operationId":"op-1",`, ""), "operationId is missing"},
		"empty operation":        {with(`op-1`, ""), "operationId is missing"},
		"null operation":         {with(`"op-1"`, "null"), "operationId is missing"},
		"operation is a number":  {with(`"op-1"`, "12"), "operationId is a JSON number, not a string"},
		"operation is an object": {with(`"op-1"`, "{}"), "operationId is a JSON object, not a string"},
		"long operation":         {with(`op-1`, long), "operationId is longer than 256 bytes: \"" + long[:64] + "\"…"},
		"no device":              {with(`"deviceId":"c7a9f0b2-2a4e-4c65-9b3a-0f9d3c1f6f11",`, ""), "deviceId is missing"},
		"device with a newline":  {with(`c7a9`, `c\n7a9`), "deviceId holds control characters: \"c 7a9f0b2-"},
		"device with a C1":       {with(`c7a9`, `c\u009b7a9`), "deviceId holds control characters"},
		"device with a NUL":      {with(`c7a9`, `\u0000`), "deviceId holds control characters"},
		"device is not UTF-8":    {with(`c7a9`, "\xff"), "deviceId holds bytes that are not UTF-8"},
		"half a surrogate":       {with(`c7a9`, `\ud800`), "deviceId holds bytes that are not UTF-8"},
		"long sub-task":          {with(`sub-1`, long), "subOperationId is longer than 256 bytes"},
		"long application":       {with(`Xq2_`, long), "appId is longer than 256 bytes"},
		"application is a list":  {with(`"Xq2_RfV0wAbnT3yLk9PzQeJmHsIa"`, `["a"]`), "appId is a JSON array, not a string"},
		"no status":              {with(`"status":"SUCCESS",`, ""), "status is missing"},
		"null status":            {with(`"SUCCESS"`, "null"), "status is missing"},
		"unknown status":         {with(`SUCCESS`, "TIMEOUT"), `status is "TIMEOUT", not SUCCESS or FAIL`},
		"long status":            {with(`SUCCESS`, long), `status is "` + long[:64] + `", not SUCCESS or FAIL`},
		"no step":                {strings.Replace(sampleState, `"step":"1",`, "", 1), "step is missing"},
		"unknown step":           {strings.Replace(sampleState, `"1"`, `"4"`, 1), `step is "4", not 0, 1, 2 or 3`},
		"negative step":          {strings.Replace(sampleState, `"1"`, `-1`, 1), `step is "-1", not 0, 1, 2 or 3`},
		"step in words":          {strings.Replace(sampleState, `"1"`, `"downloading"`, 1), `step is "downloading"`},
		"step is a fraction":     {strings.Replace(sampleState, `"1"`, `1.5`, 1), `step is "1.5", not 0, 1, 2 or 3`},
		"step is nothing":        {strings.Replace(sampleState, `"1"`, `"."`, 1), `step is ".", not 0, 1, 2 or 3`},
		"step is true":           {strings.Replace(sampleState, `"1"`, `true`, 1), "step is a JSON bool, not 0, 1, 2 or 3"},
		"status is an object":    {with(`"SUCCESS"`, `{"code":"SUCCESS"}`), "status is a JSON object, not SUCCESS or FAIL"},
		"status is a list":       {with(`"SUCCESS"`, `["SUCCESS"]`), "status is a JSON array, not SUCCESS or FAIL"},
		"status is a number":     {with(`"SUCCESS"`, `0`), `status is "0", not SUCCESS or FAIL`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(tc.body))
			reason, ok := errors.AsType[*Unusable](err)
			if !ok {
				t.Fatalf("want an *Unusable, got %v and %+v", err, got)
			}
			if !strings.Contains(reason.Reason, tc.want) {
				t.Errorf("want a reason with %q, got %q", tc.want, reason.Reason)
			}
			if len(reason.Reason) > storage.MaxRejectedReasonBytes {
				t.Errorf("a reason of %d bytes", len(reason.Reason))
			}
			if diff := cmp.Diff(Notification{}, got); diff != "" {
				t.Errorf("a notification came with the error:\n%s", diff)
			}
		})
	}
}

// utf16Of encodes a text in UTF-16 with a byte order mark.
func utf16Of(order binary.AppendByteOrder, text string) string {
	encoded := order.AppendUint16(nil, 0xfeff)
	for _, unit := range utf16.Encode([]rune(text)) {
		encoded = order.AppendUint16(encoded, unit)
	}
	return string(encoded)
}

// TestDecodeReadsWhatLeavesNoDoubt: what surrounds a notification or describes it never costs the result, however it is
// encoded; what can't be read of a description is replaced, and versions are the same with and without padding.
func TestDecodeReadsWhatLeavesNoDoubt(t *testing.T) {
	const desc = "The device upgrade is successful"
	described := func(as string) Notification { return success(func(n *Notification) { n.StatusDesc = as }) }
	current := func(as string) Notification { return success(func(n *Notification) { n.CurVersion = as }) }
	cur := func(json string) string { return with(`"curVersion":"1.6"`, `"curVersion":`+json) }
	bigEndian := utf16Of(binary.BigEndian, sampleSuccess)
	cases := map[string]struct {
		body string
		want Notification
	}{
		"byte order mark":              {"\ufeff" + sampleSuccess, success(nil)},
		"byte order mark after blanks": {"\r\n\ufeff " + sampleSuccess + "\ufeff", success(nil)},
		"UTF-16, little end":           {utf16Of(binary.LittleEndian, sampleSuccess+"\r\n"), success(nil)},
		"UTF-16, big end":              {bigEndian, success(nil)},
		"UTF-16 without a mark":        {bigEndian[2:], success(nil)},
		"UTF-16 with a NUL at its end": {bigEndian + "\x00", success(nil)},
		"UTF-16 after blanks, little":  {utf16Of(binary.LittleEndian, "\r\n \t"+sampleSuccess)[2:], success(nil)},
		"UTF-16 after blanks, big":     {utf16Of(binary.BigEndian, "\n"+sampleSuccess)[2:], success(nil)},
		"UTF-16 after NULs":            {"\x00\x00\x00\x00" + bigEndian[2:], success(nil)},
		"UTF-16, a mark after a blank": {"\x00 " + bigEndian, success(nil)},
		"UTF-16, a blank in the brace": {utf16Of(binary.LittleEndian, with("{", "{\n "))[2:], success(nil)},
		"one NUL before it":            {"\x00" + sampleSuccess, success(nil)},
		"three NULs before it":         {"\x00\x00\x00" + sampleSuccess, success(nil)},
		"a NUL after the brace":        {with("{", "{\x00"), success(nil)},
		"UTF-16 beyond ASCII":          {utf16Of(binary.LittleEndian, with(desc, "升级 \U0001F600")), described("升级 \U0001F600")},
		"NULs after it":                {sampleSuccess + "\x00\x00\x00", success(nil)},
		"line feeds after it":          {sampleSuccess + "\n\n\r\n", success(nil)},
		"controls around it":           {"\x02" + sampleSuccess + "\x03\x04\x1a", success(nil)},
		"controls between tokens":      {with(`,"appId"`, "\v\f,\x00\x1e\"appId\""), success(nil)},

		"raw line feed in a text":      {with(desc, "a\nb"), described("a b")},
		"raw line ends in a text":      {with(desc, "a\r\nb"), described("a  b")},
		"raw TAB in a text":            {with(desc, "a\tb"), described("a b")},
		"raw NUL in a text":            {with(desc, "a\x00b"), described("a\ufffdb")},
		"raw escape sequence":          {with(desc, "\x1b[2Jb"), described("\ufffd[2Jb")},
		"escapes beside a line feed":   {with(desc, "\\u0041\n\\\"\\\\"), described(`A "\`)},
		"line feed in an unknown key":  {with(`{`, "{\"no\nte\":\"a\nb\","), success(nil)},
		"escaped controls in a text":   {with(desc, `a\nb\u001b\u202ec`), described("a b\ufffd\ufffdc")},
		"a backslash of no escape":     {with(desc, `C:\qemu\u12`), described("C:\ufffdqemu\ufffdu12")},
		"a backslash before the end":   {with(desc, `C:\`) + "x", Notification{}},
		"Latin-1":                      {with(desc, "\xc9chec \xe0 50\xb0"), described("\ufffdchec \ufffd 50\ufffd")},
		"Latin-1 before an escape":     {with(desc, "caf\xe9\\n\n"), described("caf\ufffd")},
		"GBK":                          {with(desc, "\xc9\xfd\xbc\xb6"), described("\ufffd\ufffd\ufffd\ufffd")},
		"Big5 that ends in 5C":         {with(desc, "\xa6\xa8\xa5\\"), described("\ufffd\ufffd\ufffd\ufffd")},
		"Big5 with 5C in the middle":   {with(desc, "\xa5\\\xaf\xe0"), described("\ufffd\ufffd\ufffd\ufffd")},
		"half a character at the end":  {with(desc, "a\xe5\x8d"), described("a\ufffd\ufffd")},
		"hidden characters in a text":  {with(desc, "a\u202eb\u200bc\ue000"), described("a\ufffdb\ufffdc\ufffd")},
		"text is an object":            {with(`"`+desc+`"`, `{"code":1}`), described("")},
		"text is a number":             {with(`"`+desc+`"`, `404`), described("404")},
		"step is a fraction of nought": {strings.Replace(sampleState, `"1"`, `1.0`, 1), state(storage.StateDownloading)},

		"line feed after a version":     {cur(`"1.6\n"`), success(nil)},
		"raw line feed after a version": {cur("\"1.6\n\""), success(nil)},
		"blanks around a version":       {cur(`"\t 1.6 \r\n"`), success(nil)},
		"wide blanks around a version":  {cur("\"\u3000\u00a01.6\u2003\""), success(nil)},
		"NUL after a version":           {cur(`"1.6\u0000\u0000"`), success(nil)},
		"raw NULs after a version":      {cur("\"1.6\x00\x00\""), success(nil)},
		"raw NUL within a version":      {cur("\"1.6\x00b\""), current("1.6\ufffdb")},
		"NULs around all but ids": {strings.NewReplacer("fwUpgradeResultNotify", "fwUpgradeResultNotify\x00", "SUCCESS",
			"SUCCESS\x00\x00", `"120"`, "\"120\x00\"", "successful", "successful\x00").Replace(sampleSuccess), success(nil)},
		"escaped NULs around all but ids": {strings.NewReplacer("fwUpgradeResultNotify", `fwUpgradeResultNotify\u0000`,
			"SUCCESS", `SUCCESS\u0000`, `"120"`, `"120\u0000"`).Replace(sampleSuccess), success(nil)},
		"a NUL after a step":            {strings.Replace(sampleState, `"1"`, `"1\u0000"`, 1), state(storage.StateDownloading)},
		"marks around all but ids":      {strings.NewReplacer("fwUpgradeR", "\ufefffwUpgradeR", "SUCCESS", "\ufeffSUCCESS").Replace(sampleSuccess), success(nil)},
		"a byte order mark and version": {cur("\"\ufeff1.6\""), success(nil)},
		"one version, once with NULs":   {with(`"curVersion":`, `"curVersion":"1.6\u0000","curVersion":`), success(nil)},
		"only NULs after a version":     {cur(`"1.6","curVersion":"\u0000"`), success(nil)},
		"an object as a version":        {cur(`{"app":"1.6"}`), current("\ufffd")},
		"an array as a version":         {cur(`["1.6"]`), current("\ufffd")},
		"true as a version":             {cur(`true`), current("\ufffd")},
		"an array after a version":      {cur(`"1.6","curVersion":["1.5"]`), current("1.6\ufffd")},
		"an object before a version":    {cur(`{},"curVersion":"1.6"`), current("1.6\ufffd")},
		"an array before a number":      {cur(`["1.5"],"curVersion":1.6`), current("1.6\ufffd")},
		"an object as another version": {
			with(`"targetVersion":"1.6","sourceVersion":"1.3"`, `"targetVersion":{},"sourceVersion":[1]`),
			success(func(n *Notification) { n.TargetVersion, n.SourceVersion = "\ufffd", "\ufffd" }),
		},
		"another blank within a version": {cur("\"1.6\u00a0b\""), current("1.6 b")},
		"blanks within a version":        {cur(`"1.6  b"`), current("1.6  b")},
		"an escape sequence in one":      {cur(`"1.6\n\u001b[2J"`), current("1.6 \ufffd[2J")},
		"a version that is turned round": {cur(`"\u202e6.1"`), current("\ufffd6.1")},
		"no width in a version":          {cur(`"1.6\u200b"`), current("1.6\ufffd")},
		"bytes in a version":             {cur("\"1.6\xff\""), current("1.6\ufffd")},
		"only blanks as a version":       {cur(`" "`), current("")},
		"the other versions": {
			with(`"targetVersion":"1.6","sourceVersion":"1.3"`, `"targetVersion":" 1.6\n","sourceVersion":"1.3\t"`),
			success(nil),
		},
		"blanks around ids": {with(`"operationId":"op-1","subOperationId":"sub-1"`,
			"\"operationId\":\" op-1\n\",\"subOperationId\":\"\\tsub-1\u3000\""), success(nil)},
		"blanks around all else": {with(`"SUCCESS"`, `" SUCCESS\r\n"`), success(nil)},
		"blanks around the type": {with(`fwUpgradeResultNotify`, `fwUpgradeResultNotify\n`), success(nil)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(tc.body))
			if (err == nil) == (tc.want == Notification{}) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("notification (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDecodeGuessesNoID: an id that can't be told apart from another one, by a person or by the bytes that came, is
// never guessed, nor is one of two, nor which of two results a device has.
func TestDecodeGuessesNoID(t *testing.T) {
	const device, operation = "c7a9f0b2-2a4e-4c65-9b3a-0f9d3c1f6f11", "op-1"
	const twice = "stands there several times, with different values"
	cases := map[string]struct{ body, want string }{
		"turned around":            {with(device, `\u202e12`), "deviceId holds characters that can't be seen"},
		"raw U+202E":               {with(device, "\u202e12"), "deviceId holds characters that can't be seen: \"\ufffd12\""},
		"no width":                 {with(device, "a\u200bb"), "deviceId holds characters that can't be seen"},
		"byte order mark":          {with(device, "\ufeffab"), "deviceId holds characters that can't be seen"},
		"isolate":                  {with(operation, "a\u2066b"), "operationId holds characters that can't be seen"},
		"soft hyphen":              {with("Xq2_", "a\u00adb"), "appId holds characters that can't be seen"},
		"line separator":           {with("sub-1", "a\u2028b"), "subOperationId holds characters that can't be seen"},
		"private":                  {with(device, "a\ue000b"), "deviceId holds characters that can't be seen"},
		"not assigned":             {with(device, "a\u0378b"), "deviceId holds characters that can't be seen"},
		"raw line feed":            {with(device, "a\nb"), "deviceId holds control characters: \"a b\""},
		"raw TAB":                  {with(operation, "a\tb"), "operationId holds control characters"},
		"raw NUL":                  {with(device, "a\x00"), "deviceId holds control characters"},
		"DEL":                      {with(device, "a\x7fb"), "deviceId holds control characters"},
		"a backslash of no escape": {with(device, `a\qb`), "deviceId holds control characters"},
		"Latin-1":                  {with(device, "caf\xe9"), "deviceId holds bytes that are not UTF-8"},
		"GBK":                      {with(operation, "\xc9\xfd"), "operationId holds bytes that are not UTF-8"},
		"Big5 that ends in 5C":     {with(device, "\xa5\\"), "deviceId holds bytes that are not UTF-8"},
		"half a surrogate":         {with(device, `a\udc00`), "deviceId holds bytes that are not UTF-8"},
		"half a surrogate in UTF-16": {strings.Replace(utf16Of(binary.BigEndian, with(device, "a?")), "\x00?", "\xd8\x00", 1),
			"deviceId holds bytes that are not UTF-8"},
		"only blanks":                 {with(device, " \u3000"), "deviceId is missing"},
		"a no-break blank":            {with(device, "a\u00a01"), "deviceId holds characters that can't be seen: \"a 1\""},
		"an ideographic blank":        {with(operation, "a\u30001"), "operationId holds characters that can't be seen"},
		"a NUL beside another id":     {with(`"deviceId":`, `"deviceId":"`+device+`\u0000","deviceId":`), "deviceId " + twice},
		"byte order mark at the end":  {with(device, "a\ufeff"), "deviceId holds characters that can't be seen"},
		"two devices":                 {with(`"deviceId":`, `"DeviceID":"x","deviceId":`), "deviceId " + twice},
		"two operations":              {with(`"operationId":`, `"operationId":"x","operationId":`), "operationId " + twice},
		"two applications":            {with(`"appId":`, `"appId":"x","appId":`), "appId " + twice},
		"two results":                 {with(`"status":`, `"Status":"FAIL","status":`), "status " + twice},
		"two steps":                   {strings.Replace(sampleState, `"1"`, `"1","step":3`, 1), "step " + twice},
		"two types":                   {with(`"notifyType":`, `"notifytype":"deviceAdded","notifyType":`), "notifyType " + twice},
		"two spellings of a device":   {with(`"deviceId":`, `"DeviceID":"C7A9F0B2","deviceId":`), "deviceId " + twice},
		"two steps, one a fraction":   {strings.Replace(sampleState, `"1"`, `"1","step":1.5`, 1), "step " + twice},
		"two results, one twice":      {with(`"status":`, `"Status":"FAIL","STATUS":"Fail","status":`), "status " + twice},
		"no width in the type":        {with(`fwUpgrade`, "fw\u200bUpgrade"), "notifyType holds characters that can't be seen"},
		"a type turned around":        {with(`fwUpgradeResultNotify`, `\u202eyfitoN`), "notifyType holds characters that can't be seen"},
		"a selector in the type":      {with(`fwUpgrade`, "fw\ufe0fUpgrade"), "notifyType holds characters that can't be seen"},
		"bytes in the type":           {with(`fwUpgrade`, "fw\xffUpgrade"), "notifyType holds bytes that are not UTF-8"},
		"a line feed in the type":     {with(`fwUpgrade`, `fw\nUpgrade`), "notifyType holds control characters: \"fw UpgradeResult"},
		"a control far in the type":   {`{"notifyType":"` + strings.Repeat("x", 100) + `\u001b"}`, "notifyType holds control characters"},
		"a filler in a device":        {with(device, "a\u3164b"), "deviceId holds characters that can't be seen"},
		"a selector in a device":      {with(device, "a\ufe0fb"), "deviceId holds characters that can't be seen"},
		"two types, the other first":  {with(`{`, `{"notifyType":"fwUpgradeStateChangeNotify",`), "notifyType " + twice},
		"a device as number and text": {with(`"deviceId":`, `"deviceId":7,"deviceId":`), "deviceId is a JSON number"},
		"a second notification":       {sampleSuccess + "\n" + sampleFail, "the body is not JSON"},
		"a quotation mark in a text":  {with("The device", `The "device"`), "the body is not JSON"},
		"a text that does not end":    {with(`successful"`, "successful\n"), "the body is not JSON"},
		"UTF-16, broken off":          {utf16Of(binary.LittleEndian, sampleSuccess)[:401], "the body is not JSON"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(tc.body))
			reason, ok := errors.AsType[*Unusable](err)
			if !ok || !strings.Contains(reason.Reason, tc.want) {
				t.Errorf("want a reason with %q, got %v and %+v", tc.want, err, got)
			}
		})
	}
}

// TestDecodeTakesTurns: what takes much memory to decode waits for its turn, and holds up no push as the platform sends
// it.
func TestDecodeTakesTurns(t *testing.T) {
	cases := map[string]struct {
		body string
		want Notification
	}{
		"to be repaired": {with("successful", "successful\n"), success(nil)},
		"UTF-16":         {utf16Of(binary.LittleEndian, sampleSuccess), success(nil)},
		"large":          {with("{", "{"+strings.Repeat(" ", maxBesideBytes)), success(nil)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d Decoder
			d.mu.Lock()
			decoded := make(chan Notification, 1)
			go func() {
				n, err := d.Decode([]byte(tc.body))
				if err != nil {
					t.Errorf("got %v", err)
				}
				decoded <- n
			}()
			if n, err := d.Decode([]byte(sampleSuccess)); err != nil || n != success(nil) {
				t.Errorf("got %+v, %v", n, err)
			}
			select {
			case n := <-decoded:
				t.Error("it did not wait for its turn")
				decoded <- n
			case <-time.After(200 * time.Millisecond):
			}
			d.mu.Unlock()
			if diff := cmp.Diff(tc.want, <-decoded); diff != "" {
				t.Errorf("notification (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDecodeKeepsNothingOfAnotherPush: the memory in which a push is repaired is used again for the next one.
func TestDecodeKeepsNothingOfAnotherPush(t *testing.T) {
	var d Decoder
	first, err := d.Decode([]byte(with("The device upgrade is successful", strings.Repeat("a\n", 200))))
	if err != nil {
		t.Fatal(err)
	}
	desc := strings.Clone(first.StatusDesc)
	if n, err := d.Decode([]byte(with("The device upgrade is successful", "x\ny"))); err != nil || n.StatusDesc != "x y" {
		t.Errorf("got %+v, %v", n, err)
	}
	if first.StatusDesc != desc {
		t.Errorf("the first one became %q", first.StatusDesc)
	}
}

func TestResult(t *testing.T) {
	n, err := Decode([]byte(sampleFail))
	if err != nil {
		t.Fatal(err)
	}
	want := result.Result{
		Task:     result.Task{AppID: "a", OperationID: "o"},
		DeviceID: "d", SubOperationID: "s",
		ResultFields: storage.ResultFields{
			State: storage.StateFailed, TargetVersion: "1.6", SourceVersion: "1.3", StatusDesc: "Invalid URI",
			UpgradeTime: "120",
		},
		ReceivedAt: 42, FailedAt: 42,
	}
	if diff := cmp.Diff(want, n.Result(42)); diff != "" {
		t.Errorf("failure (-want +got):\n%s", diff)
	}
	if got := success(nil).Result(42); got.FailedAt != 0 {
		t.Errorf("a success failed at %d", got.FailedAt)
	}
}

// encode writes a notification of ours as the platform would.
func encode(t *testing.T, n Notification) []byte {
	t.Helper()
	fields := map[string]string{
		"appId": n.AppID, "operationId": n.OperationID, "subOperationId": n.SubOperationID, "deviceId": n.DeviceID,
		"curVersion": n.CurVersion, "targetVersion": n.TargetVersion, "sourceVersion": n.SourceVersion,
		"upgradeTime": n.UpgradeTime,
	}
	switch n.Kind {
	case KindResult:
		fields["notifyType"], fields["statusDesc"] = typeResult, n.StatusDesc
		fields["status"] = map[storage.State]string{storage.StateSucceeded: "SUCCESS", storage.StateFailed: "FAIL"}[n.State]
	case KindStateChange:
		fields["notifyType"], fields["stepDesc"] = typeStateChange, n.StatusDesc
		fields["step"] = map[storage.State]string{
			storage.StateIdle: "0", storage.StateDownloading: "1", storage.StateDownloaded: "2", storage.StateUpdating: "3",
		}[n.State]
	default:
		fields["notifyType"] = n.Type
	}
	body, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func FuzzDecode(f *testing.F) {
	for _, sample := range []string{
		sampleSuccess, sampleFail, sampleState, sampleSoftware, sampleCommand, sampleTask,
		with(`"status"`, `"Status"`), with(`"120"`, `1e9`), with("1.3", "\xff\\ud800"), with("op-1", "\xff"),
		with("The", "a\n\x00\\q\x1b"), with("successful", "\xa6\xa8\xa5\\"), "\ufeff" + sampleState + "\x00",
		utf16Of(binary.LittleEndian, sampleFail), with(`"status"`, `"status":"FAIL","Status"`),
		utf16Of(binary.BigEndian, "\n"+sampleState)[2:], with("SUCCESS", "SUCCESS\x00"), with(`"1.6"`, `["1.6"]`),
		`{"notifyType":"fwUpgradeResultNotify"}`, "[]", "null", "", "{", strings.Repeat("[", 200),
	} {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		n, err := Decode(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			reason, ok := errors.AsType[*Unusable](err)
			if !ok || reason.Reason == "" || len(reason.Reason) > storage.MaxRejectedReasonBytes ||
				!utf8.ValidString(reason.Reason) {
				t.Fatalf("bad error %q", err)
			}
			return
		}
		checkBounds(t, n)
		if n.Kind == KindOther && (n.Type == "command status" || strings.HasPrefix(n.Type, "resource ")) {
			return // has no notifyType to send again
		}
		again, err := Decode(encode(t, n))
		if err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if diff := cmp.Diff(n, again); diff != "" {
			t.Fatalf("encoded and decoded again (-first +again):\n%s", diff)
		}
	})
}

func checkBounds(t *testing.T, n Notification) {
	t.Helper()
	bounds := map[string]struct {
		value string
		most  int
	}{
		"type": {n.Type, 64}, "appId": {n.AppID, storage.MaxIDBytes}, "operationId": {n.OperationID, storage.MaxIDBytes},
		"subOperationId": {n.SubOperationID, storage.MaxIDBytes}, "deviceId": {n.DeviceID, storage.MaxIDBytes},
		"targetVersion": {
			n.TargetVersion,
			storage.MaxVersionBytes,
		}, "sourceVersion": {n.SourceVersion, storage.MaxVersionBytes},
		"curVersion": {n.CurVersion, storage.MaxVersionBytes}, "statusDesc": {n.StatusDesc, storage.MaxStatusDescBytes},
		"upgradeTime": {n.UpgradeTime, storage.MaxUpgradeTimeBytes},
	}
	for field, b := range bounds {
		if len(b.value) > b.most || !utf8.ValidString(b.value) || strings.ContainsFunc(b.value, result.IsHidden) {
			t.Errorf("%s is out of bounds: %q", field, b.value)
		}
	}
	if ours := n.Kind != KindOther; ours && (n.OperationID == "" || n.DeviceID == "" || n.State == "") {
		t.Errorf("an incomplete notification: %+v", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, body := range map[string]string{
		"result": sampleSuccess, "stateChange": sampleState, "other": sampleSoftware,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := Decode([]byte(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
