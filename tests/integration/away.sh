#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a node goes on by itself for as long as its controller is away, and loses nothing of what it
# has to tell. 10 000 events happen while nobody listens; then the controller comes back, and again while
# it is killed at random. What it has in the end is the node's ledger, each event once, without a gap;
# the agent's memory does not grow with what waits.
#   away.sh BUILD [--full] [--seed SEED]      --full: 100 000 events
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

COUNT=10000 SEED=$(date +%s) KILLS=6
while (($# > 1)); do
    case $2 in
        --full) COUNT=100000 KILLS=30 ;;
        --seed) SEED=$3 && shift ;;
    esac
    shift
done
RANDOM=$((SEED % 32768))
echo "away.sh $BUILD --seed $SEED, $COUNT events"
GUESTS=100

since=2000-01-01T00:00:00Z
last_seq() { TO="--agent $AGENT_SOCK" d events --since "$1" -f jsonl | tail -n 1 | jq .seq; }
rss_kib() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$AGENT_PID/status"; }

# make_events COUNT: by as many moves of real guests; prints the last seq.
make_events() {
    local seq=$last
    TO="--agent $AGENT_SOCK"
    while ((seq < last + $1)); do
        for verb in freeze thaw freeze thaw freeze thaw freeze thaw kill start; do
            want 0 d "$verb" --all --timeout 60s >/dev/null 2>&1
        done
        seq=$(last_seq "$seq")
    done
    echo "$seq"
}

# The controller has all up to $last: its list and the node's are equal, seq by seq.
compare() {
    local began=$EPOCHREALTIME
    timeout 120 "$BUILD/drover" --controller "$CONTROLLER_SOCK" events --follow --since $since -f jsonl |
        sed "/\"seq\": *${last}[,}]/q" >"$WORK/controller.events" || true
    awk -v a="$began" -v b="$EPOCHREALTIME" -v n="$last" \
        'BEGIN { printf "    all of %d are at the controller after %.2f s\n", n, b - a }'
    "$BUILD/drover" --agent "$AGENT_SOCK" events -f jsonl | sed -n "1,${last}p" | jq -cS . >"$WORK/a"
    jq -cS 'select(.seq != null) | del(.cursor)' "$WORK/controller.events" >"$WORK/c"
    cmp "$WORK/a" "$WORK/c" ||
        fail "the lists differ: $(wc -l <"$WORK/a") and $(wc -l <"$WORK/c") events, of $last"
    same 'events' "$last" "$(wc -l <"$WORK/c")"
    same 'gaps' '' "$(jq -c 'select(.type == "gap")' "$WORK/c")"
    same 'cursors' true "$(jq -s 'map(.cursor) | length == (unique | length)' "$WORK/controller.events")"
}

# A reader that goes on from the last cursor it saw, however often the controller dies under it.
reader() {
    local cursor
    : >"$WORK/read"
    while [[ ! -e $WORK/enough ]]; do
        cursor=$(tail -n 1 "$WORK/read" | jq -r .cursor)
        "$BUILD/drover" --controller "$CONTROLLER_SOCK" events --follow --since "${cursor:-$since}" \
            -f jsonl >>"$WORK/read" 2>/dev/null || read -rt 0.05 -u "$never" || true
    done
}

controller_start
node_start
TO="--controller $CONTROLLER_SOCK"
want 0 d wait --for event=node_up --since $since --timeout 20s >/dev/null
template trivial >/dev/null
seq -f 'w-%g' $GUESTS | xargs -P 4 -I{} "$BUILD/drover" $TO create {} --template trivial \
    --memory 32M --pids 16 >/dev/null
want 0 d start --all --timeout 60s >/dev/null 2>&1
last=$(last_seq 0)
compare
# The results that it keeps have a bound of their own (RESULTS_MAX): it is reached first.
for ((i = 0; i < 42; i++)); do
    TO="--agent $AGENT_SOCK" want 0 d freeze --all >/dev/null 2>&1
    TO="--agent $AGENT_SOCK" want 0 d thaw --all >/dev/null 2>&1
done
last=$(last_seq 0)
compare
before=$(rss_kib)

echo "--- away"
controller_kill KILL
last=$(make_events "$COUNT")
away=$(rss_kib)
controller_start
compare
after=$(rss_kib)
echo "    the agent's memory: $before KiB, after $last events $away, when all was told $after"
((away < before + 2048 && after < before + 4096)) || fail 'memory grows with what waits'

echo "--- away, and killed at random"
controller_kill KILL
last=$(make_events "$COUNT")
mkfifo "$WORK/never"
exec {never}<>"$WORK/never"
reader &
reading=$!
for _ in $(seq "$KILLS"); do
    controller_start
    # Time passes for what is on its way: up to 0.4 s.
    sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
    controller_kill KILL
done
controller_start
touch "$WORK/enough"
# And while it listens, all goes on.
last=$(make_events 1000)
compare
controller_kill KILL
wait "$reading"
controller_start
d events --since "$(tail -n 1 "$WORK/read" | jq -r .cursor)" -f jsonl >>"$WORK/read"
cmp <(jq -cS 'select(.seq != null) | del(.cursor)' "$WORK/read") "$WORK/c" ||
    fail 'a reader that went on from its cursor did not see each event once'
echo "    the agent's memory: $(rss_kib) KiB"
(($(rss_kib) < before + 4096)) || fail 'memory grows with what waits'
TO="--agent $AGENT_SOCK" want 0 d destroy --force --all --timeout 120s >/dev/null 2>&1
echo "ok"
