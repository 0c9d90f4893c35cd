// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhook is the receiver of the platform's notifications. It keeps no state and watches nothing: what it
// received is stored as ResultSlices in the operator's namespace, and answered 200 once it is stored.
//
// The way of a push: limits (listener.go, connection.go, server.go, limits.go) → authentication (auth.go, secrets.go) →
// the body (body.go, inflate.go) → wire.Decode (handler.go) → one group commit for all tasks (queue.go, committer.go,
// batch.go) → the API server (store.go) → the answer (respond.go).
package webhook
