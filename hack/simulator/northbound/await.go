// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"context"
	"fmt"
	"slices"
)

// AwaitCreations waits until so many creations were posted since the start, whatever came of them, and returns all that
// were. One is there as soon as the platform has handled it: with AnswerSilent the task is created, and who waits for
// the answer can be ended before it comes.
func (s *Server) AwaitCreations(ctx context.Context, atLeast int) ([]Creation, error) {
	for {
		s.lock()
		creations, posted := slices.Clone(s.ledger.report.Creations), s.posted
		s.unlock()
		if len(creations) >= atLeast {
			return creations, nil
		}
		select {
		case <-posted:
		case <-ctx.Done():
			return creations, fmt.Errorf("%d of %d creations were posted: %w", len(creations), atLeast, ctx.Err())
		}
	}
}

// tellPosted wakes those who wait for a creation.
func (s *Server) tellPosted() {
	close(s.posted)
	s.posted = make(chan struct{})
}
