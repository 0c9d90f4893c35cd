// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
)

// What can't be an address, or would match nothing, is refused with a sentence that says what to write.
func TestPlatformHostsAreValidated(t *testing.T) {
	const (
		form = ": write host:port, as in iot.example.com:8743"
		port = ": the port is a number from 1 to 65535, without a zero in front"
		host = ": the host is a name, *. before a name, or an IP address"
	)
	for entry, want := range map[string]string{
		"iot.example.com:8743":   "",
		"IoT.Example.COM:8743":   "",
		"platform:1":             "",
		"iot.example.com:65535":  "",
		"*.example.com:8743":     "",
		"*.Example.com:8743":     "",
		"*.com:443":              "",
		"192.0.2.1:8743":         "",
		"[2001:db8::1]:8743":     "",
		"[2001:DB8::1]:8743":     "",
		"[::ffff:192.0.2.1]:443": "",

		"":                             form,
		"iot.example.com":              form,
		"8743":                         form,
		"2001:db8::1:8743":             form,
		"[2001:db8::1]":                form,
		"iot.example.com:8743:8743":    form,
		"https://iot.example.com:8743": form,

		"iot.example.com:":         port,
		"iot.example.com:0":        port,
		"iot.example.com:65536":    port,
		"iot.example.com:99999":    port,
		"iot.example.com:08743":    port,
		"iot.example.com:00":       port,
		"iot.example.com:-1":       port,
		"iot.example.com:+8743":    port,
		"iot.example.com: 8743":    port,
		"iot.example.com:8743 ":    port,
		"iot.example.com:8743\n":   port,
		"iot.example.com:8743/api": port,
		"iot.example.com:https":    port,
		"iot.example.com:*":        port,
		"iot.example.com:٨٧٤٣":     port,
		"https://iot.example.com":  port,

		":8743":                   host,
		"*:8743":                  host,
		"*.:8743":                 host,
		"**.example.com:8743":     host,
		"*.*.example.com:8743":    host,
		"*example.com:8743":       host,
		"iot.*.com:8743":          host,
		".example.com:8743":       host,
		"iot.example.com.:8743":   host,
		"*.example.com.:8743":     host,
		"iot..example.com:8743":   host,
		"-iot.example.com:8743":   host,
		"iot_1.example.com:8743":  host,
		" iot.example.com:8743":   host,
		"iot.example.com :8743":   host,
		"me@iot.example.com:8743": host,
		"iot.example.com/a:8743":  host,
		"плат.example:8743":       host,
		"ıot.example.com:8743":    host,
		"iot。example.com:8743":    host,
		"[fe80::1%eth0]:8743":     host,
		"*.[2001:db8::1]:8743":    form,
		"[*.2001:db8::1]:8743":    host,
	} {
		t.Run(entry, func(t *testing.T) {
			// One that is wrong is found among others.
			err := PlatformHosts{"first.example.com:443", entry, "last.example.com:443"}.Validate()
			switch {
			case want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case want != "" && (err == nil || err.Error() != "--platform-hosts="+entry+want):
				t.Errorf("want %q, got %v", "--platform-hosts="+entry+want, err)
			}
		})
	}
	if err := (PlatformHosts{"a:1", "a:1", "A:1", "*.a:1", "*.a:1"}).Validate(); err != nil {
		t.Errorf("the same twice is refused: %v", err)
	}
	if err := (PlatformHosts)(nil).Validate(); err != nil {
		t.Errorf("an empty list is refused: %v", err)
	}
}

