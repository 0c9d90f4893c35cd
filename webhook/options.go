// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"fwupgrade.io/operator/internal/applications"
)

// DefaultCallbackPath is the path the platform's SDKs use for the callback.
const DefaultCallbackPath = "/v1.0.0/messageReceiver"

// DefaultDrainDuration is how long pushes are answered after readiness failed: until every load balancer knows.
const DefaultDrainDuration = 15 * time.Second

// DefaultIdleTimeout is how long a connection is kept for the next push. It is longer than the pools of load balancers
// keep theirs, 600 s where they keep them longest: the side that closes an idle connection must not be the one that
// receives, or pushes meet a connection that has just been closed.
const DefaultIdleTimeout = 620 * time.Second

// DefaultConnectionsPerSource is how many connections one source address may hold: half of all, so that none can keep
// all others out. Load balancers show few addresses, and a thousand pushes a second, answered within 0.1 s, need a
// hundred connections.
const DefaultConnectionsPerSource = maxConnections / 2

// Options say where the receiver listens, whom it believes and where it stores.
type Options struct {
	// BindAddress is the host:port of the callback; the host may be empty, port 0 takes a free one. Required.
	BindAddress string
	// CallbackPath is the path of the callback, without a trailing slash. Empty: DefaultCallbackPath.
	CallbackPath string
	// CertDir holds tls.crt and tls.key, reloaded when they change. Empty: plain HTTP.
	CertDir string
	// ClientCAFile holds the certificates (PEM) of the authorities whose client certificates authenticate a push to
	// the bare callback path; reloaded when it changes. Needs CertDir. Empty: client certificates are not asked for.
	ClientCAFile string
	// SecretsFile holds secrets, one a line, each of which authenticates pushes to CallbackPath/<secret>; reloaded
	// when it changes. Empty: none but those of Applications.
	SecretsFile string
	// AllowAnonymous accepts pushes to the bare callback path from anybody who can reach it.
	AllowAnonymous bool
	// Applications may name files of secrets that authenticate pushes of one application only. Nil: none.
	Applications *applications.Map
	// Namespace is the operator's own, where slices are stored. Required.
	Namespace string
	// DrainDuration is how long pushes are answered after the context of Start ended. 0 to 5 min; 0 means not at all:
	// set DefaultDrainDuration wherever a load balancer is in front.
	DrainDuration time.Duration
	// IdleTimeout is how long a connection is kept for the next push. 1 s to 1 h; 0: DefaultIdleTimeout.
	IdleTimeout time.Duration
	// ConnectionsPerSource is how many connections one source address (of IPv6: one network of 64 bits) may hold. 1 to
	// 4,096, which is all; 0: DefaultConnectionsPerSource.
	ConnectionsPerSource int
	// Config is how the API server is reached. Its rate limits are not used: the committer writes few slices at a
	// time. Required.
	Config *rest.Config
	// Registerer gets the metrics. Nil: they are kept to itself.
	Registerer prometheus.Registerer
	// Clock tells when a push arrived. Nil: the real one.
	Clock clock.WithTicker
	// Log gets what an operator of the receiver has to know; per push there is a line at V(1) only. No secret, body
	// or path is logged. The zero value discards everything.
	Log logr.Logger
}

