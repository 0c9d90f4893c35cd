#!/usr/bin/env bash
# Copyright The Firmware Upgrade Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs a command in a network, a mount and a process namespace of its own, and removes what a node leaves outside of
# them: its cgroups. With its first process ends whatever runs in a process namespace, so that nothing outlives the
# command, however that ends.
#
#   run.sh COMMAND ARGUMENTS...
set -uo pipefail
FWUPGRADE_NODE_DIR=$(mktemp -d /tmp/fwupgrade-node-XXXXXX) || exit 1
export FWUPGRADE_NODE_DIR
# The command mounts something of its own on these, and makes those that are not there.
made=()
for folder in /var/lib/cni /var/lib/kubelet; do [[ -e $folder ]] || made+=("$folder"); done

remove() {
	local try
	for try in {1..50}; do # the kernel takes a moment to leave a cgroup whose processes were killed
		find /sys/fs/cgroup -depth -type d -path '*/fwnode*' -exec rmdir {} + 2>/dev/null
		[[ -n $(find /sys/fs/cgroup -maxdepth 2 -type d -name fwnode -print -quit) ]] || break
		sleep 0.2
	done
	if [[ -n ${FWUPGRADE_NODE_LOGS:-} ]]; then
		mkdir -p "$FWUPGRADE_NODE_LOGS" && cp -r "$FWUPGRADE_NODE_DIR"/logs/. "$FWUPGRADE_NODE_LOGS" 2>/dev/null
	fi
	rm -rf "$FWUPGRADE_NODE_DIR"
	((${#made[@]} == 0)) || rmdir "${made[@]}" 2>/dev/null
}
trap remove EXIT
unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc "$@" &
child=$!
# unshare ignores both; the command gets them, ends, and then this does.
trap 'kill -TERM $(<"/proc/$child/task/$child/children")' INT TERM
code=0
while kill -0 "$child" 2>/dev/null; do
	code=0
	wait "$child" || code=$?
done
exit "$code"
