// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tally_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fwupgrade.io/operator/internal/result/resulttest"
	"fwupgrade.io/operator/internal/tally"
)

func TestCauseKeepsDocumentedTexts(t *testing.T) {
	for _, text := range resulttest.Documented() {
		if got := tally.Cause(text); got != text {
			t.Errorf("Cause(%q) = %q", text, got)
		}
	}
}

func TestCause(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"nothing":                  {"", tally.CauseUnspecified},
		"white space":              {" \t\r\n\u00a0", tally.CauseUnspecified},
		"control characters":       {"\x00\x1b\x7f\u200b\u202e", tally.CauseUnspecified},
		"our own Other":            {" Other\n", "Other (reported)"},
		"our own Recovered":        {"Recovered", "Recovered (reported)"},
		"the distinct spelling":    {"Other (reported)", "Other (reported)"},
		"collapsed":                {"  Invalid\n\t URI ", "Invalid URI"},
		"a terminal's escapes":     {"\x1b[31mInvalid\x07 URI", "[<id> URI"},
		"a UUID":                   {"Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301 is gone", "Device <id> is gone"},
		"an upper-case UUID":       {"Device 3F2504E0-4F89-11D3-9A0C-0305E82C3301.", "Device <id>."},
		"a UUID of letters mostly": {"abcdefab-cdef-abcd-efab-cdefabcdefa1 gone", "<id> gone"},
		"a hexadecimal id":         {"id=d41d8cd98f00b204e9800998ecf8427e;", "id=<id>;"},
		"a mixed id":               {"app kqXz8AbPl_0Qe7RtYvN2mWsD4fGh lost", "app <id> lost"},
		"a device name":            {"Device dev-000123 failed", "Device dev-<n> failed"},
		"an IPv4 address":          {"No route to 10.0.0.17:5683, gave up", "No route to <n>, gave up"},
		"an IPv6 address":          {"No route to [fe80::1ff:fe23:4567:890a]", "No route to [<id>]"},
		"a MAC address":            {"MAC aa:bb:cc:dd:ee:ff", "MAC <id>"},
		"versions":                 {"Is V1.3.0-17, wants v1.6", "Is <n>, wants <n>"},
		"plain numbers":            {"Got 17 of 4096 bytes (0%)", "Got <n> of <n> bytes (<n>%)"},
		"a number with a unit":     {"Timeout after 30s and 256KB", "Timeout after <n>s and <n>KB"},
		"a negative number":        {"Moved by -17", "Moved by -<n>"},
		"a hexadecimal number":     {"Lost 0x80070057", "Lost <n>"},
		"a date and a time":        {"At 2024-01-02T03:04:05.678Z and 03:04:05", "At <n> and <n>"},
		"a file":                   {"No such file /fw/pkg_1.6.2.bin", "No such file /fw/pkg_<n>.<n>.<n>.bin"},
		"names of techniques stay": {"SHA256, HTTP2 or X509 failed with E1234", "SHA256, HTTP2 or X509 failed with E1234"},
		"words with joiners stay":  {"Re-flash: not done: time-out.", "Re-flash: not done: time-out."},
		"another script":           {"电量17：电量不足", "电量<n>：电量不足"},
		"not UTF-8":                {"Invalid \xff\xfe URI", "Invalid \ufffd URI"},
		"cut":                      {strings.Repeat("a", 300), strings.Repeat("a", 256)},
		"cut at a rune":            {strings.Repeat("é", 200) + "a", strings.Repeat("é", 128)},
		"cut before a space":       {strings.Repeat("a", 255) + " b", strings.Repeat("a", 255)},
		"longer by placeholders":   {strings.Repeat("1 ", 300), strings.TrimSpace(strings.Repeat("<n> ", 64))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tally.Cause(c.text); got != c.want {
				t.Errorf("Cause(%q) = %q, want %q", c.text, got, c.want)
			}
			if got := tally.Cause(c.want); got != c.want {
				t.Errorf("Cause(%q) = %q, want the same", c.want, got)
			}
		})
	}
}

