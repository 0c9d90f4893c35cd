// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTokensThatTextsRepeat has a platform give a token, good or not, and then a text that is nearly the token, again
// and again: calls end all the same.
func TestTokensThatTextsRepeat(t *testing.T) {
	for name, tc := range map[string]struct {
		token, text string
		want        Kind
	}{
		"backslashes":       {strings.Repeat(`\\`, 34) + "b", strings.Repeat(`\\`, 60), Unexpected},
		"the longest token": {strings.Repeat("a", maxTokenBytes-1) + "b", strings.Repeat("a", 4<<20-1000), ""},
		"too long a token":  {strings.Repeat("a", maxTokenBytes) + "b", strings.Repeat("a", 4<<20-1000), Unexpected},
		"percent signs":     {strings.Repeat("%25", 1000) + "b", strings.Repeat("%2525", 100<<10), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			c := connect(t, p)
			p.set(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"accessToken":"`+tc.token+`"}`)
			}, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.must(tc.want, c.Login(ctx))
			refusal := always(http.StatusBadRequest, fmt.Sprintf(`{"error_code":"1","error_desc":"%s"}`, tc.text))
			p.set(refusal, refusal)
			p.mu.Lock()
			p.token = tc.token
			p.mu.Unlock()
			ended := make(chan error)
			go func() {
				c.clock.Step(16 * time.Minute)
				ended <- c.list()
			}()
			select {
			case err := <-ended:
				c.must(Refused, err)
			case <-time.After(time.Minute):
				t.Fatal("a minute after the answer the call has not ended")
			}
		})
	}
}
