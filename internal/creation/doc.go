// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package creation has the platform create tasks, each exactly once, whatever crashes. A second task would flash the
// devices twice, so this is slow on purpose and asks rather than guesses:
//
//   - A request is known by its content (Hash), whatever the FirmwareUpgrade is called that asks for it.
//   - What is to be done is recorded before it is done (the intent of an attempt), under a name that follows from the
//     request and the number of the attempt. Who created that record, and nobody else, may call the platform, once.
//   - What became of an attempt is recorded once (its outcome). No attempt is called twice.
//   - Where the answer did not come, the platform is searched for the task until it is found, or until it is certain
//     enough that there is none. What can't be told is left to people.
//
// It decides nothing by what a cache says that may be behind, where a second task could follow from it.
package creation