// TestCauseTellsCodesApart holds that texts with different codes are different causes, in whatever way and language the
// codes are written.
func TestCauseTellsCodesApart(t *testing.T) {
	for _, pair := range [][2]string{
		{"Download failed: HTTP 404", "Download failed: HTTP 503"},
		{"HTTP/1.1 404 Not Found", "HTTP/1.1 503 Service Unavailable"},
		{"HTTP/2 404", "HTTP/2 503"},
		{"server answered with status=404", "server answered with status=503"},
		{"http_status: 404", "http_status: 503"},
		{`{"statusCode":404,"size":17}`, `{"statusCode":503,"size":17}`},
		{`{"error_code":"IOTDA.014016"}`, `{"error_code":"IOTDA.014017"}`},
		{"IOTDA.014016", "IOTDA.014017"},
		{"IoTDA.014016: task refused", "IoTDA.014017: task refused"},
		{"APIGW.0301", "APIGW.0308"},
		{"status=4.04", "status=5.03"},
		{"HTTP Error 404.13", "HTTP Error 404.15"},
		{"code: -5", "code: -7"},
		{"code: -5", "code: 5"},
		{"rc=-1", "rc=-2"},
		{"ret 3", "ret 4"},
		{"result:7", "result:8"},
		{"Reason code #17", "Reason code #18"},
		{"reason 1010009", "reason 1010005"},
		{"update result is 8", "update result is 9"},
		{"errno 110", "errno 111"},
		{"[Errno 110] no answer", "[Errno 111] no answer"},
		{"Write error 0x11", "Write error 0x04"},
		{"0x11", "0x04"},
		{"NRC 0x7F22", "NRC 0x7F31"},
		{"Error 0x8007000E", "Error 0x80070057"},
		{"error 8007000E", "error 8007000F"},
		{"code -2147024882", "code -2147023888"},
		{"Fault code 4B", "Fault code 4C"},
		{"HTTP 4xx", "HTTP 5xx"},
		{"error 5 of the device", "error 6 of the device"},
		{"Error[5]", "Error[6]"},
		{"error no. 5", "error no. 6"},
		{"EC=5", "EC=6"},
		{"curl: (7) no connection", "curl: (28) no connection"},
		{"Update failed (7)", "Update failed (8)"},
		{"Update failed: -5", "Update failed: -7"},
		{"exit status 1", "exit status 2"},
		{"exited with code 137", "exited with code 139"},
		{"killed by signal 9", "killed by signal 11"},
		{"404 Not Found", "503 Service Unavailable"},
		{"404", "503"},
		{"GET https://host/fw.bin?sig=a: 404", "GET https://host/fw.bin?sig=b: 503"},
		{"HTTP 404 https://host/fw.bin", "HTTP 503 https://host/fw.bin"},
		{"codes 4,5", "codes 7,5"},
		{"-5", "-7"},
		{"1003: write", "1004: write"},
		{"E1003 write", "E1004 write"},
		{"E-1003", "E-1004"},
		{"ERR_17", "ERR_18"},
		{"ERR-FOTA-17", "ERR-FOTA-18"},
		{"ORA-00942 no table", "ORA-00943 no table"},
		{"ERR100012", "ERR100013"},
		{"errcode17", "errcode18"},
		{"err_17", "err_18"},
		{"错误码：4", "错误码：7"},
		{"下载失败，错误码:4", "下载失败，错误码:7"},
		{"错误代码为４", "错误代码为７"},
		{"状态码（404）", "状态码（503）"},
		{"返回值=-1", "返回值=-2"},
		{"升级失败(3)", "升级失败(4)"},
		{"エラーコード：17", "エラーコード：18"},
		{"오류 코드 17", "오류 코드 18"},
		{"Fehler Nr. 17", "Fehler Nr. 18"},
		{"Fehlercode 17", "Fehlercode 18"},
		{"erreur n° 17", "erreur n° 18"},
		{"código de error: 17", "código de error: 18"},
		{"erro 17", "erro 18"},
		{"код ошибки 17", "код ошибки 18"},
		{"Failed at stage 3", "Failed at stage 4"},
		{"Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301: rc 5", "Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301: rc 6"},
	} {
		if a, b := tally.Cause(pair[0]), tally.Cause(pair[1]); a == b {
			t.Errorf("%q and %q are one cause, %q", pair[0], pair[1], a)
		}
	}
}

