// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"fwupgrade.io/operator/internal/result"
)

// NewLimitedLog is a log for the code of others that reports errors as often as strangers like: of those whose message
// begins with one of the beginnings, one line a minute for each beginning. Everything else is logged as it comes.
func NewLimitedLog(to logr.Logger, beginnings ...string) logr.Logger {
	return logr.New(limitedLog{
		LogSink: to.GetSink(), lines: newOccasional(clock.RealClock{}, to, lineInterval), beginnings: beginnings,
	})
}

// limitedLog is where such code logs.
type limitedLog struct {
	logr.LogSink

	lines      *occasional
	beginnings []string
}

// Init implements logr.LogSink. The one that it passes on to was initialized before.
func (l limitedLog) Init(logr.RuntimeInfo) {}

// Error implements logr.LogSink. The lines that are limited have no stack trace: what they tell is no defect.
func (l limitedLog) Error(err error, message string, details ...any) {
	for _, beginning := range l.beginnings {
		if !strings.HasPrefix(message, beginning) {
			continue
		}
		if err != nil {
			details = append(details, "problem", result.Clean(err.Error(), maxProblemBytes))
		}
		l.lines.info(beginning, result.Clean(message, maxProblemBytes), details...)
		return
	}
	l.LogSink.Error(err, message, details...)
}

// WithValues implements logr.LogSink.
func (l limitedLog) WithValues(details ...any) logr.LogSink {
	l.LogSink = l.LogSink.WithValues(details...)
	return l
}

// WithName implements logr.LogSink.
func (l limitedLog) WithName(name string) logr.LogSink {
	l.LogSink = l.LogSink.WithName(name)
	return l
}
