#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Makes the files of a release that are not the image: the plugin's archives, the manifest for krew, install.yaml, the
# packaged chart, checksums. Run by `make release-files`, which builds what it needs. From the environment: VERSION
# (v0.1.0), IMAGE (with its tag), SOURCE (the URL of the repository), SOURCE_DATE_EPOCH (the time of the files).
set -euo pipefail
cd "$(dirname "$0")/.."

# Of the environment nothing else gets into a binary.
export CGO_ENABLED=0 GOFLAGS= GOWORK=off GOEXPERIMENT= GOFIPS140=off GOAMD64=v1 GOARM64=v8.0
out=bin/release
[[ $VERSION =~ ^v[0-9]+\.[0-9]+\.[0-9]+ ]] || { echo "VERSION=$VERSION is not a version such as v0.1.0" >&2; exit 1; }
repository=${IMAGE%:*}

# pack makes an archive of files of a folder that depends on their content alone: not on the umask either.
pack() {
	local archive=$1 folder=$2
	tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
		-C "$folder" -cf - . |
		gzip -n9 > "$archive"
}

plugins() {
	local os arch folder binary
	for os in linux darwin windows; do
		for arch in amd64 arm64; do
			folder=$(mktemp -d)
			binary=kubectl-fwupgrade
			[[ $os != windows ]] || binary+=.exe
			GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false \
				-ldflags "-s -w -X main.linkedVersion=$VERSION" -o "$folder/$binary" ./cmd/kubectl-fwupgrade
			cp LICENSE "$folder/"
			pack "$out/kubectl-fwupgrade_${VERSION}_${os}_$arch.tar.gz" "$folder"
			rm -r "$folder"
		done
	done
}

# krew fills in .krew.yaml what krew-release-bot would: the version, the address and the checksum of each archive.
krew() {
	local line uri manifest=$out/fwupgrade.krew.yaml
	while IFS= read -r line; do
		line=${line//'{{ .TagName }}'/$VERSION}
		line=${line//'https://github.com/<owner>/<repository>'/$SOURCE}
		if [[ $line =~ addURIAndSha\ \"([^\"]+)\" ]]; then
			uri=${BASH_REMATCH[1]}
			printf '    uri: %s\n    sha256: %s\n' "$uri" "$(sha256sum "$out/${uri##*/}" | cut -d' ' -f1)"
		else
			printf '%s\n' "$line"
		fi
	done < <(grep -v '^#' .krew.yaml) > "$manifest"
	! grep -n '{{\|<owner>' "$manifest" || { echo "the manifest for krew has the placeholders above" >&2; return 1; }
}

# chart packages the chart with the released image as its default.
chart() {
	local folder
	folder=$(mktemp -d)
	cp -r charts/fwupgrade "$folder/"
	sed -i "s|^  repository: fwupgrade-operator\$|  repository: $repository|" "$folder/fwupgrade/values.yaml"
	grep -q "^  repository: $repository\$" "$folder/fwupgrade/values.yaml"
	bin/tools/helm package "$folder/fwupgrade" --version "${VERSION#v}" --app-version "$VERSION" --destination "$out"
	rm -r "$folder"
}

plugins
if [[ -n $SOURCE ]]; then krew; else echo "SOURCE is not set: there is no manifest for krew"; fi
chart
(cd "$out" && rm -f checksums.txt && sha256sum -- * > checksums.txt)
ls -l "$out"
