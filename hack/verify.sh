#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Checks that the committed tree is what it should be: generated, formatted, vetted, linted, tidy, and rendering.
# Run by `make verify`, which builds the tools it needs. What differs is printed; nothing is repaired but the generated
# files, so that a second run after `git add` passes.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()

# check runs a command under a title and remembers when it failed; all checks run, so that one run tells everything.
check() {
	local title=$1
	shift
	echo "==> $title"
	"$@" || { failed+=("$title"); echo "    failed: $title" >&2; }
}

formatted() {
	local files
	files=$(git ls-files --cached --others --exclude-standard -- '*.go' | xargs gofmt -l)
	[[ -z $files ]] || { printf 'not gofmt-ed, run make fmt:\n%s\n' "$files" >&2; return 1; }
}

headers() {
	local files
	files=$(git ls-files --cached --others --exclude-standard -- '*.go' |
		xargs grep -L '^// SPDX-License-Identifier: Apache-2.0$' || true)
	[[ -z $files ]] || { printf 'without the header of hack/boilerplate.go.txt:\n%s\n' "$files" >&2; return 1; }
}

tidy() { go -C "$1" mod tidy -diff; }

renders() { bin/controlplane/kubectl kustomize "$1" >/dev/null; }

committed() {
	local untracked
	git --no-pager diff --stat --exit-code -- . || { echo "commit the changes above" >&2; return 1; }
	untracked=$(git ls-files --others --exclude-standard)
	[[ -z $untracked ]] || { printf 'not committed:\n%s\n' "$untracked" >&2; return 1; }
}

check "generated code" make --no-print-directory generate
check "generated manifests" make --no-print-directory manifests
check "format" formatted
check "license headers" headers
check "go vet" go vet ./...
check "linters" bin/tools/golangci-lint run ./...
for module in . hack/controlplane hack/plot hack/tools; do
	check "go mod tidy in $module" tidy "$module"
done
for folder in config/default config/samples; do
	check "render $folder" renders "$folder"
done
check "nothing left to commit" committed

if ((${#failed[@]})); then
	printf 'verify failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
echo "verify passed"
