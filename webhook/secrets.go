// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync/atomic"
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

// secretSet are the secrets as they were read last. Only hashes are kept, so that neither a dump nor the time of a
// comparison tells a secret.
type secretSet struct {
	hashes [][sha256.Size]byte
	scopes []scope
}

// secrets is a set of secrets that follows its files.
type secrets struct {
	files   []secretFile
	current atomic.Pointer[secretSet]
}

// newSecrets reads the files. Each has to hold a secret.
func newSecrets(files []secretFile) (*secrets, error) {
	s := &secrets{files: files}
	if err := s.reload(); err != nil {
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
// platform out.
func (s *secrets) reload() error {
	set := &secretSet{}
	known := map[[sha256.Size]byte]secretFile{}
	for _, file := range s.files {
		found, err := readSecrets(file.path)
		if err != nil {
			return fmt.Errorf("secrets file %s: %w", file.path, err)
		}
		for _, hash := range found {
			first, again := known[hash]
			if again && first.scope != file.scope {
				return fmt.Errorf("secrets file %s: shares a secret with %s: remove it from one, "+
					"as it can stand for one application only", file.path, first.path)
			}
			if again {
				continue
			}
			known[hash] = file
			set.hashes = append(set.hashes, hash)
			set.scopes = append(set.scopes, file.scope)
		}
	}
	if len(set.hashes) > maxSecrets {
		return fmt.Errorf("%d secrets are configured: remove some, at most %d are compared", len(set.hashes), maxSecrets)
	}
	s.current.Store(set)
	return nil
}

// lookup says whether a presented text is a secret, and what it is good for. Every secret is compared, in constant
// time, so that the answer's delay doesn't tell how near a guess is.
func (s *secrets) lookup(presented string) (scope, bool) {
	hash := sha256.Sum256([]byte(presented))
	set := s.current.Load()
	found := -1
	for i := range set.hashes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], set.hashes[i][:]), i, found)
	}
	if found < 0 {
		return scope{}, false
	}
	return set.scopes[found], true
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
