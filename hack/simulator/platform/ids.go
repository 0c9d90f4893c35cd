// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package platform

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
)

// Salts keep apart what is derived from one seed.
const (
	saltOrder uint64 = iota
	saltApp
	saltTask
	saltDevice  // and from here on a salt for every device
	saltStride  = 8
	saltSubTask = 1 // within a device's stride
	saltDetails = 2
)

func random(seed, salt uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, salt))
}

// MakeAppID returns an application's id as the platform makes them: 28 characters, with upper case and `_`.
func MakeAppID(seed uint64) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
	r := random(seed, saltApp)
	id := make([]byte, 28)
	for i := range id {
		id[i] = alphabet[r.IntN(len(alphabet))]
	}
	id[8] = '_'
	return string(id)
}

// OperationID returns the id of a task, by its number from 0.
func (p *Plan) OperationID(task int) string {
	if p.options.OperationID == "" {
		return HexID(random(p.options.Seed+uint64(task)<<32, saltTask))
	}
	if p.options.Tasks == 1 {
		return p.options.OperationID
	}
	return fmt.Sprintf("%s-%04d", p.options.OperationID, task+1)
}

// DeviceID returns the id of a device, by its number from 0: a lower-case UUID.
func (p *Plan) DeviceID(device int) string {
	return UUID(p.deviceRandom(device, 0))
}

// subOperationID returns the id of a device's sub-task: opaque, and another one for a retry that made a new one.
func (p *Plan) subOperationID(device, attempt int) string {
	r := p.deviceRandom(device, saltSubTask)
	for range attempt {
		r.Uint64()
		r.Uint64()
	}
	return HexID(r)
}

func (p *Plan) deviceRandom(device int, use uint64) *rand.Rand {
	return random(p.options.Seed, saltDevice+uint64(device)*saltStride+use)
}

func sixteenBytes(r *rand.Rand) [16]byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return b
}

// HexID returns an opaque id of 32 hex digits.
func HexID(r *rand.Rand) string {
	b := sixteenBytes(r)
	return hex.EncodeToString(b[:])
}

// UUID returns a lower-case UUID of version 4.
func UUID(r *rand.Rand) string {
	b := sixteenBytes(r)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4
	var s [36]byte
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
