#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: hundreds of boots at once through the controller, and every one of their events upstream,
# once, in order. 300 real guests; then the agent's ledger and the controller's list are compared.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

COUNT=$(few 300 30)
controller_start
node_start
TO="--controller $CONTROLLER_SOCK"
want 0 d wait --for event=node_up --since 2000-01-01T00:00:00Z --timeout 20s
template trivial
seq -f 's-%g' $COUNT | xargs -P 4 -I{} "$BUILD/drover" $TO create {} --template trivial \
    --memory 32M --pids 16 >/dev/null
d ls -f json | expect 'all made' "length == $COUNT"

began=$(date +%s%N)
want 0 d start --all --timeout 120s >/dev/null
echo "$COUNT started in $((($(date +%s%N) - began) / 1000000)) ms, through the controller"
d ls -f json | expect 'all run' "length == $COUNT and all(.[]; .state == \"running\" and .generation == 1)"
same 'one init each' $COUNT "$(d ls -f json | jq '[.[].pid] | unique | length')"

# A third reboots itself, a third halts itself, the rest is stopped, all at once.
for i in $(seq $COUNT); do
    ((i % 3 == 2)) || echo "s-$i $([[ $((i % 3)) == 0 ]] && echo reboot || echo halt)"
done | xargs -P 4 -L 1 sh -c "\"$BUILD/drover\" $TO exec \"\$1\" -- /sbin/init \"\$2\" >/dev/null 2>&1 || true" sh
for i in $(seq 3 3 $COUNT); do echo "s-$i"; done |
    xargs "$BUILD/drover" $TO wait --for generation=2 --timeout "$(slowly 60)" >/dev/null
for i in $(seq 1 3 $COUNT); do echo "s-$i"; done |
    xargs "$BUILD/drover" $TO wait --for stopped --timeout "$(slowly 60)" >/dev/null
want 0 d kill --all --timeout 60s >/dev/null
d ls -f json | expect 'all ended' "length == $COUNT and all(.[]; .state == \"stopped\" and .pid == null)"
want 0 d destroy --all --timeout 60s >/dev/null

# The lists: what the agent's ledger holds, and what the controller was told.
TO="--agent $AGENT_SOCK"
d events -f jsonl >"$WORK/agent.events"
last=$(tail -n 1 "$WORK/agent.events" | jq .seq)
TO="--controller $CONTROLLER_SOCK"
# The last ones may be on their way: follow until they are there.
timeout "$(slowly 20)" "$BUILD/drover" $TO events --follow --since 2000-01-01T00:00:00Z -f jsonl |
    sed "/\"seq\": *${last}[,}]/q" >"$WORK/controller.events" || true
jq -cS 'del(.cursor)' "$WORK/agent.events" >"$WORK/a"
jq -cS 'select(.seq != null and .seq != 0) | del(.cursor)' "$WORK/controller.events" >"$WORK/c"
cmp "$WORK/a" "$WORK/c" || fail "the lists differ: $(wc -l <"$WORK/a") and $(wc -l <"$WORK/c") events"
echo "$(wc -l <"$WORK/a") events, equal on both sides"
jq -s 'map(.seq) | . == (sort | unique)' "$WORK/a" | grep -qx true || fail "seq is not in order"
same 'reboots' $((COUNT / 3)) "$(jq -r 'select(.cause == "guest_reboot") | .container' "$WORK/c" | wc -l)"
same 'halts' $((COUNT / 3)) "$(jq -r 'select(.cause == "guest_halt") | .container' "$WORK/c" | wc -l)"
same 'chains' true "$(jq -s 'map(select(.type == "changed")) | group_by(.container) |
    all(.[]; . as $e | all(range(1; length); $e[.].from == $e[. - 1].to))' "$WORK/c")"
echo "ok"
