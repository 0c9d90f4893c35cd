// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"crypto/rand"
	"encoding/hex"
	randv2 "math/rand/v2"

	"github.com/cespare/xxhash/v2"
)

// Salts keep apart what is derived from one seed.
const (
	saltSecret uint64 = iota
	saltOperation
	saltGroup
	saltFate
	saltAttempt
	saltSubTask
	saltFault
	saltShuffle
)

// random returns the random numbers of a thing that has a name. They are the same for equal seeds.
func (o *Options) random(salt uint64, name string) *randv2.Rand {
	return randv2.New(randv2.NewPCG(o.Seed<<4|salt, xxhash.Sum64String(name)))
}

// randomKey returns 128 random bits, in hex.
func randomKey() string {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // never fails, by its documentation
	return hex.EncodeToString(key)
}
