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

# The widest that a line may be; a tab counts as one.
width=120

# wide prints the lines of files that are wider than that, as file:line, and fails if there are any. What can't be
# wrapped is left out: in Markdown tables, blocks of code and lines with a link; in Go markers for kubebuilder, what
# stands in raw strings, lines with nothing but a string, and rows of test tables. Of all other files only comments
# count.
wide() {
	# Bytes that continue a character of UTF-8 are dropped, so that every character counts as one.
	LC_ALL=C awk -v max="$width" '
		FNR == 1 { go = FILENAME ~ /\.go$/; md = FILENAME ~ /\.md$/; test = FILENAME ~ /_test\.go$/; generated = block = 0 }
		go && FNR < 10 && /^\/\/ Code generated / { generated = 1 }
		generated { next }
		{ inside = block }
		md && /^[ \t]*```/ { block = !block }
		go && !/^[ \t]*\/\// { ticks = gsub(/`/, "`"); if (ticks % 2) block = !block }
		inside || /https?:\/\// { next }
		md && (/^[ \t]*\|/ || /\]\(/) { next }
		go && /^[ \t]*\/\/ ?\+kubebuilder:/ { next }
		go && /^[ \t]*"([^"\\]|\\.)*"[,)}]*$/ { next }
		test && /^[ \t]*("([^"\\]|\\.)*": |\{)/ { next }
		!go && !md && !/^[ \t]*#/ { next }
		{ text = $0; gsub(/[\200-\277]/, "", text) }
		length(text) > max { printf "%s:%d: %d columns\n", FILENAME, FNR, length(text); found = 1 }
		END { exit found }' "$@"
}

narrow() {
	git ls-files -z --cached --others --exclude-standard -- '*.go' '*.md' '*.sh' '*.yaml' '*.yml' Makefile \
		':!config/crd/bases' | (
		files=()
		while IFS= read -r -d '' file; do [[ ! -e $file ]] || files+=("$file"); done
		wide "${files[@]}"
	) || { echo "wrap the lines above at $width columns" >&2; return 1; }
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
check "generated references" make --no-print-directory docs
check "install.yaml and the chart" make --no-print-directory dist IMAGE=fwupgrade-operator:latest
check "format" formatted
check "license headers" headers
check "width of text" narrow
check "links, flags and targets in the manuals" go test ./test/docs
check "go vet" go vet ./...
check "linters" bin/tools/golangci-lint run ./...
for module in . hack/controlplane hack/controlplane/1.31 hack/node hack/etcdctl hack/plot hack/tools hack/image test/chart \
	test/monitoring; do
	check "go mod tidy in $module" tidy "$module"
done
for folder in config/crd config/default config/webhook/tls config/flow-control config/monitoring config/platform \
	config/samples config/samples/platform; do
	check "render $folder" renders "$folder"
done
check "nothing left to commit" committed

if ((${#failed[@]})); then
	printf 'verify failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
echo "verify passed"
