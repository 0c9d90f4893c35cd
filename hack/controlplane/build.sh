#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds one binary of the embedded control plane, and says what it does meanwhile: the first time takes minutes.
#
#   build.sh BINARY PACKAGE "2/4" "about 8 minutes" LDFLAGS
set -euo pipefail
binary=$1 package=$2 number=$3 duration=$4 ldflags=$5
cd "$(dirname "$0")"

elapsed() { printf '%d min %02d s' $((SECONDS / 60)) $((SECONDS % 60)); }

# follow counts the packages that go compiles, as -v names them, and shows everything else that go says. On a terminal
# a line is redrawn; elsewhere one is printed each minute.
follow() {
	local line compiled=0 minute=0
	while true; do
		if IFS= read -r -t 1 line; then
			case $line in
				*[[:space:]]*) [[ ! -t 1 ]] || printf '\r\033[K'; printf '      %s\n' "$line" ;;
				*) compiled=$((compiled + 1)) ;;
			esac
			[[ -t 1 ]] || continue
		elif (($? <= 128)); then
			break # the end, not the timeout
		fi
		if [[ -t 1 ]]; then
			printf '\r\033[K      %s, %d packages compiled' "$(elapsed)" "$compiled"
		elif ((SECONDS / 60 > minute)); then
			minute=$((SECONDS / 60))
			printf '      %s, %d packages compiled\n' "$(elapsed)" "$compiled"
		fi
	done
	[[ ! -t 1 ]] || printf '\r\033[K'
}

if [[ $number == 1/* ]]; then
	echo "Building the control plane, once. It takes some 3 GB of disk, most of it in the caches of Go."
	echo "One that is there already is used instead: KUBEBUILDER_ASSETS=folder make ..."
fi
echo "[$number] ${binary##*/}: $duration on two cores the first time"
go build -v -trimpath -ldflags "$ldflags" -o "$binary" "$package" 2>&1 | follow
touch "$binary" # go build leaves a binary alone that is right already, and make would come back each time
echo "      built in $(elapsed), $(($(wc -c <"$binary") / 1000000)) MB"
