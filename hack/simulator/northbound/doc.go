// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package northbound plays the northbound API of the IoT platform, generation A: an HTTPS server that clients log in
// to, subscribe callbacks at and create upgrade tasks on, devices that run these tasks, and the pushes that this
// causes. It keeps a ledger of its own, so that a test can compare what a client believes with what was.
//
// It is strict: what a client sends beyond the documents is answered 400, with a text that says what. How each
// behavior is known stands beside it, in one of three words: "Documented" by the official pages, "SDK code" for what
// only the public SDKs show, "Inferred" for what neither says and somebody had to decide; a real platform may differ
// there, and for the most doubtful of these there is a fault that makes it differ.
package northbound
