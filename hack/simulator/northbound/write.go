// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// timeFormat is how the platform writes times. Documented.
const timeFormat = "20060102T150405Z"

// platformTime is what the platform takes for now.
func (s *Server) platformTime(t time.Time) time.Time {
	return t.Add(time.Duration(s.faults.current.ClockOffset)).UTC()
}

// stamp returns a time as the platform writes it; nil where there is none. Inferred: what is not known is null.
func (s *Server) stamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(s.platformTime(t).Format(timeFormat))
}

// write sends an answer.
func (s *Server) write(w http.ResponseWriter, a answer) {
	s.mu.Lock()
	now := s.platformTime(s.options.Clock.Now())
	numbersAsStrings := s.faults.current.NumbersAsStrings
	s.mu.Unlock()
	w.Header().Set("Date", now.Format(http.TimeFormat))
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	body, err := json.Marshal(a.body)
	if err == nil && numbersAsStrings {
		body, err = quoteNumbers(body)
	}
	if err != nil { // no body has anything that can't be encoded
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

// quoteNumbers makes every number of a JSON text a string.
func quoteNumbers(body []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var content any
	if err := decoder.Decode(&content); err != nil {
		return nil, err
	}
	return json.Marshal(quoted(content))
}

func quoted(content any) any {
	switch value := content.(type) {
	case json.Number:
		return value.String()
	case []any:
		for i := range value {
			value[i] = quoted(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = quoted(value[key])
		}
	}
	return content
}