// TestCauseGroupsDevices holds that texts that differ in what tells devices apart, and not in their codes, are one
// cause.
func TestCauseGroupsDevices(t *testing.T) {
	for _, pair := range [][2]string{
		{"Device dev-000123: HTTP 404", "Device dev-000124: HTTP 404"},
		{"Device E1234 failed", "Device E1235 failed"},
		{"Device METER-0017 failed", "Device METER-0018 failed"},
		{"METER-0017 failed", "METER-0018 failed"},
		{"node17: error 5", "node18: error 5"},
		{"deviceId=AB-12 refused", "deviceId=AB-13 refused"},
		{"device error id 17", "device error id 18"},
		{"SN AB123456: E1003", "SN AB123457: E1003"},
		{"IMEI 864386030000017", "IMEI 864386030000018"},
		{"code 864386030000017", "code 864386030000018"},
		{"error on aa:bb:cc:dd:ee:ff", "error on aa:bb:cc:dd:ee:f0"},
		{"error ABCDEF123456", "error ABCDEF123457"},
		{"error a1b2c3", "error a1b2c4"},
		{"connect error 10.0.0.17:5683", "connect error 10.0.0.18:5684"},
		{"HTTP 10.0.0.17", "HTTP 10.0.0.18"},
		{"connection to server:8883 failed", "connection to server:8884 failed"},
		{"HTTP port 8080", "HTTP port 8081"},
		{"CRC error at 0x0001F400", "CRC error at 0x0001F800"},
		{"CRC error at 0x1F", "CRC error at 0x2F"},
		{"CRC mismatch 0x1A2B, expected 0x3C4D", "CRC mismatch 0x1A2C, expected 0x3C4E"},
		{"Flash write offset 17", "Flash write offset 18"},
		{"Fault, pc 0x0800F1A4", "Fault, pc 0x0800F1A8"},
		{"download error, 17 bytes left", "download error, 18 bytes left"},
		{"error: 17/20 blocks", "error: 18/20 blocks"},
		{"result 17 of 20", "result 18 of 20"},
		{"error 4,096 bytes", "error 4,097 bytes"},
		{"failed 17 packets", "failed 18 packets"},
		{"failed after 3 retries", "failed after 4 retries"},
		{"status 45%", "status 46%"},
		{"status 45.5 %", "status 46.5 %"},
		{"timeout error, 30 s", "timeout error, 31 s"},
		{"Timeout error after 30s", "Timeout error after 31s"},
		{"result 3.3V", "result 3.4V"},
		{"error 12:30:05", "error 12:30:06"},
		{"error 2026-10-26T07:33:20Z", "error 2026-10-26T07:33:21Z"},
		{"12:30:05 Update failed", "12:30:06 Update failed"},
		{"error in line 17", "error in line 18"},
		{"17 blocks lost", "18 blocks lost"},
		{"GET https://h/fw/0017.bin?token=abc: error 5", "GET https://h/fw/0018.bin?token=xyz: error 5"},
		{"GET /devices/17/status/18: refused", "GET /devices/19/status/20: refused"},
		{"GET /fw/AB1234: refused", "GET /fw/AB1235: refused"},
		{"设备17错误码：4", "设备18错误码：4"},
		{"错误：重试3次", "错误：重试4次"},
		{"错误 17 字节", "错误 18 字节"},
		{"序列号：AB12", "序列号：AB13"},
		{"ошибка, 17 байт", "ошибка, 18 байт"},
		{"Fehler nach 17 Sekunden", "Fehler nach 18 Sekunden"},
	} {
		if a, b := tally.Cause(pair[0]), tally.Cause(pair[1]); a != b {
			t.Errorf("%q and %q are two causes, %q and %q", pair[0], pair[1], a, b)
		}
	}
}

// TestCauseGroupsIDs holds that texts that differ only in random ids are one group.
func TestCauseGroupsIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`).Draw(t, "id")
		number := rapid.Uint32().Draw(t, "number")
		got := tally.Cause(fmt.Sprintf("Device %s lost block %d", id, number))
		if want := "Device <id> lost block <n>"; got != want {
			t.Fatalf("Cause is %q, want %q", got, want)
		}
	})
}

func checkCause(t resulttest.Fataler, text string) {
	cause := tally.Cause(text)
	if again := tally.Cause(cause); again != cause {
		t.Fatalf("Cause(%q) = %q, and of that %q", text, cause, again)
	}
	bounded := 0 < len(cause) && len(cause) <= 256
	if !bounded || !utf8.ValidString(cause) || strings.ContainsFunc(cause, unicode.IsControl) {
		t.Fatalf("Cause(%q) = %q: not 1 to 256 bytes of clean UTF-8", text, cause)
	}
	if cause == tally.CauseOther || cause == tally.CauseRecovered {
		t.Fatalf("Cause(%q) = %q, which has a meaning of its own", text, cause)
	}
}

func TestCauseIsIdempotentAndBounded(t *testing.T) {
	word := rapid.StringMatching(`[0-9a-gA-GvVxTZ:._ -]{0,40}`)
	text := rapid.OneOf(rapid.String(), word, rapid.StringOfN(rapid.SampledFrom([]rune("a1:- <")), 200, 400, -1))
	rapid.Check(t, func(t *rapid.T) { checkCause(t, text.Draw(t, "text")) })
}

func FuzzCause(f *testing.F) {
	for _, text := range resulttest.Documented() {
		f.Add(text)
	}
	f.Add("Device 3f2504e0-4f89-11d3-9a0c-0305e82c3301 at 10.0.0.1:80, v1.2-a:b:c\xff\x00 Other")
	f.Fuzz(func(t *testing.T, text string) { checkCause(t, text) })
}

// TestManyCodesEndInOther holds that however many codes a sender makes up, a summary has ten causes and the rest, and
// that the counts are exact.
func TestManyCodesEndInOther(t *testing.T) {
	const codes = 1000
	tallied := tally.New()
	for code := range codes {
		for device := range 1 + code%2 {
			r := resulttest.Failed(fmt.Sprintf("d%d-%d", code, device), int64(code+1))
			r.StatusDesc = fmt.Sprintf("Error %d", code)
			add(tallied, r)
		}
	}
	summary := tallied.Summary(tasks[0], tally.Query{})
	causes := summary.Causes
	if len(causes) != 11 || causes[0].Cause != "Error 1" || causes[10].Cause != tally.CauseOther {
		t.Fatalf("Unexpected causes: %v", causes)
	}
	if want := int64(codes*3/2 - 10*2); causes[10].Count != want {
		t.Errorf("Other has %d devices, want %d", causes[10].Count, want)
	}
	if summary.Failed != codes*3/2 {
		t.Errorf("%d devices failed, want %d", summary.Failed, codes*3/2)
	}
}
