#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: the words, codes and shapes that scripts rely on. Each clause of the contract is held
# against a real node with real guests, towards its agent and towards its controller: states, receipts,
# busy and superseded, request ids across restarts, timeouts, exec, wait, events, formats, errors, daemons.
# shellcheck disable=SC1010 # done is a receipt here
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"
export -n DROVER_SOCKET NO_COLOR

# told CODE RECEIPT STATUS COMMAND…: exit code, the first row's receipt, the error's status (- none).
told() {
    local wanted=$1 receipt=$2 status=$3 code=0
    shift 3
    d "$@" -f json >"$WORK/out" 2>"$WORK/err" || code=$?
    ((code == wanted)) || fail "exit $code, not $wanted: $* ($(cat "$WORK/out" "$WORK/err"))"
    same "receipt of $*" "$receipt" "$(jq -rs '.[0] // [] | if length == 0 then "-" else .[0].receipt end' "$WORK/out")"
    same "status of $*" "$status" "$(jq -rs 'if length == 0 then "-" else .[-1].error.status end' "$WORK/err")"
    jq -es 'all(.[]; .error | keys == ["container","errno","hint","node","status","text"])' \
        "$WORK/err" >/dev/null || fail "an error of another shape: $(cat "$WORK/err")"
}
until_event() { d wait "$1" --for "event=$2" --since "$3" --timeout 20s >"$WORK/seen"; }
now() { date -u +%FT%T.%NZ; }
word() { grep -q "$1" "$WORK/$2" || fail "$2 does not say $1: $(cat "$WORK/$2")"; }
ended_as() { # CODE PID FILE WORD: a command in the background
    local code=0
    wait "$2" || code=$?
    ((code == $1)) || fail "exit $code, not $1 ($(cat "$WORK/$3"))"
    word "$4" "$3"
}

states() {
    local at
    told 0 done - create one --template guest --label tier=web
    told 4 failed exists create one --template guest
    for verb in stop kill; do told 0 unchanged - $verb one; done
    for verb in freeze thaw reboot; do told 4 failed wrong_state $verb one; done
    told 0 done - start one
    told 0 unchanged - start one
    told 0 unchanged - thaw one
    told 4 failed wrong_state destroy one
    told 0 done - freeze one
    told 0 unchanged - freeze one
    want 125 d exec one -- /bin/true 2>/dev/null
    told 0 done - start one
    expect 'start of frozen thaws' '.[0].state == "running" and .[0].generation == 1' <"$WORK/out"
    told 0 done - freeze one
    told 0 done - kill one
    told 0 done - start one
    told 0 done - reboot one
    expect 'reboot returns at ready' '.[0].state == "running" and .[0].generation == 3' <"$WORK/out"

    # A start that does not become ready: busy names it; stop and kill go over it.
    told 0 done - create slow --template guest --ready notify
    for over in stop kill; do
        at=$(now)
        d start slow >"$WORK/over" 2>&1 &
        until_event slow changed "$at"
        for verb in start reboot freeze destroy; do told 8 failed busy $verb slow; done
        jq -e '.error.text | test("busy with start [(]request ")' "$WORK/err" >/dev/null ||
            fail "busy does not name the running one: $(cat "$WORK/err")"
        if [[ $over == stop ]]; then told 0 done - stop slow --timeout 0s; else told 0 done - kill slow; fi
        ended_as 4 $! over 'superseded: .* took its place'
    done
    # A stop that is not heard: kill goes over it, nothing else does; a reboot gives way to stop.
    told 0 done - create deaf --template guest --init /sbin/deaf
    told 0 done - start deaf
    at=$(now)
    d stop deaf -f json >"$WORK/over" 2>/dev/null &
    until_event deaf changed "$at"
    for verb in start stop reboot freeze; do told 8 failed busy $verb deaf; done
    told 0 done - kill deaf
    ended_as 4 $! over '"receipt":"superseded"'
    told 0 done - start deaf
    at=$(now)
    d reboot deaf -f json >"$WORK/over" 2>/dev/null &
    until_event deaf changed "$at"
    told 8 failed busy start deaf
    told 0 done - stop deaf --timeout 100ms
    ended_as 4 $! over '"receipt":"superseded"'
    d ls deaf -f json | expect 'a stop that killed' \
        '.[0] | .state == "stopped" and .cause == "operator_kill" and .status == {"signalled":9,"core":false}'
    # Waiting to be started again.
    told 0 done - create dies --template guest --init /sbin/die --restart always
    at=$(now)
    told 0 done - start dies
    d wait dies --for generation=2 --timeout 20s >/dev/null
    told 0 done - kill dies
    told 0 done - destroy dies
    expect 'what was destroyed is in no state' '.[0].state == null and .[0].pid == null' <"$WORK/out"
    told 0 accepted - create dies --template guest --detach
    d wait dies --for stopped --timeout 5s >/dev/null
    told 0 done - destroy --force dies
    told 3 failed not_found start dies
}

