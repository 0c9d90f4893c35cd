// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"net/url"
	"strconv"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// maxURLBytes bounds a callback's URL. Inferred: the documents bound it in a query by 256, and nowhere else.
const maxURLBytes = 2048

// hostOf returns host and port of a callback, or nothing where the platform refuses it. Documented: it is http or
// https, and names a port and a path; the platform's FAQ adds that the address must not be a private one, which here is
// one that is not on this machine.
func (o *PushOptions) hostOf(callback string) (host string, ok bool) {
	u, err := url.Parse(callback)
	if err != nil || len(callback) > maxURLBytes || u.User != nil || u.Fragment != "" {
		return "", false
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < 1 || port > 65535 || u.Hostname() == "" || len(u.Path) < 2 {
		return "", false
	}
	return u.Host, o.AllowRemote || platform.IsLoopback(u.Hostname())
}
