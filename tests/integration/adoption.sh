#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: the agent may die at any moment and costs no container and no exit status. 300 guests, exec
# sessions open in some; the agent is killed, 60 guests end meanwhile in every way there is, the agent
# comes back: once by kill -9, once by SIGTERM, once as a new build with a new keeper.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

COUNT=300
node_start
template trivial
template busybox
seq -f 'a-%g' $COUNT | xargs -P 4 -I{} "$BUILD/drover" $TO create {} --template trivial \
    --memory 32M --pids 16 >/dev/null
want 0 d create bb --template busybox --memory 64M
want 0 d start --all --timeout 120s >/dev/null

pids() { d ls -f json | jq -r '.[] | "\(.name) \(.generation) \(.pid)"' | sort; }

# Words for PID 1, as the guest's own `init WORD` would say them inside (trivial_init.c).
word() { /bin/kill -q "$2" -s "$(($(kill -l RTMIN) + 1))" "$1"; }

# ends FIRST: 60 guests from a-FIRST on end; what is expected of each goes to $WORK/expected.
ends() {
    local i=$1 n pid
    : >"$WORK/expected"
    : >"$WORK/ended"
    for n in $(seq 0 59); do
        pid=$(awk -v name="a-$((i + n))" '$1 == name { print $3 }' "$WORK/pids")
        echo "a-$((i + n)) $2" >>"$WORK/ended"
        if ((n < 20)); then
            word "$pid" $((256 + n * 7 % 256))
            echo "a-$((i + n)) exited {\"exited\":$((n * 7 % 256))}" >>"$WORK/expected"
        elif ((n < 30)); then
            kill -KILL "$pid"
            echo "a-$((i + n)) signalled {\"signalled\":9,\"core\":false}" >>"$WORK/expected"
        elif ((n < 45)); then
            kill -HUP "$pid"
            echo "a-$((i + n)) guest_reboot {\"signalled\":1,\"core\":false}" >>"$WORK/expected"
        else
            kill -TERM "$pid"
            echo "a-$((i + n)) guest_halt {\"signalled\":2,\"core\":false}" >>"$WORK/expected"
        fi
        echo "$pid" >>"$WORK/dying"
    done
}

# The agent is back: what ended is known with status and cause, reboots were carried out, and
# everybody else has the same init as before.
check() {
    local first=$1 since=$2 n
    for n in $(seq $((first + 30)) $((first + 44))); do echo "a-$n"; done |
        xargs "$BUILD/drover" $TO wait --for running --timeout "$(slowly 30)" >/dev/null
    d events --since "$since" -f jsonl |
        jq -r 'select(.type == "changed" and .cause != null and (.name | startswith("a-"))) |
            "\(.name) \(.cause) \(.status | tojson)"' | sort >"$WORK/got"
    same 'ends' "$(sort "$WORK/expected")" "$(cat "$WORK/got")"
    pids >"$WORK/after"
    # Those that did not end: unchanged.
    awk '{ print $1 }' "$WORK/expected" >"$WORK/names"
    same 'the others' "$(grep -vwFf "$WORK/names" "$WORK/pids")" "$(grep -vwFf "$WORK/names" "$WORK/after")"
    for n in $(seq $((first + 30)) $((first + 44))); do
        grep -q "^a-$n [2-9][0-9]* [1-9]" "$WORK/after" || fail "a-$n did not boot again"
    done
}

round() {
    local how=$1 first=$2 seq
    echo "--- $how"
    pids >"$WORK/pids"
    seq=$(d events -f jsonl | tail -n 1 | jq .seq)
    "$BUILD/drover" $TO exec bb -- /bin/sleep 1000 2>/dev/null &
    local session=$! code=0
    want 0 d exec bb -- /bin/true # the session before it has its place in the keeper
    : >"$WORK/dying"
    [[ $how == TERM ]] && node_kill TERM || node_kill KILL
    wait "$session" || code=$?
    same 'an exec session whose agent died' 125 "$code"
    ends "$first" "$how"
    xargs "$BUILD/test.support.await_end" <"$WORK/dying"
    local began
    began=$(date +%s%N)
    node_start
    d ls -f json | expect 'all are there' "length == $((COUNT + 1))"
    echo "answering after $((($(date +%s%N) - began) / 1000000)) ms"
    check "$first" "$seq"
    same 'nothing of the session is left' '' "$(d exec bb -- /bin/ps | grep 'sleep 1000' | grep -v grep || true)"
}

