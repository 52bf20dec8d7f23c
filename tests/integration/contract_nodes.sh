#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: with two nodes at one controller no command goes to the wrong one. Two real agents have
# containers of the same name: a bare name is refused with its candidates, NAME@NODE, @NODE and ids
# reach the right one, what is for all reaches all; a node that is down is said to be.
# shellcheck disable=SC1010 # done is a receipt here
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

OTHER=$NODE-b OTHER_PID=''
other_start() {
    OTHER_PID=$("$BUILD/test.support.daemon_start" "$WORK/other.log" "$BUILD/drover-agent" \
        --state-dir "$WORK/other" --run-dir "$WORK/other-run" --node "$OTHER" \
        --uid-base 0x60000000 --uid-count 0x1000000 --controller "$CONTROLLER_URL")
}
both_cleanup() {
    local code=$?
    set +e
    trap - EXIT
    [[ -z $OTHER_PID ]] || { kill -KILL "$OTHER_PID"; ended "$OTHER_PID"; }
    NODE=$OTHER node_sweep
    [[ ! -e $V2/drover.$OTHER ]] || code=1
    (exit "$code")
    cleanup
}
trap both_cleanup EXIT

# told CODE FILTER COMMAND…: exit code; rows and then errors, in one list, make the jq filter true.
told() {
    local wanted=$1 filter=$2 code=0
    shift 2
    d "$@" -f json >"$WORK/out" 2>"$WORK/err" || code=$?
    ((code == wanted)) || fail "exit $code, not $wanted: $* ($(cat "$WORK/out" "$WORK/err"))"
    jq -s 'add // []' "$WORK/out" | jq --slurpfile e "$WORK/err" '. + ($e | map(.error))' |
        expect "$*" "$filter"
}

controller_start
node_start
mkdir -m 755 "$WORK/other-run"
other_start
TO="--controller $CONTROLLER_SOCK"
head -n 2 < <(d events --follow --since 2000-01-01T00:00:00Z -f jsonl |
    jq --unbuffered -c 'select(.type == "node_up")') | jq -se 'length == 2' >/dev/null || fail 'two nodes'
guest_run busybox "$WORK/roots/busybox"
d template import bb "$WORK/roots/busybox" >/dev/null
for node in "$NODE" "$OTHER"; do
    want 0 d create same --template bb --node "$node" --label "on=$node" >/dev/null
    want 4 d template import bb "$WORK/roots/busybox" --node "$node" 2>/dev/null
done
want 0 d create alone --template bb --node "$OTHER" >/dev/null
want 4 d create alone --template bb 2>/dev/null # wherever it would be placed

candidates=".[-1] | .status == \"invalid\" and .container == \"same\"
    and (.text | contains(\"same@$NODE\") and contains(\"same@$OTHER\"))"
for verb in show history boot logs start stop kill reboot freeze thaw destroy 'wait --for running'; do
    # shellcheck disable=SC2086 # words
    told 2 "$candidates" $verb same
done
want 125 d exec same -- /bin/true 2>/dev/null
want 2 d console same </dev/null 2>/dev/null
d ls same -f json | expect 'ls shows both' 'map(.node) | length == 2 and .[0] != .[1]'

told 0 ".[0].node == \"$OTHER\" and .[0].receipt == \"done\"" start "same@$OTHER"
told 0 ".[0].node == \"$OTHER\" and .[0].receipt == \"unchanged\"" start same --node "$OTHER"
d ls same@"$NODE" -f json | expect 'the other was not meant' '.[0].state == "stopped"'
id=$(d ls same@"$NODE" -f json | jq -r '.[0].id')
told 0 ".[0].node == \"$NODE\" and .[0].id == \"$id\"" start "$id"
want 0 d wait "same@$NODE" "same@$OTHER" --for running --timeout 10s >/dev/null
told 0 "length == 2 and all(.[]; .node == \"$OTHER\")" start "@$OTHER"
told 0 "length == 1 and .[0].node == \"$NODE\"" freeze "on=$NODE"
told 0 "length == 1 and .[0].node == \"$NODE\"" thaw "same@$NODE"
told 0 'length == 2 and (map(.node) | unique | length == 2)' kill 'sam?'
told 2 '.[-1].text | contains("different nodes")' start "same@$NODE" --node "$OTHER"
told 3 '.[-1].status == "not_found"' start same@nonode
told 3 '.[-1].status == "not_found"' events --node nonode
told 3 '.[-1].status == "not_found"' create more --template bb --node nonode
d events --node "$OTHER" -f json | expect 'events of a node' "length > 0 and all(.[]; .node == \"$OTHER\")"
d events -f json | expect 'a node is told of by the controller' '[.[] | select(.type == "node_up")]
    | length == 2 and all(.[]; .seq == null and .epoch == null and .container == null and .generation == null)'
for node in "$NODE" "$OTHER"; do
    d events -f json | expect "seq of $node" \
        "[.[] | select(.node == \"$node\" and .seq != null) | .seq] | . == (sort | unique)"
done
d events -f json | expect 'cursors' 'map(.cursor) | . == unique and all(.[]; type == "string")'

# Towards an agent: another node is not its own.
TO="--agent $AGENT_SOCK" told 3 '.[-1].text | contains("this is node")' start "same@$OTHER"

# A node is gone: what is for it is not sent, the other goes on, what is known is shown.
at=$(date -u +%FT%T.%NZ)
want 0 d start "same@$NODE" >/dev/null
kill -KILL "$OTHER_PID"
ended "$OTHER_PID"
OTHER_PID=''
want 0 d wait --node "$OTHER" --for event=node_down --since "$at" --timeout 40s >/dev/null
for verb in start stop kill reboot freeze thaw destroy; do
    told 10 '.[0].receipt == "not_sent" and .[-1].status == "unreachable"' $verb "same@$OTHER"
done
told 10 '.[0].receipt == "not_sent"' create more --template bb --node "$OTHER"
d kill "same@$OTHER" >/dev/null 2>"$WORK/err" && fail 'a node that is down does as it is told'
grep -q 'not.sent' "$WORK/err" || fail "words: $(cat "$WORK/err")"
for verb in 'show' boot logs 'wait --for running'; do
    # shellcheck disable=SC2086 # words
    want 10 d $verb alone 2>/dev/null
done
want 125 d exec alone -- /bin/true 2>/dev/null
want 10 d template import bb2 "$WORK/roots/busybox" 2>/dev/null
told 6 'map(.receipt) | index("not_sent") and index("unchanged")' start 'same*'
d node ls -f json | expect 'nodes' "map({(.node): .state}) | add == {\"$NODE\": \"up\", \"$OTHER\": \"down\"}"
d ls "@$OTHER" -f json | expect 'what is known of it' 'map(.name) == ["alone", "same"]'
at=$(date -u +%FT%T.%NZ)
other_start
want 0 d wait --node "$OTHER" --for event=node_up --since "$at" --timeout 20s >/dev/null
told 0 '.[0].receipt == "unchanged"' start alone # its guests went on
want 0 d kill --all >/dev/null 2>&1
want 0 d destroy --all >/dev/null 2>&1
echo ok
