#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Says in one sentence each what this machine lacks for `make e2e-node`, and fails if it lacks anything. What a Debian
# package has is installed and stays, but not where systemd runs: there the packages are named, because installing
# containerd would start its service.
set -uo pipefail
missing=0
lacks() { echo "e2e-node: $1" >&2; missing=1; }

[[ $(uname -s) == Linux ]] || { lacks "a node needs Linux"; exit 1; }
((EUID == 0)) || lacks "a node needs root, for namespaces, mounts and cgroups"
# Whether a cgroup with this controller can be made, in either version of cgroups.
controls() {
	if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
		grep -qw "$1" /sys/fs/cgroup/cgroup.controllers && [[ -w /sys/fs/cgroup ]]
	else
		[[ -d /sys/fs/cgroup/$1 && -w /sys/fs/cgroup/$1 ]]
	fi
}
for controller in memory cpu cpuset pids; do
	controls "$controller" || lacks "no cgroup with the controller $controller can be made at /sys/fs/cgroup"
done
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
if ((${#wanted[@]})) && command -v apt-get >/dev/null && [[ ! -d /run/systemd/system ]]; then
	echo "e2e-node: installing ${wanted[*]}"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${wanted[@]}" >/dev/null
	mapfile -t wanted < <(absent | sort -u)
fi
if ((${#wanted[@]})); then
	lacks "what these packages of Debian have is missing: ${wanted[*]}"
	exit 1
fi
unshare --net ip link add probe type bridge 2>/dev/null || lacks "the kernel has no bridges"
unshare --net nft add table ip probe 2>/dev/null || lacks "the kernel has no nftables"
exit $missing
