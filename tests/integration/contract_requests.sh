#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a command that is sent again is not done again. The same request ids are used while their
# command is in progress, after its end, and after the agent and the controller were killed and started
# again, towards both; and daemons say of themselves what the contract says.
# shellcheck disable=SC1010 # done is a receipt here
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

# told CODE RECEIPT COMMAND…
told() {
    local wanted=$1 receipt=$2 code=0
    shift 2
    d "$@" -f json >"$WORK/out" 2>"$WORK/err" || code=$?
    ((code == wanted)) || fail "exit $code, not $wanted: $* ($(cat "$WORK/out" "$WORK/err"))"
    same "receipt of $*" "$receipt" "$(jq -rs '.[0][0].receipt' "$WORK/out")"
}
up() { TO="--controller $CONTROLLER_SOCK" want 0 d wait --for event=node_up --since "$1" --timeout 20s >/dev/null; }
now() { date -u +%FT%T.%NZ; }

began=$(now)
controller_start
node_start
up "$began"
template busybox >/dev/null
want 0 d create slow --template busybox --ready notify >/dev/null
want 0 d create one --template busybox >/dev/null

first() {
    local at
    at=$(now)
    d start slow --request-id "p-$side" -f json >"$WORK/pending" 2>/dev/null &
    want 0 d wait slow --for event=changed --since "$at" --timeout 20s >/dev/null
    told 5 accepted start slow --request-id "p-$side" --timeout 200ms
    told 4 failed kill slow --request-id "p-$side"
    jq -e '.error.status == "request_id_reused"' "$WORK/err" >/dev/null || fail "$(cat "$WORK/err")"
    told 0 done stop slow --timeout 0s --request-id "s-$side"
    wait $! && fail 'a displaced start ends with 0'
    jq -e '.[0].receipt == "superseded"' "$WORK/pending" >/dev/null || fail "$(cat "$WORK/pending")"
    told 0 done create "made-$side" --template busybox --request-id "c-$side"
    told 0 unchanged stop "made-$side" --request-id "u-$side"
    told 4 failed thaw one --request-id "t-$side"
}
again() {
    told 4 superseded start slow --request-id "p-$side"
    told 0 done stop slow --timeout 0s --request-id "s-$side"
    told 0 done create "made-$side" --template busybox --request-id "c-$side"
    told 4 failed create "made-$side" --template busybox
    told 0 unchanged stop "made-$side" --request-id "u-$side"
    told 4 failed start "made-$side" --request-id "u-$side"
    same 'nothing was done again' "$generation" "$(d ls slow -f json | jq '.[0].generation')"
}
both() {
    for side in agent controller; do
        TO="--$side $WORK/run/$side.sock"
        "$1"
    done
    TO="--controller $CONTROLLER_SOCK"
}
both first
generation=$(d ls slow -f json | jq '.[0].generation')
both again

# The agent dies under a start: its client hears unknown; asked again, it hears the end.
TO="--agent $AGENT_SOCK"
at=$(now)
d start slow --request-id lost -f json >"$WORK/pending" 2>/dev/null &
want 0 d wait slow --for event=changed --since "$at" --timeout 20s >/dev/null
pending=$!
node_kill KILL
code=0
wait "$pending" || code=$?
same 'exit of a start whose agent died' 10 "$code"
same 'receipt of it' unknown "$(jq -r '.[0].receipt' "$WORK/pending")"
told 10 not_sent start slow
node_start
d start slow --request-id lost -f json >"$WORK/pending" 2>/dev/null &
pending=$!
told 0 done stop slow --timeout 0s
code=0
wait "$pending" || code=$?
same 'exit of it' 4 "$code"
generation=$(d ls slow -f json | jq '.[0].generation')
both again

# The controller is killed: nobody answers; a new one knows nobody, then the node again.
kill -KILL "$CONTROLLER_PID"
ended "$CONTROLLER_PID"
told 10 not_sent start one
want 10 d ls 2>"$WORK/words"
grep -q 'is drover-controller running' "$WORK/words" || fail "the wrong daemon is missed: $(cat "$WORK/words")"
at=$(now)
CONTROLLER_PID=$("$BUILD/test.support.daemon_start" "$WORK/controller.log" "$BUILD/drover-controller" \
    --state-dir "$WORK/controller" --run-dir "$WORK/run" --listen "$CONTROLLER_URL")
