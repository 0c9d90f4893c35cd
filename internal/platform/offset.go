// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"net/http"
	"time"
)

const (
	// offsetWeight is the part of a new sample in the smoothed offset: one in so many.
	offsetWeight = 8
	// offsetMaxTrip is how long an exchange may have taken to say anything about a clock.
	offsetMaxTrip = 10 * time.Second
	// dateResolution is that of the Date header, which is cut to seconds.
	dateResolution = time.Second
)

// clockOffset is how far the platform's clock is ahead of ours, by the Date header of its answers, smoothed.
type clockOffset struct {
	value time.Duration
	known bool
}

// observe takes the Date of an answer to a request. It was most likely written half way, and half a second ago.
func (o *clockOffset) observe(date string, sent, received time.Time) {
	at, err := http.ParseTime(date)
	trip := received.Sub(sent)
	if err != nil || trip < 0 || trip > offsetMaxTrip {
		return
	}
	sample := at.Add(dateResolution / 2).Sub(sent.Add(trip / 2))
	if !o.known {
		o.value, o.known = sample, true
		return
	}
	o.value += (sample - o.value) / offsetWeight
}
