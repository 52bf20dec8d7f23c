#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: no exit status is lost, whoever is alive to hear it. 500 real guests end while the agent is
# dead: with all 256 exit codes, killed from outside, by each fault that ends a PID 1, out of memory, by
# a reboot and by a halt of their own, in an order drawn from a seed, with exec sessions open in some.
# The next agent tells cause and status of each, and the controller is told each event once.
#   ends.sh BUILD [SEED]
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

SEED=${2:-$(date +%s)}
echo "ends.sh $1 $SEED"

began=$EPOCHREALTIME
lap() {
    awk -v words="$1" -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%-28s %6.2f s\n", words, b - a }'
    began=$EPOCHREALTIME
}

# What is to happen to each: NAME, how it is told (trivial_init.c's word as value of its signal, or a
# signal), and the cause and status that are to be told, in the order of the seed.
EXIT=1 HALT=3 REBOOT=4 FAULT=7 OOM=8
plan() {
    awk -v seed="$SEED" -v exits="$EXIT" -v halt="$HALT" -v reboot="$REBOOT" -v fault="$FAULT" -v oom="$OOM" '
        function add(how, value, cause, status) { what[n++] = how " " value " " cause " " status }
        BEGIN {
            for (i = 0; i < 256; i++) add("word", exits * 256 + i, "exited", "{\"exited\":" i "}")
            split("11 4 8 7 31", faults, " ") # SEGV ILL FPE BUS SYS
            for (i = 0; i < 60; i++) {
                s = faults[1 + i % 5]
                add("word", fault * 256 + s, "signalled", "{\"signalled\":" s "}")
            }
            for (i = 0; i < 40; i++) add("kill", 9, "signalled", "{\"signalled\":9}")
            for (i = 0; i < 24; i++) add("word", oom * 256, "oom", "{\"signalled\":9}")
            for (i = 0; i < 60; i++) add("word", reboot * 256, "guest_reboot", "{\"signalled\":1}")
            for (i = 0; i < 60; i++) add("word", halt * 256, "guest_halt", "{\"signalled\":2}")
            srand(seed)
            for (i = n - 1; i > 0; i--) {
                j = int(rand() * (i + 1))
                t = what[i]; what[i] = what[j]; what[j] = t
            }
            for (i = 0; i < n; i++) print "e-" i " " what[i]
        }'
}
plan >"$WORK/plan"
COUNT=$(wc -l <"$WORK/plan")
same 'containers' 500 "$COUNT"

controller_start
node_start
TO="--controller $CONTROLLER_SOCK"
want 0 d wait --for event=node_up --since 2000-01-01T00:00:00Z --timeout 20s >/dev/null
template trivial >/dev/null
cut -d' ' -f1 "$WORK/plan" | xargs -P 4 -I{} "$BUILD/drover" $TO create {} --template trivial \
    --memory 16M --swap 0 --pids 16 >/dev/null
lap "$COUNT made"
want 0 d start --all --timeout 120s >/dev/null
d ls -f json >"$WORK/ls"
expect 'all run' "length == $COUNT and all(.[]; .state == \"running\" and .generation == 1)" <"$WORK/ls"
lap "$COUNT started"

# Sessions, in every twelfth. Each says that it is there.
sessions=()
mkfifo "$WORK/here"
exec {here}<>"$WORK/here"
for name in $(awk 'NR % 12 == 0 { print $1 }' "$WORK/plan"); do
    "$BUILD/drover" --agent "$AGENT_SOCK" exec "$name" -- /sbin/init stay </dev/null >"$WORK/here" 2>/dev/null &
    sessions+=("$!")
done
for _ in "${sessions[@]}"; do
    read -rt 20 -u "$here" || fail 'a session does not open'
done
lap "${#sessions[@]} sessions open"

node_kill KILL
for session in "${sessions[@]}"; do
    code=0
    wait "$session" || code=$?
    same 'an exec session whose agent died' 125 "$code"
done
jq -r '.[] | "\(.name) \(.pid)"' "$WORK/ls" >"$WORK/pids"
while read -r _ how value _ _ pid; do
    if [[ $how == kill ]]; then
        kill "-$value" "$pid"
    else
        /bin/kill -q "$value" -s "$(($(kill -l RTMIN) + 1))" "$pid"
    fi
done < <(awk 'NR == FNR { pid[$1] = $2; next } { print $0, pid[$1] }' "$WORK/pids" "$WORK/plan")
cut -d' ' -f2 "$WORK/pids" | xargs "$BUILD/test.support.await_end"
lap "$COUNT ended, nobody looking"

node_start
lap 'the next agent is ready'
TO="--agent $AGENT_SOCK"
awk '$4 == "guest_reboot" { print $1 }' "$WORK/plan" |
    xargs "$BUILD/drover" $TO wait --for generation=2 --timeout 60s >/dev/null
awk '$4 != "guest_reboot" { print $1 }' "$WORK/plan" |
    xargs "$BUILD/drover" $TO wait --for stopped --timeout 60s >/dev/null
lap 'reboots carried out'

d events -f jsonl >"$WORK/agent.events"
ends() {
    jq -r 'select(.type == "changed" and .cause != null) |
        "\(.name) \(.generation) \(.cause) \(.status | if . == null then null else del(.core) end | tojson)"' \
        "$1" | sort
}
same 'ends, as the agent tells them' "$(awk '{ print $1, 1, $4, $5 }' "$WORK/plan" | sort)" \
    "$(ends "$WORK/agent.events")"
d ls -f json >"$WORK/ls"
same 'who runs' "$(awk '$4 == "guest_reboot" { print $1 }' "$WORK/plan" | sort)" \
    "$(jq -r '.[] | select(.state == "running") | .name' "$WORK/ls" | sort)"
same 'inits' "$(jq -r '.[] | select(.pid != null) | "\(.name).\(.generation) \(.pid)"' "$WORK/ls" | sort)" \
    "$(for root in "$V2/drover.$NODE"/e-*; do echo "${root##*/} $(cat "$root/guest/cgroup.procs")"; done | sort)"

# Each event once, in order, at the controller: its list is the agent's ledger.
last=$(tail -n 1 "$WORK/agent.events" | jq .seq)
TO="--controller $CONTROLLER_SOCK"
timeout 30 "$BUILD/drover" $TO events --follow --since 2000-01-01T00:00:00Z -f jsonl |
    sed "/\"seq\": *${last}[,}]/q" >"$WORK/controller.events" || true
jq -cS 'del(.cursor)' "$WORK/agent.events" >"$WORK/a"
jq -cS 'select(.seq != null and .seq != 0) | del(.cursor)' "$WORK/controller.events" >"$WORK/c"
cmp "$WORK/a" "$WORK/c" || fail "the lists differ: $(wc -l <"$WORK/a") and $(wc -l <"$WORK/c") events"
lap "$(wc -l <"$WORK/a") events compared"

want 0 d destroy --force --all --timeout 120s >/dev/null
lap 'all destroyed'
echo "ok"