func TestPlatformHostsAllow(t *testing.T) {
	listed := PlatformHosts{
		"iot.example.com:8743", "IoT.Example.ORG:8743", "web.example.com:443", "*.example.net:8743", "*.Upper.Example:8743",
		"192.0.2.1:8743", "[2001:DB8::1]:8743", "[::1]:443", "twice.example:1", "twice.example:1", "*.2.1:8743",
	}
	if err := listed.Validate(); err != nil {
		t.Fatal(err)
	}
	for endpoint, want := range map[string]bool{
		"https://iot.example.com:8743":  true,
		"https://IOT.example.COM:8743":  true,
		"https://iot.example.org:8743":  true,
		"https://web.example.com":       true,
		"https://web.example.com:443":   true,
		"https://a.example.net:8743":    true,
		"https://A.EXAMPLE.NET:8743":    true,
		"https://a.b.example.net:8743":  true,
		"https://a.upper.example:8743":  true,
		"https://192.0.2.1:8743":        true,
		"https://[2001:db8::1]:8743":    true,
		"https://[2001:DB8::1]:8743":    true,
		"https://[::1]":                 true,
		"https://[::1]:443":             true,
		"https://twice.example:1":       true,
		"http://iot.example.com:8743":   false,
		"https://iot.example.com":       false, // 443
		"https://iot.example.com:443":   false,
		"https://iot.example.com:08743": false,
		"https://iot.example.com:18743": false,
		"https://iot.example.com:0":     false,
		"https://iot.example.com:99999": false,
		"https://web.example.com:8743":  false,

		"https://xiot.example.com:8743":     false,
		"https://a.iot.example.com:8743":    false,
		"https://iot.example.com.evil:8743": false,
		"https://iot.example.com.:8743":     false, // another name for a resolver, and for a certificate
		"https://iot-example.com:8743":      false,
		"https://example.com:8743":          false,
		"https://example.net:8743":          false,
		"https://evilexample.net:8743":      false,
		"https://.example.net:8743":         false,
		"https://a.example.net:443":         false,
		"https://a.example.net":             false,
		"https://a.example.net.:8743":       false,
		"https://a.example.net.evil:8743":   false,
		"https://*.example.net:443":         false,
		"https://a.example。net:8743":        false,
		"https://192.0.2.10:8743":           false,
		"https://192.0.2.1":                 false,
		"https://198.51.2.1:8743":           false, // an address is below no domain
		"https://[::ffff:192.0.2.1]:8743":   false,
		"https://[2001:db8::11]:8743":       false,
		"https://[::1]:8743":                false,
		"https://iot.example.com:8743@evil": false,
		"https://a.example.net:8743@evil":   false,
		"https://evil#.example.net:8743":    false,
		"https://evil/.example.net:8743":    false,
		"https://evil?a.example.net:8743":   false,
		`https://evil\.example.net:8743`:    false,
		"https://evil%00.example.net:8743":  false,
		"https://iot.example.com:8743\n":    false,
		"//iot.example.com:8743":            false,
		"iot.example.com:8743":              false,
		"https:iot.example.com:8743":        false,
		"https://":                          false,
		"":                                  false,
		"https://ıot.example.com:8743":      false,
		"ftp://a.example.net:8743":          false,
		"https://2.1:8743":                  false,
		"https://[fe80::1%25.2.1]:8743":     false,
		// A zone of which Go reads the number in front: the address of an interface.
		"https://[fe80::1%251.example.net]:8743": false,
	} {
		if got := listed.allows(endpoint); got != want {
			t.Errorf("%q is allowed: %t, want %t", endpoint, got, want)
		}
		if PlatformHosts(nil).allows(endpoint) || (PlatformHosts{}).allows(endpoint) {
			t.Errorf("%q is allowed by an empty list", endpoint)
		}
	}
	if listed := (PlatformHosts{"*.example.com:8743"}); listed.allows("https://evilexample.com:8743") ||
		listed.allows("https://example.com:8743") {
		t.Error("what is not below a domain is allowed by *. before it")
	}
}

// Whatever an endpoint is put together from, only hosts that are listed are called, at the port that is listed.
func TestNothingElseIsAllowed(t *testing.T) {
	listed := PlatformHosts{"iot.example.com:8743", "*.example.net:443", "192.0.2.1:8743", "[2001:db8::1]:8743"}
	if err := listed.Validate(); err != nil {
		t.Fatal(err)
	}
	// Of the hosts below, those that are called at a port.
	hosts := map[string]string{
		"iot.example.com": ":8743", "a.example.net": ":443", "a.b.example.net": ":443", "192.0.2.1": ":8743",
		"[2001:db8::1]": ":8743",
	}
	for _, other := range []string{
		"", "evil.example", "example.com", "example.net", "evilexample.net", "example.net.evil.example", "localhost",
		"kubernetes.default.svc", "169.254.169.254", "127.0.0.1", "192.0.2.2", "[::1]", "[2001:db8::2]", "0xc0000201",
		"iot.example.com.", "iot.example.com%2eevil.example", "iot.example.com,evil.example", "*", "*.example.net.",
		"iot.example.com evil.example", "[fe80::1%251.example.net]", "1_2.example.net", "[iot.example.com]", "2001:db8::1",
		"iot.example.com\x00.evil.example",
	} {
		hosts[other] = "nowhere"
	}
	allowed := map[string]bool{}
	for host, at := range hosts {
		for _, spelled := range []string{host, strings.ToUpper(host)} {
			for _, port := range []string{"", ":", ":443", ":8743", ":0443", ":08743", ":80", ":6443", ":0", ":99999", ":x"} {
				for _, scheme := range []string{"https", "HTTPS", "http", "ftp", ""} {
					for _, user := range []string{"", "me@", "me:iot.example.com@", "iot.example.com:8743@"} {
						for _, tail := range []string{"", "/", "/a.example.net:443", "?iot.example.com:8743", "#iot.example.com", "\n"} {
							endpoint := scheme + "://" + user + spelled + port + tail
							if !listed.allows(endpoint) {
								continue
							}
							called := port
							if called == "" || called == ":" {
								called = ":443"
							}
							if !strings.EqualFold(scheme, "https") || called != at {
								t.Errorf("%q is allowed", endpoint)
							}
							allowed[host] = true
						}
					}
				}
			}
		}
	}
	if len(allowed) != 5 {
		t.Errorf("of the listed hosts these are called: %v", allowed)
	}
}
