// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	strict "sigs.k8s.io/json"
)

// control returns the handler of what no platform has: /_/ to look at the truth, and to make it go wrong. It has a
// listener of its own, and a key.
func (s *Server) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_/report", func(w http.ResponseWriter, r *http.Request) {
		report := s.Report()
		if r.FormValue("calls") == "false" {
			report.CallList = nil
		}
		reply(w, report)
	})
	mux.HandleFunc("GET /_/creations", s.controlCreations)
	mux.HandleFunc("GET /_/tasks", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.TaskIDs()) })
	mux.HandleFunc("POST /_/tasks", s.controlCreate)
	mux.HandleFunc("GET /_/tasks/{id}", s.controlTruth)
	mux.HandleFunc("POST /_/tasks/{id}/stop", onTask(s.StopTask))
	mux.HandleFunc("POST /_/tasks/{id}/retry", onTask(s.RetryTask))
	mux.HandleFunc("DELETE /_/tasks/{id}", onTask(s.DeleteTask))
	mux.HandleFunc("GET /_/faults", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Faults()) })
	mux.HandleFunc("POST /_/faults", s.controlFaults)
	mux.HandleFunc("POST /_/revoke-token", func(w http.ResponseWriter, _ *http.Request) {
		s.RevokeToken()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /_/allow-again", s.controlAllowAgain)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || subtle.ConstantTimeCompare([]byte(key), []byte(s.options.ControlKey)) != 1 {
			http.Error(w, "the control's key is missing or wrong", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// controlCreations answers the creations when there are so many, by default at once.
func (s *Server) controlCreations(w http.ResponseWriter, r *http.Request) {
	atLeast := 0
	if given := r.FormValue("atLeast"); given != "" {
		var err error
		if atLeast, err = strconv.Atoi(given); err != nil || atLeast < 0 {
			http.Error(w, "atLeast must be a number that is not negative", http.StatusBadRequest)
			return
		}
	}
	creations, err := s.AwaitCreations(r.Context(), atLeast)
	if err != nil { // the client is gone, or the platform ends
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	reply(w, creations)
}

func (s *Server) controlCreate(w http.ResponseWriter, r *http.Request) {
	var spec TaskSpec
	if !readStrict(w, r, &spec) {
		return
	}
	id, err := s.CreateTask(spec)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, createdBody{OperationID: id})
}

func (s *Server) controlTruth(w http.ResponseWriter, r *http.Request) {
	truth, ok := s.Truth(r.PathValue("id"))
	if !ok {
		http.Error(w, ErrNoTask.Error(), http.StatusNotFound)
		return
	}
	if r.FormValue("devices") == "false" {
		truth.Devices = nil
	}
	reply(w, truth)
}

func (s *Server) controlFaults(w http.ResponseWriter, r *http.Request) {
	var faults Faults
	if !readStrict(w, r, &faults) {
		return
	}
	if err := s.SetFaults(faults); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, s.Faults())
}

func (s *Server) controlAllowAgain(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Count int `json:"count"`
	}
	if !readStrict(w, r, &in) {
		return
	}
	if in.Count < 0 {
		http.Error(w, "count must not be negative", http.StatusBadRequest)
		return
	}
	s.AllowAgain(in.Count)
	w.WriteHeader(http.StatusNoContent)
}

// onTask answers what is done to a task.
func onTask(do func(operationID string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch err := do(r.PathValue("id")); {
		case errors.Is(err, ErrNoTask):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusConflict)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// readStrict reads JSON that has nothing but what is known, or answers 400.
func readStrict(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if err == nil {
		err = UnmarshalStrict(body, into)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// UnmarshalStrict reads JSON that has nothing but known keys, each once.
func UnmarshalStrict(text []byte, into any) error {
	unknown, err := strict.UnmarshalStrict(text, into)
	if err != nil {
		return err
	}
	return errors.Join(unknown...)
}

func reply(w http.ResponseWriter, content any) {
	w.Header().Set("Content-Type", contentJSON)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(content) // a client that is gone needs no answer
}
