# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What must hold of a node at rest, whatever happened to its daemons. To be sourced after harness.sh
# by a test whose containers are named c-….
#
#   at_rest        wait until no container is on its way
#   check_world    one init or none for each container, and nothing else: processes, cgroups,
#                  directories, mounts, descriptors, one keeper
#   check_ledger   each end once, moves in one chain, one result a request, states as told

no_rest() {
    local pid
    for pid in $(jq '.[] | select(.state != "running" and .state != "stopped") | .pid // empty' "$WORK/ls"); do
        grep -E '^(Name|State|NSpid|Sig|Shd)' "/proc/$pid/status" || true
        cat "/proc/$pid/wchan" "/proc/$pid/cgroup" || true
    done
    jq -c '.[] | select(.state != "running" and .state != "stopped")' "$WORK/ls"
    tail -n 400 "$WORK/agent.log"
    fail "no rest"
}

# until_so SECONDS COMMAND…: asked at first and again after each event, until it is so.
until_so() {
    local events follower code=0 end=$((SECONDS + $1))
    exec {events}< <(timeout -k 5 $(($1 + 5)) "$BUILD/drover" $TO events --follow \
        --since "$(date -u +%FT%T.%NZ)" -f jsonl)
    follower=$!
    until "${@:2}"; do
        ((SECONDS < end)) && read -rt $((end - SECONDS)) -u "$events" _ || { code=1 && break; }
    done
    kill "$follower" 2>/dev/null || true
    wait "$follower" || true
    exec {events}<&-
    return $code
}

is_at_rest() {
    d ls -f json >"$WORK/ls" &&
        jq -e 'all(.[]; .state == "running" or .state == "stopped" or .state == "frozen")' "$WORK/ls" >/dev/null
}

at_rest() { until_so 60 is_at_rest || no_rest; }

inits_below() {
    local pid
    find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null | while read -r pid; do
        awk '$1 == "NSpid:" && $NF == 1 { print $2 }' "/proc/$pid/status" 2>/dev/null || true
    done
}

# The model's word and the kernel's are one.
is_seen_as_said() {
    local root
    is_at_rest || return 1
    jq -r '.[] | select(.pid != null) | "\(.name).\(.generation) \(.pid)"' "$WORK/ls" | sort >"$WORK/said"
    for root in "$V2/drover.$NODE"/c-*.*; do
        [[ ! -d $root ]] || echo "${root##*/} $(inits_below "$root" | paste -sd+)"
    done | sort >"$WORK/seen"
    cmp -s "$WORK/said" "$WORK/seen"
}

# The model's word against the kernel's.
check_world() {
    local root keeper
    ! grep -n 'always hold\|ERROR: \|WARNING: \|runtime error' "$WORK/agent.log" || fail "the agent broke off"
    at_rest
    # A guest that was told to end itself may do so after the rest was seen.
    until_so 5 is_seen_as_said || true
    same 'inits' "$(cat "$WORK/said")" "$(cat "$WORK/seen")"
    while read -r root; do
        same "cgroups in $root" "$(cut -d' ' -f1 "$WORK/said")" "$(find "$root/drover.$NODE" -mindepth 1 \
            -maxdepth 1 -name 'c-*' -printf '%f\n' 2>/dev/null | sort)"
    done < <(awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /memory|pids/) { print $2 }' /proc/mounts)
    same 'commands without a client' '' "$(grep -l 'populated 1' "$V2/drover.$NODE"/c-*/exec.*/cgroup.events \
        2>/dev/null || true)"
    same 'directories' "$(jq -r '.[].id' "$WORK/ls" | sort)" "$(ls "$WORK/state/containers")"
    same 'mounts' '' "$(grep -F "$WORK" /proc/mounts || true)"
    keeper=$(keeper_pid)
    same 'keepers' 1 "$(wc -w <<<"$keeper")"
    # Descriptors belong to what runs.
    ls -l "/proc/$keeper/fd" >"$WORK/keeper.fds" && ls -l "/proc/$AGENT_PID/fd" >"$WORK/agent.fds"
    echo "    $(wc -l <"$WORK/said") run; descriptors: keeper $(wc -l <"$WORK/keeper.fds")," \
        "agent $(wc -l <"$WORK/agent.fds")"
}

check_ledger() {
    d events -f jsonl >"$WORK/events"
    same 'seq' true "$(jq -s 'map(.seq) | . == (sort | unique)' "$WORK/events")"
    same 'ends said twice' '' \
        "$(jq -r 'select(.type == "changed" and .cause != null) | "\(.container) \(.generation)"' \
        "$WORK/events" | sort | uniq -d)"
    # A number without an event was spent on a group that an agent made before it died (design: a new
    # generation is beyond each that has a group): nothing began.
    same 'ends not said' '' "$(jq -rs '(map(select(.type == "destroyed") | .container)) as $gone |
        group_by(.container)[] | (map(.generation) | max) as $last |
        (map(select(.type == "changed" and .cause != null) | .generation) | unique) as $ends |
        .[0].container as $c | (map(select(.type == "changed") | .generation) | unique)[] |
        select(. > 0 and . < $last and ([.] - $ends != [])) | "\($c) \(.)"' "$WORK/events")"
    same 'chains' true "$(jq -s 'map(select(.type == "changed")) | group_by(.container) |
        all(.[]; . as $e | all(range(1; length); $e[.].from == $e[. - 1].to))' "$WORK/events")"
    same 'results said twice' '' "$(jq -r 'select(.type == "result") | .request' "$WORK/events" | sort | uniq -d)"
    same 'states' "$(jq -r '.[] | "\(.id) \(.state)"' "$WORK/ls" | sort)" "$(jq -rs '
        (map(select(.type == "destroyed") | .container)) as $gone |
        map(select(.type == "changed" or .type == "created")) | group_by(.container)[] | last |
        select([.container] - $gone != []) | "\(.container) \(.to // "stopped")"' "$WORK/events" | sort)"
}
