// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"syscall"
)

// What a report counts as an answer where there was none.
const (
	answerOK      = "200"
	answerTimeout = "timeout"
	answerRefused = "connection refused"
	answerBroken  = "connection broken"
	answerEnded   = "run ended"
	answerInvalid = "not sent"
)

// maxAnswerBytes is how much of an answer is read, so that its connection can be used again.
const maxAnswerBytes = 64 << 10

// pushOne pushes one notification and waits for the answer. Only its status counts.
func pushOne(ctx context.Context, client *http.Client, plan *Plan, o PushOptions, number int) outcome {
	body, err := plan.Body(number)
	if err != nil {
		return outcome{number: number, answer: answerInvalid}
	}
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodPost, o.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{number: number, answer: answerInvalid}
	}
	request.Header.Set("Content-Type", "application/json")
	began := o.Clock.Now()
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return outcome{number: number, answer: answerEnded}
		}
		return outcome{number: number, answer: Classify(err), latency: o.Clock.Since(began)}
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswerBytes))
	return outcome{number: number, answer: strconv.Itoa(response.StatusCode), latency: o.Clock.Since(began)}
}

// Classify names an error. The error itself quotes the URL, which is a secret.
func Classify(err error) string {
	switch {
	case os.IsTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return answerTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return answerRefused
	default:
		return answerBroken
	}
}
