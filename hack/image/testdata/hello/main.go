// Copyright The Firmware Upgrade Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package main is what the tests put into an image: it prints the version that the linker was told.
package main

import "fmt"

var linkedVersion string //nolint:gochecknoglobals // the linker sets variables of a package only

func main() { fmt.Println("hello", linkedVersion) }
