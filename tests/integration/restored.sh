#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a node whose node.db was put back from a copy, or a controller that forgot, must not make
# events vanish in silence or arrive under numbers that mean something else. Both are put back under a
# real guest's life, and what agent and controller tell is compared event by event.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

ask() { timeout 60 "$BUILD/drover" --"$1" "$WORK/run/$1.sock" events "${@:2}"; } # agent or controller
events() { ask "$1" -f jsonl; }
of_node() { jq -c 'select(.seq > 0) | {epoch, seq, type, container, generation, from, to, cause, status}'; }
gaps() { ask "$1" --no-header -o type,seq,detail | awk '$1 == "gap"'; }
# delivered SEQ: the controller has the event with this seq, of the agent's present life.
delivered() {
    local epoch
    epoch=$(events agent | jq -rs "map(select(.seq == $1))[0].epoch")
    grep -m 1 -q "\"epoch\":\"$epoch\",\"seq\":$1," < <(timeout 30 "$BUILD/drover" \
        --controller "$CONTROLLER_SOCK" events --follow --since 1970-01-01T00:00:00Z -f jsonl) ||
        fail "event $1 does not arrive"
}
last() { events agent | tail -n 1 | jq .seq; }
live() { # COUNT: so many boots and stops
    local i
    for ((i = 0; i < $1; i++)); do
        want 0 d start one >/dev/null
        want 0 d stop one --timeout 0s >/dev/null
    done
}
# What the agent has after SEQ, the controller has, each once; and nothing of one epoch and seq twice.
compare_after() {
    events controller | of_node | jq -r '"\(.epoch) \(.seq)"' | sort | uniq -d >"$WORK/twice"
    [[ ! -s $WORK/twice ]] || fail "told twice: $(head -n 3 "$WORK/twice")"
    events agent | of_node | jq -c "select(.seq > $1)" | sort >"$WORK/of-agent"
    events controller | of_node | sort >"$WORK/of-controller"
    [[ -s $WORK/of-agent ]] || fail 'no events to compare'
    same 'events that the controller lacks' '' "$(comm -23 "$WORK/of-agent" "$WORK/of-controller")"
}

controller_start
node_start
template trivial >/dev/null
want 0 d create one --template trivial >/dev/null
live 2
common=$(last)
delivered "$common"
# What is answered from there came down behind the acknowledgement; the agent's end writes it down.
timeout 60 "$BUILD/drover" --controller "$CONTROLLER_SOCK" boot one >/dev/null || fail "no word from the node"
node_kill TERM
mkdir "$WORK/copy"
cp -a "$WORK/state"/node.db* "$WORK/copy"

# The ledger is put back: it ends below what the controller has.
node_start
live 3
head=$(last)
delivered "$head"
node_kill KILL
rm "$WORK/state"/node.db*
cp -a "$WORK/copy"/node.db* "$WORK/state"
node_start
live 1
delivered "$(last)"
same 'the gap at the agent' "gap $((head + 1)) ledger_rolled_back: $((head - common)) events after $common" \
    "$(gaps agent | tr -s ' ' | sed 's/ $//')"
same 'gaps at the controller' 1 "$(gaps controller | wc -l)"
compare_after "$common"
((head - common > 10)) || fail 'too little was lost to prove anything'

# Told once: neither a new session nor a new life of the agent tells it again.
node_kill KILL
node_start
live 1
delivered "$(last)"
same 'gaps at the agent' 1 "$(gaps agent | wc -l)"
compare_after "$common"

