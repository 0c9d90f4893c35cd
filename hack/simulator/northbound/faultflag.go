// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package northbound

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Set changes one fault by a text as a flag has it: its name, =, and its value. Where it has a share that is
// "0.1", or any of "share:0.1,next:3,delay:50m,calls:create+tasks".
func (f *Faults) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return fmt.Errorf("fault %q: give NAME=VALUE", text)
	}
	content := literal(value)
	if slices.ContainsFunc(f.named(), func(n namedFault) bool { return n.name == name }) {
		parts, err := faultParts(value)
		if err != nil {
			return fmt.Errorf("fault %s: %w", name, err)
		}
		content = parts
	}
	encoded, err := json.Marshal(map[string]any{name: content})
	if err != nil {
		return fmt.Errorf("fault %s: %w", name, err)
	}
	if err := UnmarshalStrict(encoded, f); err != nil {
		return fmt.Errorf("fault %s: %w", name, err)
	}
	return nil
}

// faultParts reads the value of a fault that has a share.
func faultParts(value string) (map[string]any, error) {
	parts := map[string]any{}
	for part := range strings.SplitSeq(value, ",") {
		key, content, ok := strings.Cut(part, ":")
		if !ok {
			key, content = "share", part
		}
		switch key {
		case "share":
			share, err := strconv.ParseFloat(content, 64)
			if err != nil {
				return nil, fmt.Errorf("%q is no share", content)
			}
			parts[key] = share
		case "next":
			next, err := strconv.Atoi(content)
			if err != nil {
				return nil, fmt.Errorf("%q is no number", content)
			}
			parts[key] = next
		case "calls":
			parts[key] = strings.Split(content, "+")
		default:
			parts[key] = content
		}
	}
	return parts, nil
}

// literal returns what a text says in JSON: a truth, a number, or itself.
func literal(text string) any {
	if number, err := strconv.Atoi(text); err == nil {
		return number
	}
	if truth, err := strconv.ParseBool(text); err == nil {
		return truth
	}
	return text
}
