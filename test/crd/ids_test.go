// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"encoding/json"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/api/v1alpha1"
	"fwupgrade.io/operator/internal/result"
	"fwupgrade.io/operator/test/wrappers"
	"fwupgrade.io/operator/webhook/wire"
)

// What may be wrong with a text of the spec, as its message says it.
const (
	tooLong  = "than 256"
	atAnEnd  = "has a blank or a line feed at an end: in YAML write it in quotes on one line, not as a block (|)"
	noText   = "holds a control character or an invisible one, or U+FFFD in place of one"
	accepted = ""
)

// texts are ids as people write them or as they come along with a copy, and what the CRD says of each.
func texts() map[string]struct{ text, want string } {
	return map[string]struct{ text, want string }{
		"a UUID":                       {"3f0f2b5e-5b39-4a0e-9d0b-6c7f3c1d2a10", accepted},
		"signs":                        {`_-.:/\"'<>&?#%{}[]$^*+=~|,;@!()`, accepted},
		"a blank inside":               {"canary meters", accepted},
		"Chinese":                      {"升级任务", accepted},
		"a combining mark":             {"e\u0301", accepted},
		"a picture":                    {"\U0001F680", accepted},
		"256 bytes":                    {strings.Repeat("x", storage.MaxIDBytes), accepted},
		"256 bytes of Chinese":         {"x" + strings.Repeat("升", 85), accepted},
		"257 bytes":                    {strings.Repeat("x", storage.MaxIDBytes+1), tooLong},
		"200 Chinese letters":          {strings.Repeat("升", 200), "is longer than 256 bytes"},
		"64 pictures and a letter":     {strings.Repeat("\U0001F680", 64) + "x", "is longer than 256 bytes"},
		"a trailing line feed":         {"op\n", atAnEnd},
		"a trailing CRLF":              {"op\r\n", atAnEnd},
		"a trailing CR":                {"op\r", atAnEnd},
		"a trailing TAB":               {"op\t", atAnEnd},
		"a leading TAB":                {"\top", atAnEnd},
		"a leading blank":              {" op", atAnEnd},
		"a trailing blank":             {"op ", atAnEnd},
		"a trailing no-break blank":    {"op\u00a0", atAnEnd},
		"a trailing ideographic blank": {"op\u3000", atAnEnd},
		"a trailing line separator":    {"op\u2028", atAnEnd},
		"a trailing next line":         {"op\u0085", atAnEnd},
		"nothing but blanks":           {"  ", atAnEnd},
		"a line feed inside":           {"o\np", noText},
		"a TAB inside":                 {"o\tp", noText},
		"a no-break blank inside":      {"canary\u00a0meters", noText},
		"an ideographic blank inside":  {"升级\u3000任务", noText},
		"a narrow blank inside":        {"o\u202fp", noText},
		"NUL":                          {"o\x00p", noText},
		"NUL at the end":               {"op\x00", noText},
		"an escape":                    {"o\x1b[2Jp", noText},
		"DEL":                          {"o\x7fp", noText},
		"a C1 control":                 {"o\u009bp", noText},
		"right-to-left override":       {"o\u202ep", noText},
		"a directional isolate":        {"o\u2066p", noText},
		"a zero-width blank":           {"o\u200bp", noText},
		"a zero-width blank at an end": {"op\u200b", noText},
		"a zero-width joiner":          {"o\u200dp", noText},
		"a soft hyphen":                {"o\u00adp", noText},
		"a byte order mark":            {"\ufeffop", noText},
		"a line separator inside":      {"o\u2028p", noText},
		"a paragraph separator inside": {"o\u2029p", noText},
		"a private character":          {"o\ue000p", noText},
		"a character that is none":     {"o\uffffp", noText},
		"a tag":                        {"o\U000e0041p", noText},
		"a replaced character":         {"o\ufffdp", noText},
		"a combining grapheme joiner":  {"o\u034fp", noText},
		"a Hangul filler":              {"o\u3164p", noText},
		"a leading Hangul filler":      {"o\u115fp", noText},
		"a filler of a vowel":          {"o\u1160p", noText},
		"a narrow filler":              {"o\uffa0p", noText},
		"a vowel that is not written":  {"o\u17b4p", noText},
		"a variation selector":         {"o\ufe0fp", noText},
		"a Mongolian selector":         {"o\u180bp", noText},
		"the last Mongolian selector":  {"o\u180fp", noText},
		"a variation of an ideograph":  {"升\U000e0100", noText},
		"Braille without a dot":        {"o\u2800p", noText},
	}
}

// inGroup sets a text of the groups that a task is for.
func inGroup(
	set func(g *v1alpha1.DeviceGroups, text string),
) func(fwu *wrappers.FirmwareUpgrade, text string) *wrappers.FirmwareUpgrade {
	return func(_ *wrappers.FirmwareUpgrade, text string) *wrappers.FirmwareUpgrade {
		w := inGroups("text")
		set(w.Spec.Task.DeviceGroups, text)
		return w
	}
}