up "$at"
both again
told 0 done start one

# What daemons say of themselves.
for program in agent keeper controller; do
    same "$program --version" "drover-$program $("$BUILD/drover" version -f json | jq -r .version)" \
        "$("$BUILD/drover-$program" --version)"
    "$BUILD/drover-$program" --help | grep -q '^usage: drover-' || fail "$program --help"
    want 2 "$BUILD/drover-$program" --nosuch 2>/dev/null
done
same 'name of the agent' drover-agent "$(cat "/proc/$AGENT_PID/comm")"
printf 'nosuch = x\n' >"$WORK/bad.ini"
want 2 "$BUILD/drover-agent" --config "$WORK/bad.ini" 2>"$WORK/err"
want 2 "$BUILD/drover-controller" --config "$WORK/bad.ini" 2>>"$WORK/err"
same 'an unknown key' 2 "$(grep -c 'unknown key nosuch' "$WORK/err")"
want 2 "$BUILD/drover-agent" --config "$WORK/none.ini" 2>/dev/null
want 2 "$BUILD/drover-agent" --uid-base 0 2>/dev/null # never the default in its place
want 8 "$BUILD/drover-controller" --state-dir "$WORK/controller" --run-dir "$WORK/r2" 2>"$WORK/err"
grep -q "$CONTROLLER_PID" "$WORK/err" || fail "the holder is not named: $(cat "$WORK/err")"

# Which socket: what is given, else $DROVER_SOCKET; a path has 100 octets.
same 'DROVER_SOCKET' one "$(DROVER_SOCKET=$AGENT_SOCK "$BUILD/drover" ls one --no-header -o name)"
want 10 env DROVER_SOCKET="$AGENT_SOCK" "$BUILD/drover" --agent "$WORK/none.sock" ls 2>/dev/null
want 2 "$BUILD/drover" --agent "$WORK/none.sock" --controller "$WORK/none.sock" ls 2>/dev/null
want 2 "$BUILD/drover" --agent "/$(printf 's%.0s' {1..100})" ls 2>/dev/null
want 10 "$BUILD/drover" --agent "/$(printf 's%.0s' {1..99})" ls 2>/dev/null
want 10 "$BUILD/drover" --agent "$WORK/none.sock" start one two 2>"$WORK/err"
grep -q 'two: not_sent' "$WORK/err" || fail "no receipts: $(cat "$WORK/err")"
# completed EXPECTED WORD…: what the last of them is completed to, as bash parts words.
completed() {
    # shellcheck disable=SC2016 # the inner shell's
    same "completion of ${*:2}" "$1" "$(DROVER_SOCKET=$AGENT_SOCK PATH=$BUILD:$PATH bash -c '
        source <(drover completion bash)
        COMP_WORDS=(drover "$@") COMP_CWORD=$#
        _drover && echo "${COMPREPLY[*]}"' bash "${@:2}")"
}
completed 'start stop' st
completed 'ls shutdown' node ''
TO="--agent $AGENT_SOCK" # what the next names are of
completed "$(d ls -o name --no-header | paste -sd' ')" set ''
completed 'memory=' set one me
completed 'env= env-=' set one memory = 64M en
completed 'never on-failure always' set one restart =
completed 'memory=' set one --restart me
completed 'on-failure' set one restart = on
completed 'yes no' set one fuse =
completed '' set one memory =
completed '' create --fuse y
# All keys, and the page names each where it tells of `set`.
keys=$(d help set | sed -n '/^Keys:/,$ s/^  \([a-z-]*\)=.*/\1/p')
(($(wc -w <<<"$keys") > 20)) || fail "what are the keys? $keys"
sed -n '/^\.BR set /,/^\.PP/p' "$TESTS/../deploy/man/drover.1" | sed 's/\\-/-/g' >"$WORK/page"
for key in $keys; do
    completed "$key=" set one "$key="
    grep -qE "(^|[ (,.])$key([ ),.]|\$)" "$WORK/page" || fail "drover.1 does not name the key $key"
done
TO="--agent $AGENT_SOCK"
want 0 d kill --all >/dev/null 2>&1
want 0 d destroy --all >/dev/null 2>&1
echo ok
