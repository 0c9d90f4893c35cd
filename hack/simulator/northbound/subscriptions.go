// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"net/http"
	"slices"

	"fwupgrade.io/operator/hack/simulator/platform"
)

// subscription is a callback for one type of notification.
type subscription struct {
	ID          string `json:"subscriptionId"`
	NotifyType  string `json:"notifyType"`
	CallbackURL string `json:"callbackUrl"`

	host string
}

// subscriptions are those of the application, in the order in which they were made.
type subscriptions struct {
	all  []subscription
	made int
}

// of returns the subscriptions to a type.
func (s *subscriptions) of(notifyType string) []subscription {
	var found []subscription
	for _, each := range s.all {
		if each.NotifyType == notifyType {
			found = append(found, each)
		}
	}
	return found
}

// upgradeTypes are the types that management data can be subscribed for. Documented.
func upgradeTypes() []string {
	return []string{
		platform.ResultNotify, platform.StateChangeNotify, "swUpgradeResultNotify", "swUpgradeStateChangeNotify",
	}
}

// subscribe makes a subscription. Documented: 200 with an empty body. The key of the URL is callbackUrl in the pages,
// callbackurl in SDK code.
func (s *Server) subscribe(c *call) answer {
	var in struct {
		NotifyType string  `json:"notifyType"`
		Pages      *string `json:"callbackUrl"`
		SDK        *string `json:"callbackurl"`
	}
	if problem := c.decode(&in); problem != "" {
		return beyond(codeInvalidInput, problem)
	}
	callback, other := in.Pages, in.SDK
	if s.options.CallbackKey != DefaultCallbackKey {
		callback, other = other, callback
	}
	if other != nil || callback == nil {
		return beyond(codeInvalidInput, "another key of the URL than "+s.options.CallbackKey)
	}
	if !slices.Contains(upgradeTypes(), in.NotifyType) {
		return beyond(codeInvalidInput, "the notifyType "+in.NotifyType)
	}
	host, ok := s.options.Push.hostOf(*callback)
	if !ok {
		s.ledger.report.Subscriptions.Refused++
		// Inferred: that the text may have the URL. It is a secret, so a client must not show the text as it is.
		if s.faults.current.EchoCallbackURL {
			return refuseBecause(codeIllegalURL, *callback)
		}
		return refuse(codeIllegalURL)
	}
	return s.addSubscription(subscription{NotifyType: in.NotifyType, CallbackURL: *callback, host: host})
}

// addSubscription decides what a second subscription to the same type does. Not documented for upgrades; of data it is
// that it is refused.
func (s *Server) addSubscription(added subscription) answer {
	counts := &s.ledger.report.Subscriptions
	same := func(each subscription) bool { return each.NotifyType == added.NotifyType }
	switch again := slices.ContainsFunc(s.subscriptions.all, same); {
	case again && s.faults.current.SubscribeAgain == SubscribeAgainRefused:
		counts.Refused++
		if s.faults.current.EchoCallbackURL {
			return refuseBecause(codeConflict, added.CallbackURL)
		}
		return refuse(codeConflict)
	case again && s.faults.current.SubscribeAgain != SubscribeAgainAdds:
		// Inferred: one subscription for a type, and the newest URL is the one that holds.
		s.subscriptions.all = slices.DeleteFunc(s.subscriptions.all, same)
	}
	s.subscriptions.made++
	added.ID = platform.UUID(s.options.random(saltOperation, "subscription"+string(rune(s.subscriptions.made))))
	s.subscriptions.all = append(s.subscriptions.all, added)
	counts.Made++
	return answer{status: http.StatusOK}
}

// subscriptionsBody is the answer to a query for subscriptions. Documented.
type subscriptionsBody struct {
	TotalCount    *int           `json:"totalCount,omitempty"`
	TotalSize     *int           `json:"totalSize,omitempty"`
	PageNo        int            `json:"pageNo"`
	PageSize      int            `json:"pageSize"`
	Subscriptions []subscription `json:"subscriptions"`
}

// listSubscriptions is documented; that some platforms may not have it is inferred, hence the fault.
func (s *Server) listSubscriptions(c *call) answer {
	if s.faults.current.SubscriptionsUnlisted {
		return refuse(codeUnknownPath)
	}
	found, problem := s.selectSubscriptions(c, "")
	if problem != "" {
		return beyond(codeInvalidInput, problem)
	}
	// Documented: the size of a page has no upper bound here.
	paging, ok := c.paging(0)
	if !ok {
		return refuse(codeInvalidInput)
	}
	body := subscriptionsBody{
		PageNo: paging.number, PageSize: paging.size, Subscriptions: cut(found, paging),
	}
	body.TotalCount, body.TotalSize = s.total(len(found))
	return answer{status: http.StatusOK, body: body}
}

// deleteSubscriptions deletes what the filters select. Documented, and dangerous: without a filter it deletes every
// subscription of the application, and by the type alone those of other receivers, too.
func (s *Server) deleteSubscriptions(c *call) answer {
	found, problem := s.selectSubscriptions(c, c.query.Get("callbackUrl"))
	if channel := c.query.Get("channel"); channel != "" && channel != "http" {
		problem = "the channel " + channel
	}
	if problem != "" {
		return beyond(codeInvalidInput, problem)
	}
	if len(found) == 0 {
		return refuse(codeNotFound)
	}
	s.subscriptions.all = slices.DeleteFunc(s.subscriptions.all, func(each subscription) bool {
		return slices.ContainsFunc(found, func(f subscription) bool { return f.ID == each.ID })
	})
	s.ledger.report.Subscriptions.Deleted += len(found)
	return answer{status: http.StatusNoContent}
}

// selectSubscriptions returns those that the parameters of a call select.
func (s *Server) selectSubscriptions(c *call, callback string) (found []subscription, problem string) {
	if appID := c.query.Get("appId"); appID != "" && appID != s.options.AppID {
		return nil, "the appId of another application"
	}
	for _, each := range s.subscriptions.all {
		notifyType := c.query.Get("notifyType")
		if (notifyType == "" || each.NotifyType == notifyType) && (callback == "" || each.CallbackURL == callback) {
			found = append(found, each)
		}
	}
	return found, ""
}