// Every text of the spec that is compared with what devices report, or sent to the platform, is refused with a sentence
// that says what to do, where no notification can carry it: too many bytes, blanks at the ends, control and invisible
// characters.
func TestTextsOfTheSpec(t *testing.T) {
	fields := map[string]struct {
		with func(fwu *wrappers.FirmwareUpgrade, text string) *wrappers.FirmwareUpgrade
		path string
		name string
	}{
		"operationId":   {(*wrappers.FirmwareUpgrade).Operation, "spec.operationId", "operationId "},
		"appId":         {(*wrappers.FirmwareUpgrade).App, "spec.appId", "appId "},
		"targetVersion": {(*wrappers.FirmwareUpgrade).Target, "spec.targetVersion", "targetVersion "},
		"devices": {func(fwu *wrappers.FirmwareUpgrade, text string) *wrappers.FirmwareUpgrade {
			return fwu.Devices("first", text)
		}, "spec.devices[1]", "a device id "},
		"task.devices": {func(fwu *wrappers.FirmwareUpgrade, text string) *wrappers.FirmwareUpgrade {
			return fwu.App("x").Task("first", text)
		}, "spec.task.devices[1]", "a device id "},
		"task.packageId": {func(fwu *wrappers.FirmwareUpgrade, text string) *wrappers.FirmwareUpgrade {
			fwu.App("x").Task("d").Spec.Task.PackageID = text
			return fwu
		}, "spec.task.packageId", "packageId "},
		"task.deviceGroups.names": {inGroup(func(g *v1alpha1.DeviceGroups, text string) {
			g.Names[1] = text
		}), "spec.task.deviceGroups.names[1]", "a name of a group "},
		"task.deviceGroups.deviceType": {inGroup(func(g *v1alpha1.DeviceGroups, text string) {
			g.DeviceType = text
		}), "spec.task.deviceGroups.deviceType", "deviceType "},
		"task.deviceGroups.model": {inGroup(func(g *v1alpha1.DeviceGroups, text string) {
			g.Model = text
		}), "spec.task.deviceGroups.model", "model "},
		"task.deviceGroups.manufacturerName": {inGroup(func(g *v1alpha1.DeviceGroups, text string) {
			g.ManufacturerName = text
		}), "spec.task.deviceGroups.manufacturerName", "manufacturerName "},
	}
	for field, f := range fields {
		for name, c := range texts() {
			t.Run(field+"/"+name, func(t *testing.T) {
				err := k8s.Create(t.Context(), f.with(upgradeNamed("text"), c.text).Obj(), client.DryRunAll)
				if c.want == accepted {
					checkRefusal(t, "", err)
					return
				}
				checkRefusal(t, f.path, err)
				if c.want == tooLong { // the API server's own words
					checkRefusal(t, tooLong, err)
					return
				}
				checkRefusal(t, f.name+c.want, err)
			})
		}
	}
}

// The CRD accepts an id exactly if a notification can carry it as it is: what is declared can be matched, and every
// task that is reported can be declared, by the operator's placeholder too.
func TestTheCRDAndTheWebhookAgreeOnIDs(t *testing.T) {
	for name, c := range texts() {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(map[string]string{
				"notifyType": "fwUpgradeResultNotify", "status": "SUCCESS",
				"deviceId": c.text, "operationId": c.text, "appId": c.text,
			})
			if err != nil {
				t.Fatal(err)
			}
			n, err := wire.Decode(body)
			carried := err == nil && n.DeviceID == c.text && n.OperationID == c.text && n.AppID == c.text
			if want := c.want == accepted; carried != want {
				t.Errorf("the CRD accepts it: %t; a notification carries it: %t (%v)", want, carried, err)
			}
		})
	}
}

// What the API server takes for a character that can be seen, the webhook takes for one, too: whatever character it is.
func TestTheCRDAndTheWebhookAgreeOnCharacters(t *testing.T) {
	seen, hidden := characterClasses(t)
	for r := rune(0); r <= unicode.MaxRune; r++ {
		text := string(r)
		crd := seen.MatchString(text) && !hidden.MatchString(text)
		if webhook := r != utf8.RuneError && !result.IsHidden(r); crd != webhook && utf8.ValidRune(r) {
			t.Errorf("%U: the CRD takes it: %t, the webhook: %t", r, crd, webhook)
		}
	}
}

// characterClasses are the regular expressions of the rule that says of what characters an id is: each character has to
// match seen and must not match hidden.
func characterClasses(t *testing.T) (seen, hidden *regexp.Regexp) {
	t.Helper()
	text, err := os.ReadFile("../../config/crd/bases/fwupgrade.io_firmwareupgrades.yaml")
	if err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(text, crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	for _, rule := range spec.Properties["operationId"].XValidations {
		patterns := regexp.MustCompile(`matches\(r?'([^']+)'\)`).FindAllStringSubmatch(rule.Rule, -1)
		if len(patterns) != 2 {
			continue
		}
		class, err := strconv.Unquote(`"` + patterns[1][1] + `"`)
		if err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(patterns[0][1]), regexp.MustCompile(class)
	}
	t.Fatal("no rule of two classes")
	return nil, nil
}

// The rules for the longest list of the longest ids cost the API server no more than it allows.
func TestLargestListOfDevices(t *testing.T) {
	devices := make([]string, 1000)
	for i := range devices {
		devices[i] = strings.Repeat("\U0001F680", 63) + string(rune('一'+i))
	}
	checkRefusal(t, "", k8s.Create(t.Context(), upgradeNamed("large").Devices(devices...).Obj(), client.DryRunAll))
	devices[999] += "\n"
	err := k8s.Create(t.Context(), upgradeNamed("large").Devices(devices...).Obj(), client.DryRunAll)
	checkRefusal(t, "spec.devices[999]", err)
	checkRefusal(t, atAnEnd, err)
}