timeouts() {
    told 5 accepted timeout start slow --timeout 100ms
    expect 'the node is named' '.error.node != null and .error.container == "slow"' <"$WORK/err"
    told 8 failed busy start slow
    want 5 d wait slow --for running --timeout 100ms 2>/dev/null
    told 0 done - kill slow
    told 0 done - start slow --wait exec
    expect 'wait exec' '.[0].state == "booting" and .[0].pid > 0' <"$WORK/out"
    told 0 done - kill slow
    told 0 accepted - start deaf --detach
    want 0 d wait deaf --for running --timeout 10s >/dev/null
    told 0 accepted - stop deaf --timeout 50ms --detach
    want 0 d wait deaf --for stopped --timeout 10s >/dev/null
    want 6 d start slow deaf --timeout 100ms >"$WORK/out" 2>"$WORK/err"
    word 'slow: not done in the time given' err
    told 0 done - kill slow deaf
    for bad in 10 1.5s 1d s -1s; do told 2 - invalid ls --timeout $bad; done
}

execs() {
    local code=0
    head -c 300000 /dev/urandom >"$WORK/octets"
    d exec one -- /bin/sh -c 'cat; cat /proc/self/cmdline >&2' <"$WORK/octets" >"$WORK/out" 2>"$WORK/err"
    cmp "$WORK/octets" "$WORK/out" || fail 'exec is not binary-safe'
    same 'stderr apart' 'cat/proc/self/cmdline' "$(tr -d '\0' <"$WORK/err")"
    want 7 d exec one -- /bin/sh -c 'exit 7' </dev/null
    want 139 d exec one -- /bin/sh -c 'kill -SEGV $$' </dev/null
    want 126 d exec one -- /etc/passwd 2>/dev/null
    want 127 d exec one -- /nowhere 2>/dev/null
    for bad in '--cwd /nowhere' '--user nobody9' '--timeout 5'; do
        # shellcheck disable=SC2086 # an option and its value
        want 125 d exec $bad one -- /bin/true 2>/dev/null
    done
    want 125 d exec nobody -- /bin/true 2>/dev/null
    want 125 d exec one /bin/true 2>/dev/null
    want 124 d exec --timeout 200ms one -- /bin/sh -c 'sleep 987 & sleep 987' 2>/dev/null
    same 'what exec left of its tree' '' "$(d exec one -- ps </dev/null | grep 'sleep 987' || true)"
    same 'user, directory, variables' 'guest /tmp Y' \
        "$(d exec --user guest --cwd /tmp --env X=Y one -- /bin/sh -c 'echo $(id -un) $(pwd) $X')"
    same 'a terminal' /dev/pts/0 "$(d exec -t one -- tty </dev/null | tr -d '\r')"
    mkfifo "$WORK/fifo"
    d exec one -- /bin/sh -c 'echo begun; exec sleep 987' </dev/null >"$WORK/fifo" 2>"$WORK/under" &
    head -n 1 "$WORK/fifo" >/dev/null
    told 0 done - kill one
    ended_as 137 $! under operator_kill
    rm "$WORK/fifo"
    told 0 done - start one
    (printf 'echo C$((40 + 2))\r'; grep -m 1 C42 < <(d logs --follow one) >/dev/null; printf '\r~.') |
        d console one >"$WORK/console" 2>/dev/null || code=$?
    ((code == 0)) || fail "console ends with $code"
    d logs one | grep C42 >/dev/null || fail 'logs lack what the console showed'
    code=0
    echo 'exit 5' | d shell one >/dev/null || code=$?
    ((code == 5)) || fail "shell ends with $code"
}

