#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: limits that begin too late, or differ from what was asked for, or are refused by the kernel.
# Guests spend all they can from their first instruction on; each parameter is read back wherever it stands.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

# group NAME FILE…: the first of these that its present group has, in whatever hierarchy
group() {
    local name=$1 file root
    shift
    for file in "$@"; do
        while read -r root; do
            [[ ! -e $root/drover.$NODE/$name/$file ]] || { cat "$root/drover.$NODE/$name/$file" && return; }
        done < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
    done
    fail "no hierarchy has $* for $name"
}

statement_14() {
    root_init forks <<'END'
sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 1000 & done' 2>/dev/null
echo >/forked
exec sleep 1000
END
    # The time of the host, as its uptime is its own; a hundredth of a second is a tick.
    root_init spins <<'END'
read -r began rest </proc/uptime
end=$((${began%.*} + 3))
while read -r now rest </proc/uptime && [ "${now%.*}" -lt "$end" ]; do :; done
cat /proc/1/stat /proc/uptime >/new && echo "$began" >>/new && mv /new /spent
exec sleep 1000
END
    root_init hog <<<'a=x; while :; do a=$a$a$a$a; done'
    created forks --pids 8
    created spins --cpus 0.1
    created hog --memory 16M --swap 0
    want 0 d start forks spins
    d start hog || true
    want 0 d wait hog --for stopped --timeout 60s
    same 'memory' '1 oom {"signalled":9,"core":false}' "$(ends hog)"
    until inside forks /forked >/dev/null 2>&1; do :; done
    count=$(wc -l <"$V2/drover.$NODE/forks.1/guest/cgroup.procs")
    ((count >= 6 && count <= 8)) || fail "$count processes under --pids 8"
    until inside spins /spent >"$WORK/spent" 2>/dev/null; do read -rt 0.1 <> <(:) || true; done
    awk 'NR == 1 { ticks = $14 + $15 } NR == 2 { now = $1 } NR == 3 { began = $1 }
        END { part = ticks / ((now - began) * 100); print part; exit !(part > 0 && part < 0.15) }' "$WORK/spent" ||
        fail "its part of a processor, of 0.1: $(cat "$WORK/spent")"
}

# As the agent tells it, without what is not about parameters.
config() { d show "$1" -f json | jq -S '.[0] | {config, labels}'; }

in_force_as_set() {
    same 'memory as set' 100663296 "$(group live.1 memory.max memory.limit_in_bytes)"
    same 'pids as set' 88 "$(group live.1 pids.max)"
    [[ $(group live.1 cpu.max cpu.cfs_quota_us) =~ ^75000( 100000)?$ ]] || fail 'cpus as set'
    [[ $(group live.1 cpu.weight cpu.shares) =~ ^(300|3072)$ ]] || fail 'weight as set'
}

statement_52() {
    local option wrong
    root busybox
    want 0 d template import busybox "$WORK/roots/busybox"
    mkdir "$WORK/data"
    want 0 d create all --template busybox --memory 64M --swap 16M --pids 77 --cpus 1.5 --cpu-weight 250 \
        --env A=b --env 'C=d e' --restart on-failure --allow-reboot no --ready-timeout 33s --ready-policy keep \
        --label k=v --tmpfs /scratch:1M --bind "$WORK/data:/data:ro" --hook "premount=/bin/true" \
        --on-node-lost restart --init /bin/busybox-init --family busybox --fuse --tun --ptrace --nested
    config all >"$WORK/stored"
    expect 'as given' '.labels == {"k": "v"} and (.config |
        .limits == {"memory": 67108864, "swap": 16777216, "pids": 77, "cpus": 1.5, "cpu_weight": 250} and
        .env == {"A": "b", "C": "d e"} and .restart == "on-failure" and .allow_reboot == false and
        .ready_timeout_ns == 33000000000 and .ready_policy == "keep" and
        .tmpfs == [{"target": "/scratch", "size": 1048576}] and
        (.binds | length == 1 and .[0].target == "/data" and .[0].read_only and (.[0].plain | not)) and
        .hooks == {"premount": "/bin/true"} and .on_node_lost == "restart" and .init == "/bin/busybox-init" and
        .family == "busybox" and .fuse and .tun and .ptrace and .nested and (.privileged | not))' <"$WORK/stored"
    want 0 d create live --template busybox --memory 64M --swap 16M --pids 77 --cpus 1.5 --cpu-weight 250 \
        --bind "$WORK/data:/data:ro" --tmpfs /scratch:1M --env A=b
    want 0 d start live
    same 'memory in force' 67108864 "$(group live.1 memory.max memory.limit_in_bytes)"
    same 'pids in force' 77 "$(group live.1 pids.max)"
    [[ $(group live.1 cpu.max cpu.cfs_quota_us) =~ ^150000( 100000)?$ ]] || fail 'cpus in force'
    [[ $(group live.1 cpu.weight cpu.shares) =~ ^(250|2560)$ ]] || fail 'weight in force'
    same 'environment in force' A=b "$(inside live /proc/1/environ | tr '\0' '\n' | grep ^A=)"
    d exec live -- mount >"$WORK/mounts"
    grep -q ' on /data .*[(,]ro[,)]' "$WORK/mounts" || fail 'the bind is not read-only'
    grep -q ' on /scratch type tmpfs .*size=1024k' "$WORK/mounts" || fail 'the tmpfs is not of its size'
    want 0 d set live memory=96M pids=88 cpus=0.75 cpu-weight=300
    in_force_as_set
    config live >"$WORK/set"
    expect 'stored as set' '.config.limits == {"memory": 100663296, "swap": 16777216, "pids": 88, "cpus": 0.75,
        "cpu_weight": 300}' <"$WORK/set"
    node_kill KILL
    node_start
    same 'after a restart' "$(cat "$WORK/stored")" "$(config all)"
    same 'what was set, after a restart' "$(cat "$WORK/set")" "$(config live)"
    in_force_as_set

    for wrong in '--memory abc' '--memory 1-sdc' '--memory -1' '--memory 0' '--memory 99999999999T' '--swap abc' \
        '--pids abc' '--pids 0' '--pids 4194305' '--cpus abc' '--cpus 0' '--cpus 1-sdc' '--cpu-weight abc' \
        '--cpu-weight 0' '--cpu-weight 10001' '--restart sometimes' '--allow-reboot maybe' '--ready what' \
        '--ready-timeout abc' '--ready-policy x' '--bind relative' '--tmpfs relative' '--env noequals' \
        '--label =x' '--hook x=/y' '--hook start=relative' '--on-node-lost x' '--family x' '--init relative'; do
        read -r -a option <<<"$wrong"
        want 2 d create bad --template busybox "${option[@]}" 2>/dev/null
        same "$wrong changes nothing" 'all live' "$(d ls -o name --no-header | xargs)"
    done
    same 'nor what is there' "$(cat "$WORK/stored")" "$(config all)"
    for wrong in memory=abc memory=1-sdc memory=0 pids=0 cpus=1-sdc cpu-weight=10001; do
        want 2 d set live "$wrong" 2>/dev/null
    done
    same 'nor what was set' "$(cat "$WORK/set")" "$(config live)"
    in_force_as_set
}

