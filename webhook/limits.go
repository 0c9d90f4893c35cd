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
	// handshakeTimeout is how long a sender may take for the TLS handshake: two round trips of 0.3 s, and a packet that is
	// lost twice in a row, after 0.6 s and 1.2 s more.
	handshakeTimeout = 3 * time.Second
	// readHeaderTimeout is how long it may take for the headers, once they have begun or the connection is open: senders
	// with a pool open connections some time before they need them. Whoever stays silent holds a connection for no
	// longer, over TLS for handshakeTimeout more, and less where the connection is needed for somebody else.
	readHeaderTimeout = 5 * time.Second
	// readTimeout is how long it may take for the whole push. The platform gives up after 15 s.
	readTimeout = 10 * time.Second
	// writeTimeout ends what nobody reads: a push is answered at most StoreDeadline after it arrived.
	writeTimeout = 20 * time.Second
	// shutdownTimeout is how long the last pushes may take after the drain: the one that arrived last is answered
	// StoreDeadline later.
	shutdownTimeout = StoreDeadline + time.Second
)

// StoreDeadline is how long after its arrival a push is answered at the latest: 503 if it is not stored by then. The
// platform takes a push for failed after 15 s.
const StoreDeadline = 10 * time.Second

// Limits of the committer.
const (
	// maxQueueEntries is how many entries wait for the committer. With more, the platform is told at once to push again
	// later.
	maxQueueEntries = 10000
	// batchSize is how many waiting entries are written at once, without waiting for more. A write costs the API server
	// some 3 ms of a processor, whatever is in it: shared by 128 entries, that is a small part of what a push costs. A
	// larger size only makes more senders wait for batchDelay.
	batchSize = 128
	// batchDelay is how long the first entry of a smaller batch waits for others. Every such push is answered so much
	// later: where a write takes 8 ms, a sender that pushes one after the other gets some 25 answers a second. In return
	// there are at most 33 such slices a second, however the pushes arrive, which cost the API server at most a tenth
	// of a processor.
	batchDelay = 30 * time.Millisecond
	// maxBatchEntries is how many entries go into a slice.
	maxBatchEntries = 2000
	// maxBatchRejected is how many of them may be rejected notifications (the bound of rejected is 1,024).
	maxBatchRejected = 1000
	// maxBatchBytes is how large the entries of a batch are together, before what they share is stored once. The slice is
	// a fraction of it, because most of a result is shared.
	maxBatchBytes = 1 << 20
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

// Limits of certificates.
const (
	// maxCertificateFileBytes bounds each file of certificates or keys: a Secret object can't be larger either.
	maxCertificateFileBytes = 1 << 20
	// expiryWarning is how long before its end a certificate is warned of.
	expiryWarning = 14 * 24 * time.Hour
	// warningInterval is how often that is logged.
	warningInterval = 24 * time.Hour
)

// Limits of the log, where what strangers do would fill it.
const (
	// lineInterval is how often a line of a kind is logged.
	lineInterval = time.Minute
	// maxProblemBytes is how much is logged of a problem's text.
	maxProblemBytes = 256
)

// maxDrainDuration is the longest drain that Options accept: a pod's grace period has to be longer.
const maxDrainDuration = 5 * time.Minute

// minIdleTimeout and maxIdleTimeout bound Options.IdleTimeout: a connection has to outlast the pause between two
// pushes, and those that senders forgot must end some time.
const (
	minIdleTimeout = time.Second
	maxIdleTimeout = time.Hour
)
