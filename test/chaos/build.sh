#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds the manager that the chaos run drives: the operator's code with some things replaced while it is compiled.
#
#   * The webhook's clock is ahead by FWUPGRADE_CLOCK_OFFSET, a duration that may be negative.
#   * Compaction begins with few small slices instead of hundreds, so that it runs all the time.
#   * What a platform is waited for takes seconds instead of minutes. What keeps a task from being created twice stays
#     as it is (callWithin), or keeps its place: the first search comes later than an answer can, which is callWithin
#     and callTimeout after the intent, and a leader waits for longer than the platform's list is late (platform.go).
#
#   build.sh BINARY
set -euo pipefail
binary=$1
cd "$(dirname "$0")/../.."

overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT

# replace FILE PATTERN REPLACEMENT… has a changed copy of a file compiled; each pattern has to be there once.
replacements=()
replace() {
	local source=$PWD/$1 copy
	copy=$overlay/$(basename "$1")
	[[ ! -e $copy ]] || { echo "$source: another file has this name" >&2; exit 1; }
	replacements+=("\"$source\": \"$copy\"")
	cp "$source" "$copy"
	chmod u+w "$copy"
	shift
	while (($# > 0)); do
		[[ $(grep -cE -- "$1" "$copy") == 1 ]] || { echo "$source: no single line matches $1" >&2; exit 1; }
		sed -E -i.bak "s/$1/$2/" "$copy"
		shift 2
	done
}

replace webhook/options.go '^	"net"$' '	"net"; "os"' '^		o\.Clock = clock\.RealClock\{\}$' '		o.Clock = aheadClock{}'
cat >>"$overlay/options.go" <<-'GO'

	// aheadClock is ahead of the real one. What is measured with it alone is right.
	type aheadClock struct{ clock.RealClock }

	var clockOffset, _ = time.ParseDuration(os.Getenv("FWUPGRADE_CLOCK_OFFSET"))

	func (aheadClock) Now() time.Time { return time.Now().Add(clockOffset) }

	func (c aheadClock) Since(ts time.Time) time.Duration { return c.Now().Sub(ts) }
GO
replace internal/store/compaction.go \
	'compactAtSlices = 200$' 'compactAtSlices = 12' \
	'mergeAtSlices = 16$' 'mergeAtSlices = 3' \
	'idleAge = 10 \* time\.Minute$' 'idleAge = 5 * time.Second' \
	'duplicatesSlack = 1000$' 'duplicatesSlack = 10'

replace controllers/task_controller.go \
	'leadBeforeCreating = 6 \* time\.Minute$' 'leadBeforeCreating = 10 * time.Second' \
	'creationRetry = time\.Minute$' 'creationRetry = 2 * time.Second'
replace controllers/connections.go 'limitWindow = time\.Minute$' 'limitWindow = 2 * time.Second'
replace internal/creation/resolve.go \
	'firstMark = 90 \* time\.Second$' 'firstMark = 20 * time.Second' \
	'lastMark = time\.Minute$' 'lastMark = 5 * time.Second' \
	'firstMark, 3 \* time\.Minute, 6 .*$' \
	'firstMark, 30 * time.Second, 40 * time.Second, 50 * time.Second, 65 * time.Second, 80 * time.Second,'
replace internal/creation/verdict.go \
	'firstBackoff = time\.Minute$' 'firstBackoff = 2 * time.Second' \
	'lastBackoff  = 10 \* time\.Minute$' 'lastBackoff  = 20 * time.Second' \
	'lookAgain = time\.Minute$' 'lookAgain = 3 * time.Second' \
	'lookHourly = time\.Hour$' 'lookHourly = 10 * time.Second'
replace internal/link/link.go \
	'RoundPeriod = 2 \* time\.Minute$' 'RoundPeriod = 8 * time.Second' \
	'firstRetry = 30 \* time\.Second$' 'firstRetry = 2 * time.Second' \
	'lastRetry  = 10 \* time\.Minute$' 'lastRetry  = 10 * time.Second'
replace internal/platform/breaker.go \
	'breakerFirst = 30 \* time\.Second$' 'breakerFirst = 2 * time.Second' \
	'breakerMax   = 10 \* time\.Minute$' 'breakerMax   = 10 * time.Second'
replace internal/platform/exchange.go 'callTimeout = 30 \* time\.Second$' 'callTimeout = 8 * time.Second'

(IFS=, && echo "{\"Replace\": {${replacements[*]}}}") >"$overlay/overlay.json"
go build -overlay "$overlay/overlay.json" -o "$binary" ./cmd/manager
