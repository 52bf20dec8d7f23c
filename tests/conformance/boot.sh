#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a node that comes up with other guests than went down with it, or with all of them at once; and
# one that goes down under guests that were not asked. And what an operator sets is what he gets, or is told
# that it takes a stop. The machine's end is played: all that ran is killed, and its boot id is another.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

machine_off() {
    node_kill KILL
    node_sweep
    echo 11111111-2222-3333-4444-555555555555 >"$WORK/state/boot-id"
}

# moves FROM: "to NAME" of each change since that seq, in order
moves() {
    d events --since "$1" -f jsonl | jq -r 'select(.type == "changed") | "\(.to) \(.name)"'
}
# in_order WORD FROM: names in the order in which they came to a state
in_order() { moves "$2" | sed -n "s/^$1 //p" | paste -sd' '; }
last_seq() { d events -f jsonl | tail -n 1 | jq .seq; }
# most_at_once FROM UP DOWN…: how many were between the state UP and one of DOWN at a time
most_at_once() {
    moves "$1" | awk -v up="$2" -v down=" ${*:3} " '
        $1 == up { on[$2] = 1 }
        index(down, " " $1 " ") { delete on[$2] }
        { n = 0; for (i in on) n++; if (n > most) most = n }
        END { print most + 0 }'
}

statement_08() {
    root busybox
    created busybox --autostart disabled
    want 4 d start busybox -f json
    same 'why' start_disabled "$(d start busybox -f json 2>&1 >/dev/null | jq -r .error.status)"
    same 'untouched' 'stopped 0 null' "$(row busybox)"
    want 0 d start busybox --force
    same 'with force' running "$(field busybox .state)"
}

statement_54() {
    local pid
    root busybox
    created busybox --memory 64M
    want 0 d start busybox
    pid=$(field busybox .pid)
    want 4 d set busybox env=A=1 memory=96M
    same 'nothing changed' '67108864 {}' \
        "$(d show busybox -f json | jq -r '.[0].config | "\(.limits.memory) \(.env | tojson)"')"
    same 'stored' '{"memory":"applied","env":"at_next_start"}' \
        "$(d set busybox env=A=1 memory=96M --next-start -f json | jq -c '.[0].keys | {memory, env}')"
    same 'the same guest' "$pid" "$(field busybox .pid)"
    want 0 d set busybox env=A=2 --restart
    same 'performed' 'running 2 null' "$(row busybox)"
    same 'and in force' 2 "$(d exec busybox -- /bin/sh -c 'tr "\0" "\n" </proc/1/environ' | sed -n 's/^A=//p')"
}

# Five come up: three by their key, two as they ran. One is never ready, and has its own place alone.
statement_56() {
    local from began worst=0 took
    root busybox
    root_init slow <<<'while :; do sleep 1000; done'
    want 0 d template import busybox "$WORK/roots/busybox"
    want 0 d template import slow "$WORK/roots/slow"
    want 0 d create slow --template slow --ready notify --ready-timeout "$(slowly 60)" --autostart yes --order 99
    want 0 d create last --template busybox --autostart yes --order 1
    want 0 d create first --template busybox --autostart yes --order 50
    want 0 d create needy --template busybox --autostart yes --order 60 --depends first
    want 0 d create ran --template busybox --order 20 --start
    want 0 d create lazy --template busybox --order 20
    want 0 d create never --template busybox --order 90 --autostart no --start
    want 0 d create off --template busybox --order 90 --autostart disabled
    from=$(last_seq)
    machine_off
    node_start --boot-parallel 2
    while ! d wait last --for running --timeout 100ms >/dev/null 2>&1; do
        began=$(now_ms)
        d ls >/dev/null || fail 'no answer'
        took=$(($(now_ms) - began))
        worst=$((took > worst ? took : worst))
        within "$(stat -c %Y "$AGENT_SOCK")000" 30000 'the last one'
    done
    same 'in their order' 'first needy ran last' "$(in_order running "$from")"
    same 'the slow one came first' slow "$(moves "$from" | sed -n 's/^preparing //p' | sed -n 1p)"
    same 'at most two at once' 2 "$(most_at_once "$from" preparing running cleaning)"
    same 'the slow one' booting "$(field slow .state)"
    same 'not to be started' 'stopped 1 node_down' "$(row never)"
    same 'that did not run' 'stopped 0 null' "$(row lazy)"
    same 'that is disabled' 'stopped 0 null' "$(row off)"
    ((worst < $(few 100 10000))) || fail "an answer took $worst ms"
}

statement_57() {
    local from began name
    root busybox
    root_init deaf <<<'trap "" USR1 USR2 TERM; while :; do sleep 1000; done'
    want 0 d template import busybox "$WORK/roots/busybox"
    want 0 d template import deaf "$WORK/roots/deaf"
    for name in 1 2 3; do
        want 0 d create "c$name" --template busybox --order "$name" --start
    done
    want 0 d create db --template busybox --order 0 --start
    want 0 d create web --template busybox --order 0 --depends c3 --start
    want 0 d create short --template deaf --order 9 --stop-grace 1s --start
    want 0 d create long --template deaf --order 8 --stop-grace 10m --start
    want 0 d create off --template busybox
    from=$(last_seq)
    began=$(now_ms)
    want 0 d node shutdown --timeout "$(few 20000 60000)ms" --parallel 2
    within "$began" 40000 'the shutdown'
    same 'nobody is left' 0 "$(d ls -f json | jq 'map(select(.state != "stopped")) | length')"
    same 'in reverse' 'web db c1 c2 c3 long short' "$(in_order stopping "$from")"
    same 'at most two at once' 2 "$(most_at_once "$from" stopping stopped)"
    same 'its own grace' 'grace of 1 s is over: killed' "$(escalations short | tail -n 1)"
    same 'the time of all' 'operator_kill operator_kill operator_stop' \
        "$(field long .cause) $(field short .cause) $(field c1 .cause)"
    node_kill KILL
    node_start
    same 'the node did not go down' 0 "$(d ls -f json | jq 'map(select(.state != "stopped")) | length')"
    machine_off
    node_start
    for name in c1 c2 c3 db web short long; do
        want 0 d wait "$name" --for running --timeout 30s
    done
    same 'what did not run' 'stopped 0 null' "$(row off)"
}

run_statement "$2"
