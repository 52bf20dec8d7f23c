#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what a guest does to itself is noticed, told exactly, and acted on; an operator's word beats it.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

statement_38() {
    root busybox
    created busybox
    want 0 d start busybox
    id=$(field busybox .id) pid=$(field busybox .pid)
    d exec busybox -- /sbin/reboot || true
    want 0 d wait busybox --for generation=2 --timeout 20s
    same 'the same container' "$id" "$(field busybox .id)"
    [[ $(field busybox .pid) != "$pid" ]] || fail 'the same init'
    same 'no rest in between' 0 "$(count_events busybox '.to == "stopped"')"
    same 'its cause' '1 guest_reboot {"signalled":1,"core":false}' "$(ends busybox)"
}

statement_39() {
    local word
    root busybox
    created busybox
    for word in halt poweroff; do
        want 0 d start busybox
        d exec busybox -- "/sbin/$word" || true
        want 0 d wait busybox --for stopped --timeout 20s
        same "$word" guest_halt "$(field busybox .cause)"
    done
    root_init seven <<<'sleep 0.2; exit 7'
    created seven
    want 0 d start seven
    want 0 d wait seven --for stopped --timeout 20s
    same 'exit' '1 exited {"exited":7}' "$(ends seven)"
    root_init hog <<<'a=x; while :; do a=$a$a$a$a; done'
    created hog --memory 16M --swap 0
    want 0 d start hog
    want 0 d wait hog --for stopped --timeout 60s
    same 'memory' '1 oom {"signalled":9,"core":false}' "$(ends hog)"
    want 0 d start busybox
    kill -KILL "$(field busybox .pid)"
    want 0 d wait busybox --for stopped --timeout 20s
    same 'killed from outside' signalled "$(field busybox .cause)"
}

statement_40() {
    root busybox
    created busybox --allow-reboot no
    want 0 d start busybox
    d exec busybox -- /sbin/reboot || true
    want 0 d wait busybox --for stopped --timeout 20s
    same 'denied' 'stopped 1 reboot_denied' "$(row busybox)"
}

statement_41() {
    local began
    root_init storm <<<'sleep 0.1; exec /bin/busybox reboot -f'
    created storm
    want 0 d start storm
    want 0 d wait storm --for generation=4 --timeout 30s
    began=$(now_ms)
    want 0 d ls storm >/dev/null
    within "$began" 1000 'an answer'
    until [[ $(count_events storm '.to == "backoff"') -gt 0 ]]; do :; done # or the test's own time is over
    want 0 d stop storm --timeout 10s
    same 'each is counted' "$(field storm .generation)" "$(count_events storm '.cause != null')"
}

statement_42() {
    root busybox
    created busybox
    want 0 d start busybox
    d exec busybox -- /bin/sleep 1000 &
    d exec busybox -- /sbin/reboot || true
    want 0 d wait busybox --for generation=2 --timeout 20s
    wait $! && fail 'a command outlived its guest'
    want 0 d exec busybox -- /bin/true
}

# The guest takes its own init away, and reboots.
statement_43() {
    root busybox
    created busybox
    want 0 d start busybox
    d exec busybox -- /bin/sh -c 'rm /sbin/init; busybox reboot' || true
    want 0 d wait busybox --for stopped --timeout 20s
    same 'told' '2 start_failed null' "$(ends busybox | tail -n 1)"
    d history busybox -f json -o cause,detail | expect 'with its reason' \
        'map(select(.cause == "start_failed"))[0].detail | test("no init")'
    want 0 d create again --template busybox --start
    want 0 d exec again -- /bin/rm /sbin/init
    d reboot again -f json 2>"$WORK/error" && fail 'a reboot without an init'
    expect 'the command says why' '.error.status == "bad_template"' <"$WORK/error"
}

statement_44() {
    local i
    root busybox
    created busybox
    for i in $(seq 5); do
        want 0 d start busybox
        d exec busybox -- /sbin/reboot >/dev/null 2>&1 || true
        want 0 d stop busybox --timeout 20s
        same 'the command wins' stopped "$(field busybox .state)"
    done
}

statement_45() {
    root busybox
    created busybox
    want 0 d start busybox
    want 0 d reboot busybox
    want 0 d stop busybox
    d events -f jsonl >"$WORK/events"
    jq -es 'map(.seq) as $seq | ($seq == ($seq | sort | unique)) and
        (map(select(.name == "busybox" and .type == "changed")) |
            all(range(1; length) as $i | .[$i].from == .[$i - 1].to; .))' "$WORK/events" >/dev/null ||
        fail "a change is missing, twice, or out of order: $(cat "$WORK/events")"
}

pids() { d ls 'n-*' -f json | jq -r '.[] | "\(.name) \(.pid)"' | grep -v '^n-[12] ' | sort; }

statement_47() {
    local i count=20
    root busybox
    want 0 d template import busybox "$WORK/roots/busybox"
    for i in $(seq "$count"); do want 0 d create "n-$i" --template busybox >/dev/null; done
    want 0 d start 'n-*'
    pids >"$WORK/before"
    one=$(field n-1 .pid) two=$(field n-2 .pid)
    node_kill KILL
    kill -TERM "$one" # busybox reboots
    kill -USR2 "$two" # … and halts
    "$BUILD/test.support.await_end" "$one"
    "$BUILD/test.support.await_end" "$two"
    node_start
    want 0 d wait n-1 --for generation=2 --timeout 30s
    want 0 d wait n-2 --for stopped --timeout 30s
    same 'halted meanwhile' guest_halt "$(field n-2 .cause)"
    pids >"$WORK/after"
    same 'the others' "$(cat "$WORK/before")" "$(cat "$WORK/after")"
    d kill 'n-*' >/dev/null
}

run_statement "$2"
