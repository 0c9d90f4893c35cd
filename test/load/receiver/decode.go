// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"

	"k8s.io/client-go/rest"

	"fwupgrade.io/operator/internal/result"
)

// WayDecode keeps nothing: what HTTP and decoding alone cost.
const WayDecode = "decode"

func runDecoding(ctx context.Context, o *options, _ *rest.Config, ready func()) error {
	return serve(ctx, o.callback, func(context.Context, result.Result) error { return nil }, ready)
}
