// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package platform is the client of the IoT platform's northbound API, generation A. It knows HTTP and no Kubernetes.
//
// The way of a call (client.go): a token (login.go) → its turn (limiter.go, breaker.go) → one HTTP exchange
// (exchange.go, tls.go) → what the answer means (classify.go, wire.go) → an error that says what to do (errors.go), or
// the tasks and subscriptions (tasks.go, subtasks.go, subscriptions.go, paging.go). No text leaves the package but
// through redact.go (pattern.go, spelling.go).
//
// Nothing here retries but one thing: a call whose token was refused logs in and is made once more. When to ask again
// is the caller's decision; an Error says from when on that can succeed.
//
// The creation of a task (create.go) is not even made once more: a second one would flash the devices twice. It is sent
// over a connection of its own (posting.go); outcome.go says what is known when it failed, and match.go whether a task
// is what was asked for.
//
// Comments say of each fact about the platform how well it is known: "documented" in the platform's manuals, "from SDK
// code", or "inferred", which must not be relied on.
package platform
