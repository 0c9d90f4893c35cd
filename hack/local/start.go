// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import "io"

// StartProcess starts the binary at path as a child that does not outlive this process (Linux). Output, if not nil,
// gets what it writes to both streams.
func StartProcess(name, path string, args, env []string, output io.Writer) (*Process, error) {
	return startProcess(name, path, args, env, output, nil)
}