# Another build of the same keeper: its linker gives it another build id.
swap_keeper() {
    cp "$BUILD/drover-agent" "$WORK/bin/drover-agent"
    cp "$BUILD/test.support.drover-keeper-next" "$WORK/bin/drover-keeper"
    KEEPER_BEFORE=$(cat "$V2/drover.$NODE/keeper/cgroup.procs")
}
mkdir "$WORK/bin"

round KILL 1
round TERM 61

# The guest of an open exec session reboots while the agent is dead: its end is seen.
"$BUILD/drover" $TO exec bb -- /bin/sleep 1000 2>/dev/null &
session=$!
want 0 d exec bb -- /bin/true
pid=$(d ls bb -f json | jq '.[0].pid')
node_kill KILL
wait "$session" || true
kill -TERM "$pid" # busybox reboots on it
"$BUILD/test.support.await_end" "$pid"
node_start
want 0 d wait bb --for generation=2 --timeout 30s
same 'reboot of a guest with a session' guest_reboot \
    "$(d history bb -f jsonl | jq -r 'select(.cause != null) | .cause' | tail -n 1)"

# A new build: the keeper re-executes in place, children stay its children.
BUILD_WAS=$BUILD
pids >"$WORK/pids"
swap_keeper
node_kill KILL
AGENT_PID=$("$BUILD/test.support.daemon_start" "$WORK/agent.log" "$WORK/bin/drover-agent" \
    --state-dir "$WORK/state" --run-dir "$WORK/run" --node "$NODE")
grep -q 'the keeper is of this build now' "$WORK/agent.log" || fail "the keeper was not replaced"
same 'the keeper process' "$KEEPER_BEFORE" "$(cat "$V2/drover.$NODE/keeper/cgroup.procs")"
pids >"$WORK/after"
same 'guests over a re-exec' "$(cat "$WORK/pids")" "$(cat "$WORK/after")"
same 'statuses over a re-exec' 'exited {"exited":3}' "$(
    d exec a-200 -- /sbin/init exit 3 >/dev/null 2>&1 || true
    d wait a-200 --for stopped --timeout 20s >/dev/null
    d history a-200 -f jsonl | jq -r 'select(.cause != null) | "\(.cause) \(.status | tojson)"' | tail -n 1
)"

# The keeper itself is killed: guests go on, the agent takes another keeper, ends are unknown from
# now on, and said so.
kill -KILL "$KEEPER_BEFORE"
want 0 d wait a-299 --for event=console_lost --timeout 30s --since 2000-01-01T00:00:00Z
d exec a-299 -- /sbin/init return 7 && code=0 || code=$?
same 'exec under a new keeper' 7 "$code"
pids >"$WORK/after"
same 'guests over a keeper' "$(grep -v '^a-200 ' "$WORK/pids")" "$(grep -v '^a-200 ' "$WORK/after")"
kill -KILL "$(awk '$1 == "a-299" { print $3 }' "$WORK/after")"
want 0 d wait a-299 --for stopped --timeout 20s
same 'an end without a parent' unknown "$(d ls a-299 -f json | jq -r '.[0].cause')"
BUILD=$BUILD_WAS

# Both are killed under an open exec session: nobody is left whom it could be told to, so its processes
# end; alive or dead they must not hold the guest's own end.
"$BUILD/drover" $TO exec bb -- /bin/sleep 1000 2>/dev/null &
session=$!
want 0 d exec bb -- /bin/true
kill -KILL "$(cat "$V2/drover.$NODE/keeper/cgroup.procs")"
node_kill KILL
wait "$session" || true
node_start
"$BUILD/test.support.await_end" --empty "$(echo "$V2/drover.$NODE"/bb.*/exec.*)"
# Their ptys died, and each of them has a console again: a dead one cannot be opened.
while read -r name _ pid; do
    [[ $pid != null ]] || continue
    "$BUILD/test.support.await_end" --console "$pid" || fail "the console of $name stays dead"
    echo "$name"
done < <(pids) >"$WORK/consoles"
(($(wc -l <"$WORK/consoles") > COUNT / 2)) || fail 'few guests are left to look at'
want 0 d reboot bb --timeout 30s

want 0 d kill --all --timeout 120s >/dev/null
echo "ok"
