#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a stop that comes at a bad moment and is lost, so that a guest runs on till it is killed. Guests
# are stopped at each instant of their boot, timed from their own exec, 20 at a time; each must end by
# itself within its grace, whatever it was doing.
#   stop_instants.sh BUILD [full]     full: each ms with busybox, each 5 ms with systemd
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

side_by_side=20
grace_s=60
seed=${SEED:-$RANDOM}
echo "SEED=$seed"
RANDOM=$seed

# at_instant NAME MS: the wait is the instant itself, not for anything
at_instant() {
    local name=$1 instant=$2 started left began
    d start "$name" --wait exec >/dev/null || return
    started=$(date -d "$(d ls "$name" -f json | jq -r '.[0].started')" +%s%N) || return
    left=$((instant - ($(date +%s%N) - started) / 1000000))
    ((left <= 0)) || sleep "$((left / 1000)).$(printf '%03d' $((left % 1000)))"
    began=$(date +%s%N)
    d stop "$name" --timeout "${grace_s}s" >/dev/null || return
    echo "$name $instant $((($(date +%s%N) - began) / 1000000))" >>"$WORK/stops"
}

# all_at TEMPLATE INSTANT…: containers are used again, each by one at a time
all_at() {
    local template=$1 i=0 instant count=0
    shift
    : >"$WORK/stops"
    for ((i = 0; i < side_by_side; i++)); do
        want 0 d create "$template-$i" --template "$template" --memory 256M >/dev/null
    done
    for ((i = 0; i < side_by_side; i++)); do
        (
            number=0
            for instant; do
                ((number++ % side_by_side != i)) || at_instant "$template-$i" "$instant" || exit
            done
        ) &
    done
    wait
    count=$(wc -l <"$WORK/stops")
    sort -n -k 3 "$WORK/stops" | tail -n 1 |
        awk -v what="$template" '{ print what ": the longest stop took " $3 " ms, at " $2 " ms" }'
    same "$template: stops that ended" $# "$count"
    # All by themselves: none had to be killed.
    for ((i = 0; i < side_by_side; i++)); do
        d history "$template-$i" -f jsonl
    done | jq -r 'select(.cause != null) | .cause' | sort | uniq -c | awk '{ print $1, $2 }' >"$WORK/causes"
    same "$template: ends" "$# operator_stop" "$(cat "$WORK/causes")"
    d destroy --force "$template-*" >/dev/null
}

seeded() { # COUNT: instants to 5 s
    local i
    for ((i = 0; i < $1; i++)); do echo $(((RANDOM << 15 | RANDOM) % 5000)); done
}

node_start
step=10 others=50 few=8
if [[ ${2:-} == full ]]; then step=1 others=5 few=50; fi
template busybox
# shellcheck disable=SC2046 # numbers
all_at busybox $(seq 0 "$step" 300) $(seeded 50)
for name in debian sysvinit openrc runit; do
    template "$name"
    # shellcheck disable=SC2046 # numbers
    all_at "$name" $(seq 0 "$others" 300) $(seeded "$few")
done
echo "ok"
