// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"fwupgrade.io/operator/webhook/wire"
)

// lingerTime is how long a connection is read whose request was answered before its body came: a round trip around the
// world.
const lingerTime = 300 * time.Millisecond

// handler answers pushes. It is a plain http.Handler and not a ServeMux, which would redirect and clean paths: the
// platform takes a redirect for a failure.
type handler struct {
	auth      *authenticator
	committer *committer
	clock     clock.PassiveClock
	log       logr.Logger
	// lines are the part of the log that strangers can fill.
	lines   *occasional
	metrics *metrics
	// draining asks senders to go elsewhere with their next push.
	draining *atomic.Bool
	bodies   bodyMemory
	inflater inflater
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := h.clock.Now()
	o := h.guard(r, arrived)
	if h.draining.Load() || isLast(r) {
		w.Header().Set("Connection", "close")
	}
	respond(w, o)
	if row := answers()[o.answer]; row.unread {
		problem := cmp.Or(o.reason, row.sentence)
		h.lines.info("answer "+row.name+" "+problem, "Turned away a request", "answer", row.name, "problem", problem)
		if lacksLength(r) {
			closeLate(w)
		}
		// Whoever announced a body does not hold the connection with it: it is closed when what is on its way was read,
		// so that the sender gets to read the answer. Not every ResponseWriter has a connection.
		_ = http.NewResponseController(w).SetReadDeadline(h.clock.Now().Add(lingerTime))
	}
	h.metrics.answered(o.answer, arrived, h.clock.Now())
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
	case found == accessWithoutCredentials:
		return outcome{answer: answerUnauthorized, reason: "no secret in the path, nor anything else that authenticates"}
	case found == accessDenied:
		return outcome{answer: answerUnauthorized, reason: "a secret that is none of those configured"}
	case r.Method != http.MethodPost:
		return outcome{answer: answerMethodNotAllowed, reason: "the method is " + knownMethod(r.Method)}
	case lacksLength(r):
		return outcome{answer: answerNoLength}
	}
	e, o := h.receive(r, granted, arrived)
	if e == nil {
		return o
	}
	return h.committer.submit(e)
}

// closeLate makes the server wait before it closes the connection, as it does after a body that is too large, so that
// the sender gets to read the answer: of a body that the server takes for an empty one it reads nothing.
func closeLate(w http.ResponseWriter) {
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}

// knownMethod is a method for the log, in which nothing is that strangers write.
func knownMethod(method string) string {
	if slices.Contains(methods(), method) {
		return method
	}
	return "none of HTTP's"
}

// whyIncomplete says why a body was not read to its end. The server's errors quote what was sent.
func whyIncomplete(err error) string {
	network, ok := errors.AsType[net.Error](err)
	switch {
	case ok && network.Timeout():
		return "it did not come to its end within " + readTimeout.String()
	case ok, errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended"
	}
	return "where it ends can't be read"
}

// receive reads an authentic push, and returns what is to be stored of it or, where that is nothing, its outcome.
func (h *handler) receive(r *http.Request, granted scope, arrived time.Time) (*entry, outcome) {
	body, err := h.bodies.read(r.Body, r.ContentLength)
	defer body.release()
	switch {
	case errors.Is(err, errNoRoom):
		return nil, outcome{answer: answerBusy}
	case err != nil:
		return nil, outcome{answer: answerIncomplete, reason: whyIncomplete(err)}
	}
	encoding := contentEncoding(r.Header)
	n, err := h.decode(body, encoding, granted)
	if err == nil && n.Kind == wire.KindOther {
		return nil, outcome{answer: answerIgnored, reason: "not a firmware upgrade notification: " + n.Type}
	}
	e := newEntry(arrived, newOriginal(body.bytes, body.size, encoding))
	if err != nil {
		e.turnRejected(err.Error())
	} else {
		e.result = n.Result(arrived.UnixMicro())
	}
	return e, outcome{}
}

// decode decodes the body of an authentic push. The error says why it can't be used, for people.
func (h *handler) decode(b *body, encoding string, granted scope) (wire.Notification, error) {
	if b.size > maxBodyBytes {
		return wire.Notification{}, fmt.Errorf("the body is larger than %d bytes", maxBodyBytes)
	}
	n, err := h.inflater.decode(b.bytes, encoding)
	switch {
	case err != nil || n.Kind == wire.KindOther || granted.appID == "":
	case n.AppID == "":
		n.AppID = granted.appID // the secret says whose it is
	case n.AppID != granted.appID:
		err = errors.New("appId is not the application whose secret was used")
	}
	return n, err
}