waits() {
    local at generation
    at=$(now)
    generation=$(d ls one -f json | jq '.[0].generation')
    d wait one --for stopped --timeout 3s >"$WORK/never" 2>&1 &
    d exec one -- /sbin/reboot >/dev/null 2>&1 </dev/null || true
    want 0 d wait one --for "generation=$((generation + 1))" --timeout 20s >/dev/null
    d wait one --for event=guest_reboot --since "$at" --timeout 5s -f jsonl >"$WORK/event"
    expect 'the end of a generation' '.type == "changed" and .cause == "guest_reboot"
        and .status == {"signalled":1,"core":false} and .request == null' <"$WORK/event"
    ended_as 5 $! never 'stopped not met'
    for bad in zzz generation=0 event=zzz; do want 2 d wait one --for $bad 2>/dev/null; done
    want 3 d wait nobody --for running 2>/dev/null
    want 6 d wait nobody one --for running >/dev/null 2>&1
    want 5 d wait one --for event=guest_halt --timeout 50ms 2>/dev/null
    # All that is after a place, in order, in one epoch; what is followed begins there.
    d events --since "$at" -f jsonl | jq -se 'length > 4 and (map(.seq) | . == sort)' >/dev/null ||
        fail 'events --since TIME'
    place=$(jq -r 'if has("cursor") then .cursor else .seq end' "$WORK/event")
    d events --since "$place" -f jsonl | jq -se --slurpfile e "$WORK/event" '.[0].seq == $e[0].seq + 1' >/dev/null ||
        fail "events --since $place does not begin behind it"
    head -n 1 < <(d events --follow --since "$place" -f jsonl) | jq -e --slurpfile e "$WORK/event" \
        '.seq == $e[0].seq + 1' >/dev/null || fail "events --follow --since $place"
    d events --since 2100-01-01T00:00:00Z -f json | expect 'nothing yet' '. == []'
    want 5 d events --follow --timeout 50ms 2>/dev/null
    for bad in -1 2026-13-01T00:00:00Z x; do want 2 d events --since "$bad" 2>/dev/null; done
    # One end a generation, that alone has a cause; a status only with a cause.
    d history one -f jsonl | jq -se 'group_by(.generation) | all(.[]; map(select(.cause != null)) |
        length <= 1 and all(.[]; .type == "changed")) ' >/dev/null || fail 'causes of history'
    d history one -f jsonl | jq -se 'all(.[]; .status == null or .cause != null)' >/dev/null ||
        fail 'a status without a cause'
    d events -f jsonl | jq -se 'all(.[]; (.time | test("^[0-9-]{10}T[0-9:]{8}[.][0-9]{9}Z$"))
        and (.seq | type | . == "number" or . == "null") and (.epoch | type | . == "string" or . == "null"))' \
        >/dev/null || fail 'types of an event'
}

shapes() {
    local rows
    d ls -f json | expect 'ls' 'all(.[]; (.id | test("^[0-9a-f-]{36}$")) and (.generation | type == "number")
        and (.ready | type == "boolean") and .ip == [] and (.labels | type == "object")
        and (if .state == "running" then .cause == null and .pid > 0 else .pid == null end))'
    d ls tier=web -f json | expect 'a label' 'map(.name) == ["one"]'
    d ls nobody -f json | expect 'nothing' '. == []'
    same 'nothing, by line' '' "$(d ls nobody -f jsonl)"
    rows=$(d ls -f json | jq length)
    same 'jsonl' "$rows" "$(d ls -f jsonl | wc -l)"
    same 'csv' 'state,name' "$(d ls -f csv -o state,name | head -n 1)"
    same 'csv without headings' "$rows" "$(d ls -f csv --no-header | wc -l)"
    same 'a table without headings' "$rows" "$(d ls --no-header | wc -l)"
    d ls -f json -s name | expect 'sorted' 'map(.name) | . == sort'
    d ls -f json -o pid,name | expect 'chosen' 'all(.[]; keys == ["name","pid"])'
    d ls -f yaml -o name | grep -qx -- '- name: "one"' || fail 'yaml'
    for verb in ls 'show one' 'history one' 'boot one' events 'node ls' 'help statuses'; do
        for format in table json jsonl yaml csv; do
            # shellcheck disable=SC2086 # words
            d $verb -f $format --no-header >"$WORK/out"
            [[ -s $WORK/out ]] || fail "$verb -f $format is empty"
        done
        # shellcheck disable=SC2086 # words
        told 2 - invalid $verb -o nosuch
        # shellcheck disable=SC2086 # words
        told 2 - invalid $verb -s nosuch
    done
    d version -f json | expect 'version' '(.version | type == "string") and .schema == 1'
    d node ls -f json | expect 'nodes' '.[0] | keys == ["agent_version","containers","cordoned","labels",
        "node","running","seen","session","state"] and .state == "up" and .cordoned == false'
    d help statuses -f jsonl | jq -se 'any(.[]; .status == "superseded" and .exit_code == 4)' >/dev/null ||
        fail 'help statuses'
    told 2 - invalid ls --frob
    told 2 - invalid frob
    told 2 - invalid start
    told 2 - invalid ls --no-header=x
    want 2 d ls -f xml 2>"$WORK/err"
    word 'table|json' err
    ! script -qec "NO_COLOR=1 $BUILD/drover $TO ls" /dev/null </dev/null | grep -q $'\033' || fail 'NO_COLOR'
}

