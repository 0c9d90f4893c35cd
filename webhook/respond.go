// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"net/http"
)

// answer is how a push ended.
type answer int

const (
	answerRecorded answer = iota
	answerIgnored
	answerRejected
	answerUnauthorized
	answerNotFound
	answerMethodNotAllowed
	answerIncomplete
	answerNoLength
	answerNotStored
	answerBusy
	// answerKinds is how many there are.
	answerKinds
)

// answerRow is what the sender gets and what is counted.
type answerRow struct {
	// name is the label of the metric and, with 200, the result in the body.
	name   string
	status int
	// sentence is the error in the body of what is not 200.
	sentence string
	// unread says that the body was not read to its end, so that the connection is not kept.
	unread bool
}

// answers is the one table from how a push ended to what follows. The platform takes everything but 200 for a failure
// of the whole host: only what could not be stored, and what the platform itself never sends, has another status.
func answers() [answerKinds]answerRow {
	return [...]answerRow{
		answerRecorded: {name: "recorded", status: http.StatusOK},
		answerIgnored:  {name: "ignored", status: http.StatusOK},
		answerRejected: {name: "rejected", status: http.StatusOK},
		answerUnauthorized: {
			name: "unauthorized", status: http.StatusUnauthorized, sentence: "no valid credentials", unread: true,
		},
		answerNotFound: {
			name: "not_found", status: http.StatusNotFound, sentence: "no such path", unread: true,
		},
		answerMethodNotAllowed: {
			name: "method_not_allowed", status: http.StatusMethodNotAllowed, unread: true,
			sentence: "the URL and its credentials are right, but only POST is served: push a notification to it",
		},
		answerIncomplete: {
			name: "incomplete", status: http.StatusRequestTimeout, sentence: "the body broke off", unread: true,
		},
		answerNoLength: {
			name: "no_length", status: http.StatusBadRequest, unread: true,
			sentence: "the body needs a Content-Length, or HTTP/1.1",
		},
		answerNotStored: {
			name: "not_stored", status: http.StatusServiceUnavailable, sentence: "could not be stored, push it again",
		},
		answerBusy: {
			name: "busy", status: http.StatusServiceUnavailable, unread: true,
			sentence: "too many large bodies are under way, push it again",
		},
	}
}

// String is the name of the answer in metrics and logs.
func (a answer) String() string { return answers()[a].name }

// retryAfterSeconds is what a sender is told to wait when nothing could be stored.
const retryAfterSeconds = "5"

// outcome is how a push ended and, where that says more, why: of what is ignored or rejected for the sender, of what is
// turned away for the log, out of a fixed list.
type outcome struct {
	answer answer
	reason string
}

// payload is the body of every answer.
type payload struct {
	Result string `json:"result,omitempty"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
}

// respond writes the answer. Whether the sender read it can't be known: it pushes again if not.
func respond(w http.ResponseWriter, o outcome) {
	row := answers()[o.answer]
	body := payload{Error: row.sentence}
	if row.status == http.StatusOK {
		body = payload{Result: row.name, Reason: o.reason}
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		encoded = []byte("{}") // three strings can't fail to encode
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	if row.unread {
		header.Set("Connection", "close")
	}
	switch row.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfterSeconds)
	}
	w.WriteHeader(row.status)
	_, _ = w.Write(append(encoded, '\n'))
}
