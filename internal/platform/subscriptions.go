// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

const (
	// subscriptionsPath lists subscriptions, those for upgrades among them (documented). A DELETE there without a
	// filter removes every subscription of the application, other receivers' too: this client never does that.
	subscriptionsPath = "/iocm/app/sub/v1.2.0/subscriptions"
	// subscribePath subscribes to notifications of upgrades (documented).
	subscribePath = "/iodm/app/sub/v1.1.0/subscribe"
)

// Subscription says where the platform pushes notifications of a type to.
type Subscription struct {
	NotifyType string
	// CallbackURL is as the platform gave it, and not redacted, to be compared: it is a secret.
	CallbackURL string
}

// Subscriptions lists the subscriptions of the application to a type of notification. A platform that can't list them
// answers with an error of the kind Unsupported. Whether that are all can't be told for certain: to subscribe again
// does no harm.
func (c *Client) Subscriptions(ctx context.Context, notifyType string) ([]Subscription, error) {
	all, _, _, err := readPages(subscriptionKey, func(pageNo int) (page[wireSubscription], error) {
		var answer wireSubscriptions
		size, err := c.getList(ctx, request{
			name: CallListSubscriptions, priority: PrioritySubscribe, path: subscriptionsPath,
			query: paged(url.Values{"notifyType": {notifyType}}, pageNo),
		}, &answer, &answer.Subscriptions.more)
		return page[wireSubscription]{items: answer.Subscriptions.read, total: answer.total(), bytes: size}, err
	})
	if err != nil {
		return nil, err
	}
	var subscriptions []Subscription
	for _, w := range all {
		s := Subscription{
			NotifyType: string(w.NotifyType), CallbackURL: string(w.CallbackURL),
		}
		c.redactor.addLearned(s.CallbackURL)
		if s.NotifyType == "" {
			s.NotifyType = notifyType
		}
		if s.NotifyType == notifyType {
			subscriptions = append(subscriptions, s)
		}
	}
	return subscriptions, nil
}

func subscriptionKey(w wireSubscription) string {
	return strings.Join([]string{string(w.SubscriptionID), string(w.NotifyType), string(w.CallbackURL)}, "\x00")
}

// Subscribe subscribes to a type of notification. That there is such a subscription already may be answered with an
// error of the kind Exists, or with success (not documented). The callback URL is redacted in every text from now on.
func (c *Client) Subscribe(ctx context.Context, notifyType, callbackURL string) error {
	c.Redact([]byte(callbackURL))
	body, err := json.Marshal(map[string]string{"notifyType": notifyType, c.callbackKey: callbackURL})
	if err != nil {
		return err // of two strings
	}
	_, _, err = c.call(ctx, request{
		name: CallSubscribe, priority: PrioritySubscribe, method: http.MethodPost, path: subscribePath,
		contentType: contentJSON, body: body,
	})
	return err
}
