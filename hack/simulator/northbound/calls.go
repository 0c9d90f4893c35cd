// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"net/http"
	"net/url"
	"path"
	"time"
)

// Call is a kind of call of the northbound API.
type Call string

// The kinds of calls.
const (
	CallLogin               Call = "login"
	CallRefresh             Call = "refresh"
	CallSubscribe           Call = "subscribe"
	CallSubscriptions       Call = "subscriptions"
	CallDeleteSubscriptions Call = "deleteSubscriptions"
	CallCreate              Call = "create"
	CallTasks               Call = "tasks"
	CallTask                Call = "task"
	CallSubTasks            Call = "subTasks"
	CallUnknown             Call = "unknown"
)

// endpoint is one call of the API.
type endpoint struct {
	pattern string
	kind    Call
	open    bool   // needs no token
	content string // of the body; empty: there is none
	badCode string // answered to what is not in the documents
	queries []string
	handle  func(s *Server, c *call) answer
}

const (
	contentJSON = "application/json"
	contentForm = "application/x-www-form-urlencoded"

	operations = "/iodm/northbound/v1.5.0/operations"
)

// endpoints are all there are. Documented, each of them.
func endpoints() []endpoint {
	return []endpoint{
		{"POST /iocm/app/sec/v1.1.0/login", CallLogin, true, contentForm, codeParameterMissing, nil, (*Server).login},
		{
			"POST /iocm/app/sec/v1.1.0/refreshToken", CallRefresh, true, contentJSON, codeParameterMissing, nil,
			(*Server).refresh,
		},
		{
			"POST /iodm/app/sub/v1.1.0/subscribe", CallSubscribe, false, contentJSON, codeInvalidInput, nil,
			(*Server).subscribe,
		},
		{
			"GET /iocm/app/sub/v1.2.0/subscriptions", CallSubscriptions, false, "", codeInvalidInput,
			[]string{"appId", "notifyType", "pageNo", "pageSize"}, (*Server).listSubscriptions,
		},
		{
			"DELETE /iocm/app/sub/v1.2.0/subscriptions", CallDeleteSubscriptions, false, "", codeInvalidInput,
			[]string{"appId", "notifyType", "callbackUrl", "channel"}, (*Server).deleteSubscriptions,
		},
		{
			"POST " + operations + "/firmwareUpgrade", CallCreate, false, contentJSON, codeBadRequest, nil,
			(*Server).create,
		},
		{
			"GET " + operations, CallTasks, false, "", codeBadRequest, []string{
				"operationType", "operationStatus", "deviceType", "model", "manufacturerName", "deviceId",
				"pageNo", "pageSize",
			}, (*Server).listTasks,
		},
		{"GET " + operations + "/{id}", CallTask, false, "", codeBadRequest, nil, (*Server).getTask},
		{
			"GET " + operations + "/{id}/subOperations", CallSubTasks, false, "", codeBadRequest,
			[]string{"subOperationStatus", "pageNo", "pageSize"}, (*Server).listSubTasks,
		},
	}
}

// call is a request to the API, read and found to be strict in form.
type call struct {
	endpoint *endpoint
	at       time.Time
	id       string // of the task, where the path has one
	query    url.Values
	body     []byte
	hits     hits // the faults that this call meets

	loggedIn bool   // it got a token
	created  string // the task that it created
}

// answer is what the platform answers, and how.
type answer struct {
	status int
	body   any    // nil: empty
	code   string // of an error
	beyond string // what of the request the documents don't have

	cut     bool          // the connection is closed instead
	silence time.Duration // before it is answered
}

// northbound returns the handler of the API.
func (s *Server) northbound() http.Handler {
	mux := http.NewServeMux()
	for _, e := range endpoints() {
		mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, &e) })
	}
	unknown := endpoint{
		kind: CallUnknown, open: true, badCode: codeUnknownPath,
		handle: func(*Server, *call) answer { return refuse(codeUnknownPath) },
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, &unknown) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would redirect such a path, and the platform documents no redirect.
		if path.Clean(r.URL.Path) != r.URL.Path && r.URL.Path != "/" {
			s.serve(w, r, &unknown)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// serve answers a call.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, e *endpoint) {
	c, problem := read(w, r, e)
	a := s.answer(c, r, problem)
	if a.silence > 0 && !s.keepSilent(r, a.silence) {
		return
	}
	if a.cut {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	s.write(w, a)
}

// keepSilent waits, and returns false when the client gave up.
func (s *Server) keepSilent(r *http.Request, silence time.Duration) bool {
	timer := s.options.Clock.NewTimer(silence)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-r.Context().Done():
		return false
	}
}

// answer decides what is answered, and writes the ledger.
func (s *Server) answer(c *call, r *http.Request, problem string) answer {
	c.at = s.lock()
	defer s.unlock()
	c.hits = s.faults.onCall(c.endpoint.kind)
	a := s.decide(c, r, problem)
	s.ledger.call(c, a)
	switch c.endpoint.kind {
	case CallLogin, CallRefresh:
		s.ledger.login(Login{Time: c.at, OK: c.loggedIn, Code: a.code})
	case CallCreate:
		s.ledger.creation(c.creation(a))
		s.tellPosted()
	}
	return a
}

// decide lets a call pass the gates, in their order, and then handles it.
func (s *Server) decide(c *call, r *http.Request, problem string) answer {
	// Inferred: every call counts, a login and one with a wrong token, too; what is throttled does not prolong it.
	if !s.limit.admit(c.at) || c.hits.throttled {
		return refuse(codeThrottled)
	}
	if c.hits.errorBefore {
		return c.disturbed(refuse(codeInternal))
	}
	if c.endpoint.kind == CallUnknown {
		return beyond(codeUnknownPath, "the path "+r.Method+" "+r.URL.Path)
	}
	if problem != "" {
		return beyond(c.endpoint.badCode, problem)
	}
	if c.hits.tokenRevoked {
		s.loginOfAnother(c.at)
	}
	if !c.endpoint.open {
		if refused, ok := s.authorize(c, r); !ok {
			return refused
		}
	}
	return c.disturbed(c.endpoint.handle(s, c))
}

// disturbed returns the answer as the faults of the call make it.
func (c *call) disturbed(a answer) answer {
	if c.hits.errorAfter {
		a = refuse(codeInternal)
	}
	a.cut = a.cut || c.hits.cut
	a.silence = c.hits.silence
	return a
}