// Validate says what to change if the options can't work. It reads no files: New does.
func (o *Options) Validate() error {
	var problems []error
	if err := checkBindAddress(o.BindAddress); err != nil {
		problems = append(problems, err)
	}
	if o.CallbackPath != "" {
		if err := checkCallbackPath(o.CallbackPath); err != nil {
			problems = append(problems, err)
		}
	}
	if o.ClientCAFile != "" && o.CertDir == "" {
		problems = append(problems, errors.New("client certificates need HTTPS: set --callback-cert-dir too, "+
			"or leave --callback-client-ca-file out"))
	}
	if o.SecretsFile == "" && o.ClientCAFile == "" && !o.AllowAnonymous && len(o.Applications.SecretFiles()) == 0 {
		problems = append(problems, errors.New("anybody could push results: set --callback-secrets-file, "+
			"--callback-client-ca-file or secrets in --applications-file, or allow it with --allow-anonymous"))
	}
	if o.Namespace == "" {
		problems = append(problems, errors.New("--operator-namespace is empty: set it, slices are stored there"))
	} else if found := validation.IsDNS1123Label(o.Namespace); len(found) > 0 {
		problems = append(problems, fmt.Errorf("--operator-namespace=%q is no name of a namespace: %s",
			o.Namespace, strings.Join(found, ", ")))
	}
	if o.DrainDuration < 0 || o.DrainDuration > maxDrainDuration {
		problems = append(problems, fmt.Errorf("--drain-duration=%s is out of range: set it between 0s and %s",
			o.DrainDuration, maxDrainDuration))
	}
	problems = append(problems, o.checkConnections())
	if o.Config == nil {
		problems = append(problems,
			errors.New("the client configuration is missing: set it, results are stored in the API server"))
	}
	return errors.Join(problems...)
}

// checkConnections checks how connections are kept.
func (o *Options) checkConnections() error {
	var problems []error
	if o.IdleTimeout != 0 && (o.IdleTimeout < minIdleTimeout || o.IdleTimeout > maxIdleTimeout) {
		problems = append(problems, fmt.Errorf("--callback-idle-timeout=%s is out of range: set it between %s and %s",
			o.IdleTimeout, minIdleTimeout, maxIdleTimeout))
	}
	if o.ConnectionsPerSource < 0 || o.ConnectionsPerSource > maxConnections {
		problems = append(problems, fmt.Errorf(
			"--callback-connections-per-source=%d is out of range: set it between 1 and %d",
			o.ConnectionsPerSource, maxConnections))
	}
	return errors.Join(problems...)
}

// StopTimeout is how long Start may take to return after its context ended: the drain, the pushes that are still
// awaiting their answer, and the last batches. Grace periods have to be longer.
func (o *Options) StopTimeout() time.Duration {
	return o.DrainDuration + shutdownTimeout + flushTimeout
}

func checkBindAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--callback-bind-address=%q is no host:port: write it like :8443 or 127.0.0.1:8443", address)
	}
	if number, err := strconv.Atoi(port); err != nil || number < 0 || number > 65535 {
		return fmt.Errorf("--callback-bind-address=%q has no valid port: use a number from 0 to 65535", address)
	}
	return nil
}

// checkCallbackPath refuses what a proxy or a client could spell in two ways, as the receiver knows only one.
func checkCallbackPath(path string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("--callback-path=%q doesn't begin with a slash: write it like %s", path, DefaultCallbackPath)
	}
	if path == ProbePath {
		return fmt.Errorf("--callback-path=%q is where load balancers probe: use another one, like %s",
			path, DefaultCallbackPath)
	}
	if path == "/" || strings.HasSuffix(path, "/") {
		return fmt.Errorf("--callback-path=%q ends in a slash: leave it out, a secret follows after one", path)
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("--callback-path=%q has an empty, . or .. segment: remove it", path)
		}
		if strings.ContainsFunc(segment, func(r rune) bool { return !isUnreserved(r) }) {
			return fmt.Errorf("--callback-path=%q may hold only letters, digits, '-', '.', '_', '~' and slashes", path)
		}
	}
	return nil
}

// isUnreserved says whether RFC 3986 lets the character stand in a URL without escaping and with no other meaning.
func isUnreserved(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return r == '-' || r == '.' || r == '_' || r == '~'
}

// withDefaults fills in what may be left out.
func (o Options) withDefaults() Options {
	if o.CallbackPath == "" {
		o.CallbackPath = DefaultCallbackPath
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.ConnectionsPerSource == 0 {
		o.ConnectionsPerSource = DefaultConnectionsPerSource
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return o
}
