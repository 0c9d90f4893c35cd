// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chaos breaks what can break while a platform pushes, and compares what the operator says in the end with what
// follows from the answers that the platform got.
//
// A run is a number of epochs. In each, upgrade tasks begin and end by a plan, their FirmwareUpgrades are declared,
// deleted, renamed and moved, and faults strike at random: all of it follows from a seed. Then everything is healed,
// what was not answered 200 is pushed again, and the system has to come to rest in the state that a model expects. The
// model knows the plan and the answers. What it compares is every FirmwareUpgrade, every Event and every stored result,
// which it reads with the operator's own code.
//
//	plan.go       what the devices report, and what is done to the FirmwareUpgrade of a task
//	sender.go     pushes it as the platform does, and remembers the answers
//	wave.go       the same of tasks that come from Git, which a platform is asked for
//	lifecycle.go  does to the FirmwareUpgrades what the plan says
//	fault*.go     the faults: when each strikes, what it does, how it is healed
//	system.go     the control plane and the operator's four processes
//	platform.go   the platform that is asked for tasks, with --platform
//	model.go      what each device must have come to, by the answers
//	check*.go     compares that with what is stored, what is said and what was told
//	watch.go      what must hold at any moment
//	shrink.go     looks for the fewest faults with which an epoch fails
package main
