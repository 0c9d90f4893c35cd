#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds one binary of the embedded control plane, and says what it does meanwhile: the first time takes minutes.
#
#   build.sh BINARY PACKAGE "2/4" "about 8 minutes" LDFLAGS [FOLDER]
#
# FOLDER has the module, below the one of this script; by default it is that one.
set -euo pipefail
binary=$1 package=$2 number=$3 duration=$4 ldflags=$5 folder=${6:-.}
cd "$(dirname "$0")/$folder"

elapsed() { printf '%d min %02d s' $((SECONDS / 60)) $((SECONDS % 60)); }

# follow counts the packages that go compiles, as -v names them, and shows everything else that go says. On a terminal
# a line is redrawn; elsewhere one is printed each minute.
follow() {
	local part line='' code compiled=0 minute=0
	while true; do
		code=0
		IFS= read -r -t 1 part || code=$?
		line+=$part
		if ((code <= 128)); then # a line, or the end; otherwise the timeout, which may come within a line
			case $line in
				'') ;;
				*[[:space:]]*) [[ ! -t 1 ]] || printf '\r\033[K'; printf '      %s\n' "$line" ;;
				*) compiled=$((compiled + 1)) ;;
			esac
			line=''
			((code == 0)) || break
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

build() { go build "$1" -trimpath -ldflags "$ldflags" -o "$binary" "$package" 2>&1; }

# Where another control plane is used, kube-controller-manager may be the first and only one to be built.
if [[ $number == 1/* || ! -e ${binary%/*}/etcd ]]; then
	echo "Building the control plane, once. It takes some 3 GB of disk, most of it in the caches of Go."
	echo "One that is there already is used instead: KUBEBUILDER_ASSETS=folder make ..."
fi
echo "[$number] ${binary##*/}: $duration on two cores the first time"
if ((BASH_VERSINFO[0] < 4)); then
	build -v=false # that of macOS, where a read that times out looks like the end of the input
else
	build -v | follow
fi
touch "$binary" # go build leaves a binary alone that is right already, and make would come back each time
echo "      built in $(elapsed), $(($(wc -c <"$binary") / 1000000)) MB"
