# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # work, build, tools, node and agent_pid are tests/bench/run's
# How long a start takes while ten guests of other owners rage. Sourced by run.
#
#   bench_neighbours, neighbours_cleanup
#
# Each of the ten has --cpus 0.1 --pids 64 --memory 64M and does one thing for ever. Pseudo terminals
# are left out, as they are one pool for the machine, on which others may be working.

# What each is, as its init: all hold PID 1 in a shell that goes on whatever its children meet.
neighbours_rages() {
    cat <<'END'
forks exec /hostile forks
more-forks while :; do /hostile forks & wait; done
memory while :; do /hostile memory; done
groups while :; do /hostile groups 1000; rmdir /sys/fs/cgroup/hostile-*; done
deep while :; do /hostile deep 32; cd /sys/fs/cgroup; find . -depth -name 'ddd*' -type d -exec rmdir {} +; done
spaces while :; do /hostile spaces 32; /hostile signals 100000; done
console while :; do /hostile console 1000; done
notify while :; do /hostile notify 1000; done
mounts while :; do mkdir -p /m; for i in 0 1 2 3 4 5 6 7 8 9; do mount -t tmpfs none /m; done; umount /m; done
restless usleep 100000; exec reboot -f
END
}

# What it says is shown where it failed.
neighbours_drover() {
    timeout 60 "$build/drover" --agent "$agent_sock" "$@" 2>"$work/drover.err" ||
        { cat "$work/drover.err" >&2 && return 1; }
}

neighbours_create() {
    local name what root=$work/busybox
    [[ -d $root ]] || guest_busybox "$root"
    [[ -d $work/state/templates/busybox ]] ||
        neighbours_drover template import busybox "$root" >/dev/null
    mkdir -p "$work/rages"
    while read -r name what; do
        printf '#!/bin/sh\n%s\n' "$what" >"$work/rages/$name" && chmod 755 "$work/rages/$name"
        neighbours_drover create "rage-$name" --template busybox --cpus 0.1 --pids 64 --memory 64M \
            --ready "$([[ $name == notify ]] && echo notify || echo exec)" --init /own \
            --bind "$tools/test.support.hostile:/hostile:ro" --bind "$work/rages/$name:/own:ro" >/dev/null
    done < <(neighbours_rages)
}

# Microseconds of processor time that the ten have used.
neighbours_cpu_us() {
    local type root options file
    while read -r type root options; do
        for file in "$root/drover.$node"/rage-*; do
            if [[ $type == cgroup2 && -e $file/cpu.stat ]]; then
                awk '$1 == "usage_usec" { print $2 }' "$file/cpu.stat"
            elif [[ ,$options, == *,cpuacct,* && -e $file/cpuacct.usage ]]; then
                awk '{ print $1 / 1000 }' "$file/cpuacct.usage"
            fi
        done
    done < <(awk '$3 ~ /^cgroup2?$/ { print $3, $2, $4 }' /proc/mounts) 2>/dev/null |
        awk '{ us += $1 } END { printf "%.0f\n", us }'
}

# As deploy/systemd/drover-agent.service has it: the agent in a group of weight 1000. The keeper's own
# group says so itself.
neighbours_weigh_agent() {
    local root file value
    while read -r root; do
        for file in cpu.weight=1000 cpu.shares=10240; do
            value=${file#*=} file=${file%=*}
            mkdir -p "$root/drover-bench-agent.$node"
            [[ -e $root/drover-bench-agent.$node/$file ]] || continue
            echo "$value" >"$root/drover-bench-agent.$node/$file"
            echo "$agent_pid" >"$root/drover-bench-agent.$node/cgroup.procs"
        done
    done < <(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts)
}

neighbours_cleanup() {
    local root
    while read -r root; do
        rmdir "$root/drover-bench-agent.$node" 2>/dev/null
    done < <(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts)
    true
}

neighbours_apart() {
    local out
    guests_create defaults "$1"
    settle
    out=$(driver "$1" apart 50)
    driver "$1" destroy
    printf '%s\n' "$out"
}

bench_neighbours() {
    local n=200 alone beside before began
    ((N >= 300)) || n=$((N < 40 ? 40 : N)) # fewer have no hundredth
    neighbours_weigh_agent
    alone=$(neighbours_apart "$n")
    neighbours_create
    # One whose readiness is by notify is never ready: it floods the socket with all but READY.
    neighbours_drover start 'rage-*' --wait exec >/dev/null
    guests_create defaults "$n"
    before=$(neighbours_cpu_us) began=$(date +%s%N)
    beside=$(driver "$n" apart 50)
    row neighbours 'their processors' "$(ratio "$(($(neighbours_cpu_us) - before))" \
        "$((($(date +%s%N) - began) / 1000))")" cpus 10
    row neighbours 'still raging' "$(neighbours_drover ls 'rage-*' -f json |
        jq '[.[] | select(.state != "stopped")] | length')" guests 10 '>=' 10
    row neighbours 'start alone' "$(value median_ms <<<"$alone")" ms "$n"
    row neighbours 'start alone, p99' "$(value p99_ms <<<"$alone")" ms "$n"
    row neighbours 'start beside them' "$(value median_ms <<<"$beside")" ms "$n"
    row neighbours 'start beside them, p99' "$(value p99_ms <<<"$beside")" ms "$n" '<=' 25
    row neighbours 'p99 beside/alone' "$(ratio "$(value p99_ms <<<"$beside")" \
        "$(value p99_ms <<<"$alone")")" ratio "$n" '<=' 10
    driver "$n" destroy
    neighbours_drover destroy 'rage-*' --force --timeout 50s >/dev/null
}
