// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"fmt"

	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/webhook"
)

// WayWebhook is the operator's webhook without its controllers: what storing costs, without statuses and compaction.
const WayWebhook = "webhook"

func runWebhook(ctx context.Context, o *options, config *rest.Config, ready func()) error {
	r, err := webhook.New(webhook.Options{
		BindAddress: o.callback, CallbackPath: Path, AllowAnonymous: true, Namespace: o.namespace, Config: config,
	})
	if err != nil {
		return fmt.Errorf("make the webhook: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Start(ctx) }()
	select {
	case <-r.Started():
		ready()
		return <-ended
	case err := <-ended:
		return err
	}
}
