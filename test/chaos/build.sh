#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the manager that the chaos run drives: the operator's code with two things replaced while it is compiled.
#
#   * The webhook's clock is ahead by FWUPGRADE_CLOCK_OFFSET, a duration that may be negative.
#   * Compaction begins with few small slices instead of hundreds, so that it runs all the time.
#
#   build.sh BINARY
set -euo pipefail
binary=$1
cd "$(dirname "$0")/../.."

overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT

# replace FILE PATTERN REPLACEMENT… writes a changed copy of a file; each pattern has to be there once.
replace() {
	local source=$1 copy
	copy=$overlay/$(basename "$1")
	cp "$source" "$copy"
	chmod u+w "$copy"
	shift
	while (($# > 0)); do
		[[ $(grep -cE -- "$1" "$copy") == 1 ]] || { echo "$source: no single line matches $1" >&2; exit 1; }
		sed -E -i.bak "s/$1/$2/" "$copy"
		shift 2
	done
}

options=$PWD/webhook/options.go
compaction=$PWD/internal/store/compaction.go
replace "$options" '^	"net"$' '	"net"; "os"' '^		o\.Clock = clock\.RealClock\{\}$' '		o.Clock = aheadClock{}'
cat >>"$overlay/options.go" <<-'GO'

	// aheadClock is ahead of the real one. What is measured with it alone is right.
	type aheadClock struct{ clock.RealClock }

	var clockOffset, _ = time.ParseDuration(os.Getenv("FWUPGRADE_CLOCK_OFFSET"))

	func (aheadClock) Now() time.Time { return time.Now().Add(clockOffset) }

	func (c aheadClock) Since(ts time.Time) time.Duration { return c.Now().Sub(ts) }
GO
replace "$compaction" \
	'compactAtSlices = 200$' 'compactAtSlices = 12' \
	'mergeAtSlices = 16$' 'mergeAtSlices = 3' \
	'idleAge = 10 \* time\.Minute$' 'idleAge = 5 * time.Second' \
	'duplicatesSlack = 1000$' 'duplicatesSlack = 10'

cat >"$overlay/overlay.json" <<-JSON
	{"Replace": {"$options": "$overlay/options.go", "$compaction": "$overlay/compaction.go"}}
JSON
go build -overlay "$overlay/overlay.json" -o "$binary" ./cmd/manager
