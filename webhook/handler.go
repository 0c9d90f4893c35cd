// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"fwupgrade.io/operator/webhook/wire"
)

// handler answers pushes. It is a plain http.Handler and not a ServeMux, which would redirect and clean paths: the
// platform takes a redirect for a failure.
type handler struct {
	auth      *authenticator
	committer *committer
	clock     clock.PassiveClock
	log       logr.Logger
	metrics   *metrics
	// draining asks senders to go elsewhere with their next push.
	draining *atomic.Bool
	// buffers are bodies' memory for the next push.
	buffers sync.Pool
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := h.clock.Now()
	o := h.guard(r, arrived)
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	respond(w, o)
	h.metrics.answered(o.answer, h.clock.Since(arrived))
	if log := h.log.V(1); log.Enabled() {
		log.Info("Answered a push", "answer", o.answer.String(), "remote", r.RemoteAddr)
	}
}

// guard makes sure that a defect costs the push and neither the answer nor, by way of the server's log of panics, a
// secret.
func (h *handler) guard(r *http.Request, arrived time.Time) (o outcome) {
	defer func() {
		if problem := recover(); problem != nil {
			err := fmt.Errorf("panic of type %T", problem)
			h.log.Error(err, "Recovered while handling a push", "stack", string(debug.Stack()))
			o = outcome{answer: answerNotStored}
		}
	}()
	return h.handle(r, arrived)
}

// handle decides what becomes of a push. Strangers learn nothing but that they are: the method is looked at after the
// credentials, the body after both.
func (h *handler) handle(r *http.Request, arrived time.Time) outcome {
	granted, found := h.auth.authenticate(r)
	switch {
	case found == accessOtherPath:
		return outcome{answer: answerNotFound}
	case found == accessDenied:
		return outcome{answer: answerUnauthorized}
	case r.Method != http.MethodPost:
		return outcome{answer: answerMethodNotAllowed}
	case found == accessSubPath:
		return outcome{answer: answerIgnored, reason: "nothing is received below the callback path"}
	}
	buffer := h.buffer()
	defer h.buffers.Put(buffer)
	tooLarge, err := readBody(buffer, r.Body)
	switch {
	case err != nil:
		return outcome{answer: answerIncomplete}
	case tooLarge:
		return h.reject(arrived, fmt.Sprintf("the body is larger than %d bytes", maxBodyBytes), buffer.Bytes())
	}
	return h.receive(granted, arrived, buffer.Bytes())
}

// receive decodes the body of an authentic push and has it stored.
func (h *handler) receive(granted scope, arrived time.Time, body []byte) outcome {
	n, err := wire.Decode(body)
	switch {
	case err != nil:
		reason := "the body can't be used"
		if unusable, ok := errors.AsType[*wire.Unusable](err); ok {
			reason = unusable.Reason
		}
		return h.reject(arrived, reason, body)
	case n.Kind == wire.KindOther:
		return outcome{answer: answerIgnored, reason: "not a firmware upgrade notification: " + n.Type}
	case granted.appID != "" && n.AppID == "":
		// The secret says whose it is.
		n.AppID = granted.appID
	case granted.appID != "" && n.AppID != granted.appID:
		return h.reject(arrived, "appId is not the application whose secret was used", body)
	}
	return h.committer.submit(newResultEntry(arrived, n.Result(arrived.UnixMicro()), body))
}

// reject has an authentic push stored that can't be used.
func (h *handler) reject(arrived time.Time, reason string, body []byte) outcome {
	return h.committer.submit(newRejectedEntry(arrived, reason, body))
}

func (h *handler) buffer() *bytes.Buffer {
	buffer, ok := h.buffers.Get().(*bytes.Buffer)
	if !ok {
		return &bytes.Buffer{}
	}
	buffer.Reset()
	return buffer
}

// readBody reads a body, or as much of a too large one as may be. It fails if the sender broke off, in the bounds of
// what is read of a too large body as well: a push that was not sent to its end gets no 200.
func readBody(buffer *bytes.Buffer, body io.Reader) (tooLarge bool, err error) {
	n, err := buffer.ReadFrom(io.LimitReader(body, maxBodyBytes+1))
	if err != nil || n <= maxBodyBytes {
		return false, err
	}
	// The sender reads the answer only after it has sent the rest.
	if _, err := io.CopyN(io.Discard, body, maxDiscardBytes); err != nil && !errors.Is(err, io.EOF) {
		return true, err
	}
	return true, nil
}
