# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # work, build, tools and node are tests/bench/run's
# Whole systemd guests, beside systemd-nspawn with the same root. Sourced by run.
#
#   bench_systemd, systemd_cleanup
#
# Each round boots both: from the word to the last guest's own READY=1, all of them for the first time.
# systemd-nspawn runs as the host's root without a user namespace and keeps what its guests write in
# memory; its guests are not registered anywhere. Each has groups of its own, as a unit would have given
# it, or they would share one.

# What it says is shown where it failed.
systemd_drover() {
    timeout 180 "$build/drover" --agent "$agent_sock" "$@" 2>"$work/drover.err" ||
        { cat "$work/drover.err" >&2 && return 1; }
}

# Where systemd keeps processes: v2, and name=systemd beside it on a hybrid host.
systemd_groups() {
    awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /name=systemd/) { print $2 }' /proc/mounts
}

# systemd_nspawn N: prints `seconds`.
systemd_nspawn() {
    local root i groups=''
    while read -r root; do
        groups+=${groups:+:}$root/drover-bench-nspawn.$node/{}
        for ((i = 0; i < $1; i++)); do
            mkdir -p "$root/drover-bench-nspawn.$node/$i"
        done
    done < <(systemd_groups)
    timeout -k 60 180 "$tools/bench-ready" "$work/ready" "$1" "$groups" \
        systemd-nspawn --quiet --directory="$work/debian" --volatile=overlay --machine="$node-{}" \
        --private-network --register=no --keep-unit --notify-ready=yes --console=passive --boot \
        2>"$work/nspawn.log"
    systemd_cleanup
}

# systemd_ours N: seconds.
systemd_ours() {
    local i began
    for ((i = 0; i < $1; i++)); do
        systemd_drover create "sd-$i" --template debian >/dev/null
    done
    sync
    settle
    began=$(date +%s%N)
    systemd_drover start --all --timeout 120s >/dev/null
    awk -v ns=$(($(date +%s%N) - began)) 'BEGIN { print ns / 1e9 }'
    systemd_drover destroy --all --force --timeout 60s >/dev/null
}

systemd_cleanup() {
    local root
    while read -r root; do
        [[ ! -d $root/drover-bench-nspawn.$node ]] ||
            find "$root/drover-bench-nspawn.$node" -depth -type d -exec rmdir {} + 2>/dev/null
    done < <(systemd_groups)
    rmdir "/run/systemd/nspawn/propagate/$node"-* 2>/dev/null
    true
}

bench_systemd() {
    local n=20 round rounds=3 ours='' nspawn=''
    ((N >= 300)) || rounds=1
    if [[ ! -d $work/debian ]]; then
        guest_debian "$work/debian"
        systemd_drover template import debian "$work/debian" >/dev/null
    fi
    for ((round = 0; round < rounds; round++)); do
        settle
        nspawn+=$(systemd_nspawn "$n" | value seconds)$'\n'
        ours+=$(systemd_ours "$n")$'\n'
    done
    row systemd "$(systemd-nspawn --version | awk '{ print "systemd-nspawn " $2; exit }')" \
        "$(printf '%s' "$nspawn" | median)" s "$n"
    row systemd 'drover, defaults' "$(printf '%s' "$ours" | median)" s "$n"
    row systemd 'drover/systemd-nspawn' "$(compare "$ours" "$nspawn")" ratio "$n" '<=' 1.2
}
