// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import "time"

// Limits of one push and of the server as a whole. The platform's notifications are below 1 KiB.
const (
	// maxBodyBytes is how large a body may be; a larger one is stored as rejected by its beginning.
	maxBodyBytes = 64 << 10
	// maxDiscardBytes is how much of a too large body is read and thrown away, so that the sender gets to read the
	// answer. Beyond it the connection is closed.
	maxDiscardBytes = 4 << 20
	// maxHeaderBytes bounds the request line and the headers; a secret has at most maxSecretBytes.
	maxHeaderBytes = 16 << 10
	// maxConnections is how many connections are served at a time; more wait in the kernel's backlog. Over HTTP/1.1 a
	// connection carries one push at a time, so fewer connections than queue entries keep the queue from overflowing.
	maxConnections = 4096
	// readHeaderTimeout is how long a sender may take for the headers, the TLS handshake included.
	readHeaderTimeout = 5 * time.Second
	// readTimeout is how long it may take for the whole push. The platform gives up after 15 s.
	readTimeout = 10 * time.Second
	// writeTimeout ends what nobody reads: a push is answered at most StoreDeadline after it arrived.
	writeTimeout = 20 * time.Second
	// idleTimeout is how long a connection is kept for the next push.
	idleTimeout = 2 * time.Minute
	// shutdownTimeout is how long the last pushes may take after the drain: the one that arrived last is answered
	// StoreDeadline later.
	shutdownTimeout = StoreDeadline + time.Second
)

// StoreDeadline is how long after its arrival a push is answered at the latest: 503 if it is not stored by then. The
// platform takes a push for failed after 15 s.
const StoreDeadline = 10 * time.Second

// Limits of the committer.
const (
	// maxQueueEntries is how many entries wait for a worker; with more the platform is told at once to come later.
	maxQueueEntries = 10000
	// commitWorkers is how many slices are written at a time. While they are, arrivals gather into the next one.
	commitWorkers = 3
	// gatherEntries is how many waiting entries are written at once. A write costs the API server some three
	// milliseconds of a processor, whatever is in it: fewer wait until as many have come as lately waited together, but
	// gatherTime at most; and besideTime while another slice is being written.
	gatherEntries = 128
	gatherTime    = 20 * time.Millisecond
	besideTime    = 50 * time.Millisecond
	// probeEvery is how many pushes in a row come alone until it is tried whether, within gatherTime, others come too:
	// as many as probeCrowd at first.
	probeEvery = 500
	probeCrowd = 4
	// maxBatchEntries is how many entries go into a slice.
	maxBatchEntries = 2000
	// maxBatchRejected is how many of them may be rejected notifications (the bound of spec.rejected is 1,024).
	maxBatchRejected = 1000
	// maxTakeBytes bounds what a worker looks at for one batch, counted before shared fields are hoisted. Most of a
	// result is shared, so the slice comes out a fraction of it.
	maxTakeBytes = 1 << 20
	// envelopeBytes is what a slice has beside its entries: kind, name, labels, braces.
	envelopeBytes = 1 << 10
	// attemptTimeout is how long one write may take until its outcome counts as unclear. Three fit into StoreDeadline.
	attemptTimeout = 3 * time.Second
	// minBackoff and maxBackoff bound the pause between two attempts.
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
	// flushTimeout is how long the last batches may take after the last connection was closed. Nobody waits for their
	// answers any more.
	flushTimeout = 5 * time.Second
)

// Limits of secrets.
const (
	// minSecretBytes keeps secrets from being guessed.
	minSecretBytes = 16
	// maxSecretBytes keeps the callback URL within what platforms accept.
	maxSecretBytes = 256
	// maxSecrets is how many secrets there may be, of all files together: each push is compared with every one.
	maxSecrets = 1000
	// maxSecretFileBytes bounds a file of secrets: a Secret object can't be larger either.
	maxSecretFileBytes = 1 << 20
	// reloadInterval is how often secrets and client CAs are read again. Mounted Secrets change by themselves.
	reloadInterval = 5 * time.Second
)

// maxDrainDuration is the longest drain that Options accept: a pod's grace period has to be longer.
const maxDrainDuration = 5 * time.Minute
