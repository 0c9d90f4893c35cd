// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"

	storage "fwupgrade.io/operator/api/storage/v1alpha1"
	"fwupgrade.io/operator/internal/result"
)

// maxRestarts is how often reading begins anew, because it took so long that the API server forgot where it was.
const maxRestarts = 3

// sliceReader reads the slices of a namespace, a page at a time.
type sliceReader struct {
	list      func(ctx context.Context, list *storage.ResultSliceList, options ...client.ListOption) error
	namespace string
	page      int64
	say       func(format string, args ...any)

	// unreadable is how many slices could not be read completely, and firstUnreadable what is wrong with one.
	unreadable      int
	firstUnreadable error
}

func (s *session) newSliceReader(ctx context.Context, c *connection) (*sliceReader, error) {
	namespace, err := s.slicesNamespace(ctx, c)
	if err != nil {
		return nil, err
	}
	return &sliceReader{
		list: func(ctx context.Context, list *storage.ResultSliceList, options ...client.ListOption) error {
			return c.client.List(ctx, list, options...)
		},
		namespace: namespace, page: s.Limits.PageSlices, say: s.say,
	}, nil
}

// read calls visit with each slice that is stored, and perhaps with some of them again. The selectors are applied one
// after the other.
func (r *sliceReader) read(
	ctx context.Context, selectors []labels.Selector, visit func(*storage.ResultSlice) error,
) error {
	for _, selector := range selectors {
		if err := r.readSelected(ctx, selector, visit); err != nil {
			return err
		}
	}
	return nil
}

// readSelected reads the slices that a selector selects. What was visited before a restart is visited again: whoever
// joins or counts distinct ones does not notice.
func (r *sliceReader) readSelected(
	ctx context.Context, selector labels.Selector, visit func(*storage.ResultSlice) error,
) error {
	next, restarts := "", 0
	for {
		page := &storage.ResultSliceList{}
		err := r.list(ctx, page, client.InNamespace(r.namespace), client.MatchingLabelsSelector{Selector: selector},
			client.Limit(r.page), client.Continue(next))
		switch {
		case next != "" && (apierrors.IsResourceExpired(err) || apierrors.IsGone(err)):
			if restarts++; restarts > maxRestarts {
				return fmt.Errorf("the list expired %d times before its end: %w", restarts, err)
			}
			r.say("The list of slices expired before its end: reading it again from the beginning (%d of %d).",
				restarts, maxRestarts)
			next = ""
			continue
		case err != nil:
			return err
		}
		for i := range page.Items {
			if err := visit(&page.Items[i]); err != nil {
				return err
			}
		}
		if next = page.Continue; next == "" {
			return nil
		}
	}
}

// unpack returns the results of a slice, and remembers if not all could be read.
func (r *sliceReader) unpack(slice *storage.ResultSlice) []result.Result {
	results, err := result.Unpack(slice.Tables)
	if err != nil {
		if r.unreadable++; r.firstUnreadable == nil {
			r.firstUnreadable = fmt.Errorf("slice %s: %s", slice.Name, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	return results
}

// incomplete is the error of slices that could not be read completely; nil if all could.
func (r *sliceReader) incomplete(code int) error {
	if r.unreadable == 0 {
		return nil
	}
	return &exitError{code: code, err: fmt.Errorf("not complete: %d slices can't be read to their end (%w). "+
		"A newer version of the operator may have written them: use the plugin of that version",
		r.unreadable, r.firstUnreadable)}
}

// everySlice selects all slices.
func everySlice() []labels.Selector { return []labels.Selector{labels.Everything()} }

// sharedSlices selects the slices that are not of one task alone: as the webhook stored them, or as compaction
// gathered them. Only these hold rejected notifications.
func sharedSlices() []labels.Selector {
	return []labels.Selector{labels.NewSelector().Add(requirement(selection.DoesNotExist))}
}

// slicesOf selects the slices that may hold results of a task: first those that are of no task alone, then the task's
// own. Compaction moves results from the former to the latter and never back, so that none is overlooked in between.
func slicesOf(t *wantedTask) []labels.Selector {
	if t.anyApplication {
		return everySlice()
	}
	return append(sharedSlices(), labels.NewSelector().Add(requirement(selection.Equals, t.Hash())))
}

// requirement is one on the label that names the task of a slice.
func requirement(operator selection.Operator, values ...string) labels.Requirement {
	r, err := labels.NewRequirement(storage.LabelTask, operator, values)
	if err != nil {
		panic(err) // the label and a hash are always valid
	}
	return *r
}