# A group that may have half a processor, and wants all: its part over two seconds.
part_of() {
    local before after began
    began=$(date +%s%N) before=$(spent "$1")
    read -rt 2 <> <(:) || true
    after=$(spent "$1")
    echo $(((after - before) * 1000 / ($(date +%s%N) - began)))
}
# Nanoseconds; v2 counts them whatever controllers it has.
spent() { awk '$1 == "usage_usec" { print $2 "000" }' "$V2/drover.$NODE/$1/cpu.stat"; }

statement_53() {
    local units weight part
    root busybox
    created busybox --cpus 0.5
    want 0 d start busybox
    d exec busybox -- sh -c 'while :; do :; done' &
    until (($(spent busybox.1) > 300000000)); do read -rt 0.1 <> <(:) || true; done
    # A machine that is busy gives less now and then, and never more.
    for _ in $(seq 20); do
        part=$(part_of busybox.1)
        ((part <= 550)) || fail "$part of 1000 of a processor"
        ((part < 400)) || break
    done
    ((part >= 400)) || fail "$part of 1000 of a processor"
    want 0 d kill busybox

    want 0 d create full --template busybox --memory 128M --swap 0 --tmpfs /fill:64M
    want 0 d start full
    want 0 d exec full -- /bin/sh -c 'dd if=/dev/zero of=/fill/x bs=1M count=48' 2>/dev/null
    want 8 d set full memory=20M 2>"$WORK/error"
    grep -q 'uses [0-9]' "$WORK/error" || fail "it does not say what is used: $(cat "$WORK/error")"
    same 'the old limit' 134217728 "$(group full.1 memory.max memory.limit_in_bytes)"
    d exec full -- /bin/rm /fill/x || fail 'it was killed'
    want 0 d kill full

    mkdir -p "$WORK/vz/conf"
    for units in 8 9 50 100 999 1000 2000 50000 262144 499999 500000; do
        cat >"$WORK/vz/conf/$((units + 1000)).conf" <<END
VE_PRIVATE="$WORK/roots/busybox"
OSTEMPLATE="busybox"
CPUUNITS="$units"
END
        want 0 d import openvz --dry-run -f json "$WORK/vz/conf/$((units + 1000)).conf" >"$WORK/out"
        weight=$(jq -r '.[0].option' "$WORK/out" | sed -n 's/.*--cpu-weight \([0-9]*\).*/\1/p')
        want 0 d create "u-$units" --template busybox --cpu-weight "${weight:-100}" --start >/dev/null
        [[ $(group "u-$units.1" cpu.weight cpu.shares) =~ ^(${weight:-100}|$((${weight:-100} * 1024 / 100)))$ ]] ||
            fail "CPUUNITS=$units is the weight $weight, and $(group "u-$units.1" cpu.weight cpu.shares) there"
        want 0 d kill "u-$units" >/dev/null
    done
}

run_statement "$2"
