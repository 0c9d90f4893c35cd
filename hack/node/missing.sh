#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Says in one sentence each what this machine lacks for `make e2e-node`, and fails if it lacks anything. What a Debian
# package has is installed, if this runs as root.
set -uo pipefail
missing=0
lacks() { echo "e2e-node: $1" >&2; missing=1; }

[[ $(uname -s) == Linux ]] || { lacks "a node needs Linux"; exit 1; }
((EUID == 0)) || lacks "a node needs root, for namespaces, mounts and cgroups"
[[ -e /sys/fs/cgroup/memory || -e /sys/fs/cgroup/cgroup.controllers ]] ||
	lacks "there are no cgroups with memory at /sys/fs/cgroup"
((missing == 0)) || exit 1
unshare --net --mount --pid --fork true 2>/dev/null || { lacks "network, mount and process namespaces can't be made"; exit 1; }

declare -A packages=(
	[containerd]=containerd [ctr]=containerd [runc]=runc [nft]=nftables [conntrack]=conntrack [iptables]=iptables
	[ip]=iproute2
)
absent() {
	local command
	for command in "${!packages[@]}"; do
		command -v "$command" >/dev/null || echo "${packages[$command]}"
	done
	[[ -x /usr/lib/cni/bridge ]] || echo containernetworking-plugins
}
mapfile -t wanted < <(absent | sort -u)
((${#wanted[@]})) || exit 0
if command -v apt-get >/dev/null; then
	echo "e2e-node: installing ${wanted[*]}"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${wanted[@]}" >/dev/null
	mapfile -t wanted < <(absent | sort -u)
fi
((${#wanted[@]} == 0)) || lacks "what these packages of Debian have is missing: ${wanted[*]}"
exit $missing