# Overtaken: the controller is away while the restored node goes on beyond its head.
head=$(last)
node_kill KILL
rm "$WORK/state"/node.db*
cp -a "$WORK/copy"/node.db* "$WORK/state"
CONTROLLER_URL='' # by itself
node_start
live 12
(($(last) > head + 3)) || fail "the node did not overtake: $(last), not beyond $head"
before=$(last)
node_kill TERM
CONTROLLER_URL=$(tr '\0' '\n' <"/proc/$CONTROLLER_PID/cmdline" | grep '^tcp:')
node_start
live 1
delivered "$(last)"
gap=$(gaps agent | tr -s ' ' | sed 's/ $//')
same 'the second gap' "ledger_rolled_back: $((head - common)) events after $common" "${gap#gap * }"
gap=${gap#gap }
((${gap%% *} > before)) || fail "the gap stands at ${gap%% *}, not beyond $before"
compare_after "$common"

# The controller forgot all: it hears all that the node keeps, and no gap for it.
count=$(gaps agent | wc -l)
kill -KILL "$CONTROLLER_PID"
ended "$CONTROLLER_PID"
rm -rf "$WORK/controller"
CONTROLLER_PID=$("$BUILD/test.support.daemon_start" "$WORK/controller.log" "$BUILD/drover-controller" \
    --state-dir "$WORK/controller" --run-dir "$WORK/run" --listen "$CONTROLLER_URL")
delivered "$(last)"
compare_after 0
same 'gaps at the agent' "$count" "$(gaps agent | wc -l)"

# The controller is put back to a copy: it hears again what it forgot, and no gap, for nothing is pruned.
controller_stop() { kill -"$1" "$CONTROLLER_PID" && ended "$CONTROLLER_PID"; }
controller_again() {
    CONTROLLER_PID=$("$BUILD/test.support.daemon_start" "$WORK/controller.log" "$BUILD/drover-controller" \
        --state-dir "$WORK/controller" --run-dir "$WORK/run" --listen "$CONTROLLER_URL")
}
controller_stop TERM
cp -a "$WORK/controller" "$WORK/controller.copy"
controller_again
live 2
delivered "$(last)"
controller_stop KILL
rm -rf "$WORK/controller"
mv "$WORK/controller.copy" "$WORK/controller"
controller_again
live 1
delivered "$(last)"
compare_after 0
same 'gaps at the agent' "$count" "$(gaps agent | wc -l)"

# Both at once, the node to a time before the controller's.
cp -a "$WORK/controller" "$WORK/controller.copy"
head=$(last)
node_kill KILL
controller_stop KILL
rm -rf "$WORK/controller" "$WORK/state"/node.db*
mv "$WORK/controller.copy" "$WORK/controller"
cp -a "$WORK/copy"/node.db* "$WORK/state"
controller_again
node_start
live 1
delivered "$(last)"
compare_after "$common"
same 'the newest gap' "events after $common" "$(gaps agent | tail -n 1 | grep -o "events after $common")"
want 0 d destroy one >/dev/null

# A guest that node.db does not know any more is shown at the controller too, killed by its name there,
# and gone from its copy then, which is told of it without being asked.
node_kill TERM
rm -rf "$WORK/copy"
mkdir "$WORK/copy"
cp -a "$WORK/state"/node.db* "$WORK/copy"
node_start
want 0 d create stray --template trivial --start >/dev/null
pid=$(d ls stray -f json | jq '.[0].pid')
node_kill KILL
rm "$WORK/state"/node.db*
cp -a "$WORK/copy"/node.db* "$WORK/state"
since=$(date -u +%FT%T.%NZ)
node_start
TO="--controller $CONTROLLER_SOCK"
same 'told' stray "$(d wait --for event=audit --since "$since" --timeout 20s -f json | jq -r '.[0].name')"
held() { d node ls -f json | jq -c '.[0] | [.containers, .running]'; } # by the copy alone
same 'in the copy' '[1,1]' "$(held)"
d ls -f json | expect 'a guest that node.db does not know' \
    "length == 1 and (.[0] | .name == \"stray\" and .pid == $pid and .labels == {\"drover.unknown\":\"true\"})"
want 0 d kill stray >/dev/null
same 'in the copy' '[0,0]' "$(held)"
d ls -f json | expect 'nothing is left' 'length == 0'
echo ok
