// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
)

// Of what strangers bring about one line a minute is logged, which says how many were left out; everything else is
// logged as it comes, whatever names and values were added.
func TestLimitedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		to := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
		log := NewLimitedLog(to, "A", "B")
		for _, of := range []string{"A a", "A b", "B"} {
			log.WithName("n").WithValues("k", "v").Error(errors.New("a \x1b problem"), of)
		}
		for range 2 {
			log.Error(errors.New("x"), "C")
			log.Info("A")
		}
		time.Sleep(lineInterval)
		log.Error(nil, "A c")
		wants := []string{`"msg"="A a"`, `"msg"="B"`, `"msg"="C"`, `"msg"="A"`, `"msg"="C"`, `"msg"="A"`, `"leftOut"=1`}
		if len(lines) != len(wants) {
			t.Fatalf("want %d lines, got:\n%s", len(wants), strings.Join(lines, "\n"))
		}
		for i, want := range wants {
			if !strings.Contains(lines[i], want) || strings.Contains(lines[i], "\x1b") {
				t.Errorf("want %s in %s", want, lines[i])
			}
		}
	})
}
