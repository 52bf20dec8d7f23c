# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # work and tools are tests/bench/run's
# LXC and crun with the same root, init, namespaces and limits as our guests have. Sourced by run.
#
#   peers_prepare, peers_cleanup      peer lxc|crun N storm|GAP_MS
#
# Neither can live with a v2 hierarchy beside v1 ones: on such a host they run in a mount namespace
# where it is taken off.

peers_prepare() {
    mkdir "$work/lxc" "$work/crun"
    (cd "$work/crun" && crun spec)
}

is_v1() { awk '$3 == "cgroup"' /proc/mounts | grep -q .; }

# beside COMMAND…: without the v2 hierarchy, where there are others.
beside() {
    if ! is_v1; then
        "$@"
        return
    fi
    # shellcheck disable=SC2016 # the inner shell's
    unshare --mount --propagation private bash -c '
        for mount in $(awk "\$3 == \"cgroup2\" { print \$2 }" /proc/mounts); do
            umount "$mount" || exit
        done
        exec "$@"' peer "$@"
}

peer() {
    local kind=$1 n=$2 how=$3 i
    for ((i = 0; i < n; i++)); do
        "peer_${kind}_configure" "$kind$i"
    done
    if [[ $kind == lxc ]]; then
        beside "$tools/bench-peer" "$work/reports" lxc "$n" "$how" \
            lxc-start -P "$work/lxc" -n '{}' -d
    else
        beside "$tools/bench-peer" "$work/reports" crun "$n" "$how" \
            crun --root "$work/crun/state" --cgroup-manager=cgroupfs run -d \
            -b "$work/crun/{}" '{}'
        peer_crun_delete "$n"
    fi
}

peer_lxc_configure() {
    local limits='lxc.cgroup2.memory.max = 64M
lxc.cgroup2.pids.max = 64'
    ! is_v1 || limits='lxc.cgroup.memory.limit_in_bytes = 64M
lxc.cgroup.pids.max = 64'
    mkdir -p "$work/lxc/$1"
    cat >"$work/lxc/$1/config" <<END
lxc.uts.name = $1
lxc.rootfs.path = dir:$work/root
lxc.rootfs.options = ro
lxc.net.0.type = empty
lxc.mount.auto = proc:mixed sys:ro
lxc.mount.entry = $work/reports bench none bind 0 0
lxc.mount.entry = tmpfs dev tmpfs mode=755 0 0
lxc.autodev = 0
$limits
lxc.pty.max = 1
lxc.tty.max = 0
lxc.console.path = none
END
}

peer_crun_configure() {
    mkdir -p "$work/crun/$1"
    jq --arg root "$work/root" --arg reports "$work/reports" --arg name "$1" '
        .process.terminal = false | .process.args = ["/sbin/init"]
        | .root = {path: $root, readonly: true} | .hostname = $name
        | .mounts += [{destination: "/bench", type: "bind", source: $reports, options: ["rbind"]}]
        | .linux.resources.memory = {limit: (64 * 1048576)} | .linux.resources.pids = {limit: 64}
        | .linux.cgroupsPath = "/drover-bench-crun/" + $name' \
        "$work/crun/config.json" >"$work/crun/$1/config.json"
}

peer_crun_delete() {
    # shellcheck disable=SC2016 # the inner shell's
    beside bash -c '
        for ((i = 0; i < $1; i++)); do
            crun --root "$2" --cgroup-manager=cgroupfs delete --force "crun$i"
        done' delete "$1" "$work/crun/state"
}

# What they leave behind: empty cgroups and the lock files of LXC.
peers_cleanup() {
    local root path
    while read -r root; do
        for path in "$root"/lxc.{monitor,payload}.lxc* "$root"/{lxc.pivot,drover-bench-crun}; do
            [[ ! -d $path ]] || find "$path" -depth -type d -exec rmdir {} + 2>/dev/null
        done
    done < <(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts)
    rm -rf --one-file-system "/run/lxc/lock$work" "/run/lxc/lock/${work#/}"
    rmdir /run/lxc/lock/var/lib /run/lxc/lock/var /run/lxc/lock /run/lxc /run/crun 2>/dev/null
    true
}
