#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a network that loses records changes when things are told, and nothing else. The quick
# start's scenario runs through a controller over networks that drop one record in n = 2…5, re-sent
# ones and pings included, on the way up, down, or both; then over one that doubles and delays, and over
# one that breaks connections, too.
# What the commands answer, what became of the guests, and what the controller was told is each time as
# over a good one. They run side by side, as each mostly waits.
#   lossy.sh BUILD [--full] [--seed SEED]     --full: all that verbs.sh does, so
#   lossy.sh BUILD --scenario FILE            one; what was seen goes to FILE
set -euo pipefail

FULL='' SCENARIO='' SEED=4
here=$(dirname "$0")
arguments=("${@:2}")
while ((${#arguments[@]})); do
    case ${arguments[0]} in
        --full) FULL=yes ;;
        --seed) SEED=${arguments[1]} && unset 'arguments[1]' ;;
        --scenario) SCENARIO=${arguments[1]} && unset 'arguments[1]' ;;
    esac
    unset 'arguments[0]'
    arguments=("${arguments[@]}")
done
# shellcheck source=harness.sh
. "$here/harness.sh"

# ---- one scenario ----

# ask VERB…: what is answered, and the exit code. "Result unknown" is asked again by the same request
# id, as its words say; that must give the first answer, and do nothing twice.
number=0
ask() {
    local code=10 turn
    number=$((number + 1))
    for ((turn = 0; turn < 60 && code == 10; turn++)); do
        ((turn == 0)) || node_back
        code=0
        d "$@" --request-id "lossy-$$-$number" >"$WORK/out" 2>"$WORK/err" || code=$?
    done
    echo "$* -> $code"
}

# through VERB…: for what changes nothing and may be asked again, when its session broke off (125, 10).
through() {
    local code=125 turn
    for ((turn = 0; turn < 60 && (code == 125 || code == 10); turn++)); do
        ((turn == 0)) || node_back
        code=0
        d "$@" >"$WORK/out" 2>"$WORK/err" || code=$?
    done
    echo "$* -> $code"
    cat "$WORK/out"
}

# All connections break, every few seconds.
cuts() {
    local never
    exec {never}<>"$WORK/never"
    while :; do
        read -rt "$((2 + RANDOM % 5))" -u "$never" || true
        kill -USR1 "$LOSSY_PID" 2>/dev/null || return 0
    done
}

scenario() {
    local last guest
    since=2000-01-01T00:00:00Z
    D_SECONDS=180
    controller_start
    node_start
    if [[ -n ${DROVER_TEST_CUTS:-} ]]; then
        mkfifo "$WORK/never"
        cuts &
    fi
    TO="--controller $CONTROLLER_SOCK"
    want 0 d wait --for event=node_up --since $since --timeout 120s >/dev/null
    guest_run busybox "$WORK/roots/busybox"
    TO="--agent $AGENT_SOCK" want 0 d template import busybox "$WORK/roots/busybox" >/dev/null
    for guest in web db mail; do
        ask create "$guest" --template busybox --memory 64M --pids 64
    done
    for guest in web db mail; do
        ask start "$guest"
    done
    through exec web -- sh -c 'echo out; exit 7'
    itself web reboot guest_reboot $since
    through wait web --for generation=2 --timeout 120s -f json | sed '2,$d'
    itself db halt guest_halt $since
    through wait db --for stopped --timeout 120s -f json | sed '2,$d'
    ask stop mail
    # All that the node has told has arrived.
    last=$(TO="--agent $AGENT_SOCK" d events -f jsonl | tail -n 1 | jq .seq)
    timeout 120 "$BUILD/drover" $TO events --follow --since $since -f jsonl |
        sed "/\"seq\": *${last}[,}]/q" >"$WORK/controller.events" || true
    TO="--agent $AGENT_SOCK" d events -f jsonl | jq -cS 'del(.cursor)' >"$WORK/a"
    jq -cS 'select(.seq != null) | del(.cursor)' "$WORK/controller.events" >"$WORK/c"
    cmp "$WORK/a" "$WORK/c" >&2 || fail "the lists differ: $(wc -l <"$WORK/a") and $(wc -l <"$WORK/c") events"
    jq -sc 'map({name, generation, type, from, to, cause, status}) | group_by(.name)[][]' "$WORK/c"
    d ls -f json | jq -c '.[] | {name, state, generation, cause, status}'
}

if [[ -n $SCENARIO ]]; then
    scenario >"$SCENARIO"
    [[ -z $LOSSY_PID ]] || kill -TERM "$LOSSY_PID"
    [[ -z $LOSSY_PID ]] || ended "$LOSSY_PID"
    LOSSY_PID=''
    [[ ! -e $WORK/lossy.log ]] || cat "$WORK/lossy.log"
    exit 0
fi

# ---- all networks ----

networks=('')
for n in 2 3 4 5; do
    networks+=("--up $n" "--down $n" "--up $n --down $n")
done
networks+=('--double 3 --delay 40')
[[ -n $FULL ]] || networks+=('--up 9 --down 9 cut')

one() {
    local i=$1 log=$WORK/$1.log rc=0 began=$SECONDS
    unset DROVER_TEST_REAPED
    export DROVER_TEST_LOSSY="--seed $((SEED + i)) ${networks[i]% cut}"
    [[ ${networks[i]} != *cut ]] || export DROVER_TEST_CUTS=yes
    if [[ -n $FULL ]]; then
        D_SECONDS=300 bash "$here/verbs.sh" "$BUILD" >"$log" 2>&1 || rc=$?
    else
        bash "$here/lossy.sh" "$BUILD" --scenario "$WORK/$i.seen" >"$log" 2>&1 || rc=$?
    fi
    echo "$rc $((SECONDS - began))" >"$WORK/$i.rc"
}

pids=()
for i in "${!networks[@]}"; do
    one "$i" &
    pids+=("$!")
done
wait "${pids[@]}"
bad=0
for i in "${!networks[@]}"; do
    read -r rc seconds <"$WORK/$i.rc"
    echo "${networks[i]:-a good one}: exit $rc, $seconds s; $(grep -h ' seen ' "$WORK/$i.log" | paste -sd';')"
    if ((rc != 0)); then
        sed 's/^/    /' "$WORK/$i.log"
        bad=1
    elif [[ -z $FULL ]] && ! diff "$WORK/0.seen" "$WORK/$i.seen"; then
        echo "FAILED: not as over a good network (<)"
        bad=1
    fi
done
((bad == 0)) || fail "see above; lossy.sh $1 ${FULL:+--full }--seed $SEED"
echo "ok"
