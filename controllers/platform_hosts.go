// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// PlatformHosts are the addresses to which an IoTApplication may connect, as --platform-hosts lists them: host:port, or
// *.suffix:port for every host below a domain. None is allowed that is not listed.
type PlatformHosts []string

// Validate says what is wrong with an entry, in words that say what to change.
func (h PlatformHosts) Validate() error {
	for _, entry := range h {
		host, port, err := net.SplitHostPort(entry)
		if err != nil {
			return fmt.Errorf("--platform-hosts=%s: write host:port, as in iot.example.com:8743", entry)
		}
		// Ports are compared as they are written.
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
			return fmt.Errorf("--platform-hosts=%s: the port is a number from 1 to 65535, without a zero in front", entry)
		}
		name := strings.TrimPrefix(host, "*.")
		if net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(strings.ToLower(name))) > 0 {
			return fmt.Errorf("--platform-hosts=%s: the host is a name, *. before a name, or an IP address", entry)
		}
	}
	return nil
}

// allows says whether an endpoint may be called.
func (h PlatformHosts) allows(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" {
		return false
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(h, func(entry string) bool {
		listed, listedPort, err := net.SplitHostPort(entry)
		if err != nil || listedPort != port {
			return false
		}
		listed = strings.ToLower(listed)
		if suffix, any := strings.CutPrefix(listed, "*"); any {
			return strings.HasSuffix(host, suffix) && isName(host)
		}
		return host == listed
	})
}

// isName says whether a host is a name: an address is below no domain, not even where its zone looks so.
func isName(host string) bool {
	return net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(host)) == 0
}