selectors() {
    told 0 done - create two --template guest --label tier=web
    told 0 done - start 'tw?'
    told 0 done - freeze tier=web
    told 0 done - thaw tier=web
    want 6 d freeze "@$NODE" >/dev/null 2>&1 # others are stopped
    told 3 - not_found start 'no*'
    told 3 - not_found start "@nonode"
    told 0 done - kill "two@$NODE"
    told 3 failed not_found kill "two@nonode"
    want 6 d kill two nobody >/dev/null 2>&1
    want 3 d kill nobody nothing >/dev/null 2>&1
    told 0 done - start "$(d ls two -f json | jq -r '.[0].id')"
    want 0 d kill --all >/dev/null 2>&1
    want 0 d destroy --all >/dev/null 2>&1
    d ls -f json | expect 'all are gone' '. == []'
}

names_and_limits() {
    local name
    for name in A a_b a- -a a.b '' "$(printf 'a%.0s' {1..64})"; do
        want 2 d create --template guest -- "$name" 2>/dev/null
    done
    told 0 done - create "$(printf 'a%.0s' {1..63})" --template guest
    told 0 done - create 0-9 --template guest --memory 1T --swap max --pids max
    told 0 done - create bounded --template guest
    d show bounded -f json | expect 'limits by default' '.[0].config.limits | .memory == null
        and .pids == 16384 and .cpus == null'
    d show 0-9 -f json | expect 'limits' '.[0].config.limits | .memory == 1099511627776
        and .swap == null and .pids == null'
    for bad in 64k 64KB 1.5G -1 abc; do
        told 2 - invalid create v --template guest --memory $bad
    done
    told 2 failed invalid create v --template guest --memory 0 # the node's own word
    for bad in '--cpus 0' '--cpu-weight 0' '--pids 1K' '--ready x' '--restart x' \
        '--env A' '--label =x' '--bind /tmp' '--tmpfs x'; do
        # shellcheck disable=SC2086 # an option and its value
        told 2 - invalid create v --template guest $bad
    done
    d show 0-9 -f json | expect 'defaults' '.[0].config | .restart == "never" and .ready == "auto"
        and .allow_reboot and .on_node_lost == "report" and (.privileged | not)'
}

imports() {
    local kind
    tar -C "$WORK/roots/busybox" -cf "$WORK/t.tar" .
    gzip -kf "$WORK/t.tar"
    for kind in "$WORK/t.tar" "$WORK/t.tar.gz"; do
        d template import "x-$side-${kind##*.}" "$kind" -f json | expect 'import' '.[0].size > 1000000'
    done
    d template import "x-$side-in" - <"$WORK/t.tar.gz" >/dev/null
    told 0 done - create imported --template "x-$side-in" --start
    told 0 done - destroy --force imported
    want 4 d template import guest "$WORK/t.tar" 2>/dev/null
    want 2 d template import "x-$side-no" /etc/passwd 2>/dev/null
    want 1 d template import "x-$side-no" "$WORK/none" 2>/dev/null
}

controller_start
node_start
TO="--controller $CONTROLLER_SOCK"
want 0 d wait --for event=node_up --since 2000-01-01T00:00:00Z --timeout 20s >/dev/null
guest_run busybox "$WORK/roots/busybox"
# shellcheck disable=SC2016 # the guest's
printf '%s\n' '#!/bin/sh' "trap '' TERM HUP INT USR1 USR2 QUIT PWR" 'while :; do sleep 1000; done' \
    >"$WORK/roots/busybox/sbin/deaf"
printf '#!/bin/sh\nexit 3\n' >"$WORK/roots/busybox/sbin/die"
chmod 755 "$WORK/roots/busybox/sbin/"{deaf,die}
d template import guest "$WORK/roots/busybox" >/dev/null

for side in agent controller; do
    TO="--$side $WORK/run/$side.sock"
    for part in states timeouts execs waits shapes selectors names_and_limits imports; do
        began=$SECONDS
        $part
        echo "$side: $part, $((SECONDS - began)) s"
    done
    want 0 d destroy --all >/dev/null 2>&1
done
echo ok
