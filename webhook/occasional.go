// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"log"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// occasional logs what strangers can bring about as often as they like: of each kind one line in a while.
type occasional struct {
	clock clock.PassiveClock
	log   logr.Logger
	every time.Duration

	mu sync.Mutex
	// kinds are words of the code, so that there are few.
	kinds map[string]*lastLine
}

// lastLine is when a line of a kind was logged last, and how many were left out since.
type lastLine struct {
	at      time.Time
	leftOut int
}

func newOccasional(clk clock.PassiveClock, log logr.Logger, every time.Duration) *occasional {
	return &occasional{clock: clk, log: log, every: every, kinds: map[string]*lastLine{}}
}

// info logs a line, unless one of its kind was logged a short while ago.
func (o *occasional) info(kind, message string, details ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.clock.Now()
	last, ok := o.kinds[kind]
	if !ok {
		last = &lastLine{}
		o.kinds[kind] = last
	} else if now.Sub(last.at) < o.every {
		last.leftOut++
		return
	}
	if last.leftOut > 0 {
		details = append(details, "leftOut", last.leftOut)
	}
	*last = lastLine{at: now}
	o.log.Info(message, details...)
}

// NewServerLog is the log of an HTTP server, of which strangers choose how much it has to say: of each kind one line a
// minute.
func NewServerLog(to logr.Logger) *log.Logger {
	return log.New(serverLog{lines: newOccasional(clock.RealClock{}, to, lineInterval)}, "", 0)
}

// serverLog is where the HTTP server logs: that it can't accept connections, and defects. What senders send is not
// among it, but for the value of a panic.
type serverLog struct {
	lines *occasional
}

// Write implements io.Writer; it is given one message at a time.
func (l serverLog) Write(message []byte) (int, error) {
	problem, _, _ := strings.Cut(string(message[:min(len(message), maxProblemBytes)]), "\n")
	switch {
	case strings.HasPrefix(problem, "http: Accept error"):
		l.lines.info("accept", "Could not accept connections", "problem", problem)
	case strings.HasPrefix(problem, "http: panic"):
		l.lines.info("panic", "Recovered while serving a connection")
	default:
		l.lines.info("server", "The HTTP server reported a problem", "problem", problem)
	}
	return len(message), nil
}
