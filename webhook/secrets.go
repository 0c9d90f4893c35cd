// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// scope is what a credential is good for: the pushes of one application, or of any where appID is empty.
type scope struct {
	appID string
}

// secretFile is a file of secrets, one a line, and what they are good for.
type secretFile struct {
	path  string
	scope scope
}

// secret is one as it was read. Only its hash is kept, so that neither a dump nor the time of a comparison tells it.
type secret struct {
	hash  [sha256.Size]byte
	scope scope
	// used counts the requests that presented it. It is shared by those that have the same label.
	used *atomic.Uint64
}

// label is what metrics and logs call a secret: the beginning of its hash, which tells secrets apart and nothing of
// them.
func (s *secret) label() string { return hex.EncodeToString(s.hash[:4]) }

// secrets is a set of secrets that follows its files. As a collector it counts how often each was used; those that are
// removed are counted no more.
type secrets struct {
	files   []secretFile
	current atomic.Pointer[[]secret]
	used    *prometheus.Desc
}

// newSecrets reads the files. Each has to hold a secret.
func newSecrets(files []secretFile) (*secrets, error) {
	s := &secrets{files: files, used: prometheus.NewDesc("fwupgrade_webhook_secret_requests_total",
		"Requests that presented a valid secret, by the first 8 hexadecimal digits of its SHA-256.",
		[]string{"secret"}, nil)}
	s.current.Store(&[]secret{})
	if _, err := s.reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// secretFiles lists the files of all configured secrets, in a fixed order.
func secretFiles(o *Options) []secretFile {
	var files []secretFile
	if o.SecretsFile != "" {
		files = append(files, secretFile{path: o.SecretsFile})
	}
	own := o.Applications.SecretFiles()
	for _, appID := range slices.Sorted(maps.Keys(own)) {
		files = append(files, secretFile{path: own[appID], scope: scope{appID: appID}})
	}
	return files
}

// reload reads all files again. If one can't be used, all secrets stay as they were: half a rotation could lock the
// platform out. It is not for concurrent use.
func (s *secrets) reload() (changes []any, err error) {
	var set []secret
	known := map[[sha256.Size]byte]secretFile{}
	for _, file := range s.files {
		found, err := readSecrets(file.path)
		if err != nil {
			return nil, fmt.Errorf("secrets file %s: %w", file.path, err)
		}
		for _, hash := range found {
			first, again := known[hash]
			if again && first.scope != file.scope {
				return nil, fmt.Errorf("secrets file %s: shares a secret with %s: remove it from one, "+
					"as it can stand for one application only", file.path, first.path)
			}
			if again {
				continue
			}
			known[hash] = file
			set = append(set, secret{hash: hash, scope: file.scope})
		}
	}
	if len(set) > maxSecrets {
		return nil, fmt.Errorf("%d secrets are configured: remove some, at most %d are compared", len(set), maxSecrets)
	}
	return s.replace(set), nil
}

// replace makes a set the one that counts. It returns what differs from the one before.
func (s *secrets) replace(set []secret) (changes []any) {
	before := countersOf(*s.current.Load())
	now := map[string]*atomic.Uint64{}
	for i := range set {
		label := set[i].label()
		if now[label] == nil {
			now[label] = cmp.Or(before[label], new(atomic.Uint64))
		}
		set[i].used = now[label]
	}
	old := *s.current.Swap(&set)
	if slices.EqualFunc(old, set, func(a, b secret) bool { return a.hash == b.hash && a.scope == b.scope }) {
		return nil
	}
	return []any{"secrets", len(set), "added", missingIn(before, now), "removed", missingIn(now, before)}
}

// countersOf are the counters of secrets by their labels.
func countersOf(set []secret) map[string]*atomic.Uint64 {
	counters := make(map[string]*atomic.Uint64, len(set))
	for i := range set {
		counters[set[i].label()] = set[i].used
	}
	return counters
}

// missingIn lists the labels of others that are not among those of set, the first 20.
func missingIn(set, others map[string]*atomic.Uint64) []string {
	const most = 20
	missing := []string{}
	for _, label := range slices.Sorted(maps.Keys(others)) {
		if _, ok := set[label]; !ok {
			missing = append(missing, label)
		}
	}
	return missing[:min(len(missing), most)]
}

// lookup returns the secret that a presented text is; false if it is none. Every secret is compared, in constant time,
// so that the answer's delay doesn't tell how near a guess is.
func (s *secrets) lookup(presented string) (*secret, bool) {
	hash := sha256.Sum256([]byte(presented))
	set := *s.current.Load()
	found := -1
	for i := range set {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], set[i].hash[:]), i, found)
	}
	if found < 0 {
		return nil, false
	}
	return &set[found], true
}

// Describe implements prometheus.Collector.
func (s *secrets) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- s.used }

// Collect implements prometheus.Collector. There are at most maxSecrets series.
func (s *secrets) Collect(collected chan<- prometheus.Metric) {
	for label, used := range countersOf(*s.current.Load()) {
		collected <- prometheus.MustNewConstMetric(s.used, prometheus.CounterValue, float64(used.Load()), label)
	}
}

// readSecrets returns the hashes of a file's secrets. Its errors name the line, never the secret.
func readSecrets(path string) ([][sha256.Size]byte, error) {
	content, err := readBounded(path, maxSecretFileBytes)
	if err != nil {
		return nil, err
	}
	var hashes [][sha256.Size]byte
	number := 0
	for line := range bytes.SplitSeq(content, []byte("\n")) {
		number++
		secret := bytes.TrimSpace(line)
		if len(secret) == 0 || secret[0] == '#' {
			continue
		}
		if err := checkSecret(secret); err != nil {
			return nil, fmt.Errorf("line %d %w", number, err)
		}
		hashes = append(hashes, sha256.Sum256(secret))
	}
	if len(hashes) == 0 {
		return nil, errors.New("holds no secret: add one on a line of its own")
	}
	return hashes, nil
}

func checkSecret(secret []byte) error {
	switch {
	case len(secret) < minSecretBytes:
		return fmt.Errorf("has fewer than %d characters: use a longer secret", minSecretBytes)
	case len(secret) > maxSecretBytes:
		return fmt.Errorf("has more than %d characters: use a shorter secret", maxSecretBytes)
	case bytes.ContainsFunc(secret, func(r rune) bool { return !isUnreserved(r) }):
		return errors.New("can't stand in a URL as it is: use letters, digits, '-', '.', '_' and '~' only")
	}
	return nil
}

// readBounded reads a file of at most limit bytes. Its errors leave the path to the caller.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", withoutPath(err))
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", withoutPath(err))
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("is larger than %d bytes: shorten it", limit)
	}
	return content, nil
}

func withoutPath(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
