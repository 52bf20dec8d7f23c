#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: agent and keeper may die at any moment, whatever is in progress, and all comes to rest: one
# init or none for each container, each end said once, each accepted command answered once, nothing left
# on the host. Guests are started, stopped, rebooted, entered, frozen, destroyed and made anew at random
# while one daemon or both are killed; then everything is counted.
#   crashes.sh BUILD [SEED [ROUNDS [COUNT]]]
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"

SEED=${2:-$(date +%s)} ROUNDS=${3:-8} COUNT=${4:-40}
echo "crashes.sh $1 $SEED $ROUNDS $COUNT"
RANDOM=$SEED
export BUILD AGENT_SOCK WORK

# What one worker does with a line "REQUEST VERB NAME": the exit code is noted, and judged later.
cat >"$WORK/act" <<'END'
request=$1 verb=$2 name=$3 code=0
d() { timeout -k 5 60 "$BUILD/drover" --agent "$AGENT_SOCK" "$@" >/dev/null 2>&1 || code=$?; }
case $verb in
    stop) d stop --timeout 2s --request-id "$request" "$name" ;;
    exec) d exec "$name" -- /sbin/init return 7 ;;
    session) d exec --timeout 1s -t "$name" -- /sbin/init ;;
    reboot-itself) d exec "$name" -- /sbin/init reboot ;;
    halt-itself) d exec "$name" -- /sbin/init halt ;;
    crash-itself) d exec "$name" -- /sbin/init crash ;;
    anew)
        d destroy --force --request-id "$request" "$name"
        d create --request-id "$request-c" "$name" --template trivial --memory 32M --pids 16 --start
        ;;
    *) d "$verb" --request-id "$request" "$name" ;;
esac
echo "$request $verb $name $code" >>"$WORK/codes"
END

orders() {
    awk -v seed="$((SEED % 1000000 * 1000 + $1))" -v round="$1" -v count="$COUNT" 'BEGIN {
        srand(seed)
        split("start start start start stop kill reboot reboot freeze thaw thaw exec exec session " \
            "reboot-itself halt-itself crash-itself anew", verbs, " ")
        for (i = 0; i < 4 * count; i++)
            printf "r%d-%d-%d %s c-%d\n", seed, round, i, verbs[1 + int(rand() * 18)], 1 + int(rand() * count)
    }'
}

keeper_kill() {
    local pid
    pid=$(keeper_pid)
    [[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null || true
}

# Time passes for the orders in progress: up to 0.6 s.
pass() { sleep "0.$((RANDOM % 6))$((RANDOM % 10))"; }

# An agent that is killed while it starts: before, in, or after adoption.
start_cut_short() {
    local pid lock
    "$BUILD/drover-agent" --state-dir "$WORK/state" --run-dir "$WORK/run" --node "$NODE" \
        </dev/null >>"$WORK/agent.log" 2>&1 &
    pid=$!
    sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
    [[ $((RANDOM % 3)) != 0 ]] || keeper_kill
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    # A keeper that it was starting holds its locks until it is executed.
    for lock in "$WORK/run/agent.lock" "$WORK/state/agent.lock" "$V2/drover.$NODE"; do
        [[ ! -e $lock ]] || flock -w 5 "$lock" true || fail "$lock stays locked"
    done
}

strike() {
    case $1 in
        KILL | TERM) node_kill "$1" ;;
        keeper) keeper_kill ;;
        both)
            keeper_kill
            node_kill KILL
            ;;
        both-late)
            node_kill KILL
            keeper_kill
            ;;
        starts)
            node_kill KILL
            start_cut_short
            start_cut_short
            ;;
    esac
    [[ -n $AGENT_PID ]] || node_start
}

# Who was told "unknown" asks again by request id: it is done now, or answered as before; and a second
# time nothing is done, and the same is said.
ask_again() {
    local request verb name code first second
    while read -r request verb name code; do
        [[ $code == 10 && ! $verb =~ ^(exec|session|anew|.*-itself)$ ]] || continue
        first=0 second=0
        d "$verb" --request-id "$request" "$name" >/dev/null 2>&1 || first=$?
        ((first == 0)) || continue # a refusal leaves no trace, and what it met may be over
        d "$verb" --request-id "$request" "$name" >/dev/null 2>&1 || second=$?
        same "$verb $name asked again as $request" "$first" "$second"
    done <"$WORK/codes"
}

check_codes() {
    same 'codes' '' \
        "$(awk '$2 != "exec" && $2 != "session" && $2 !~ /itself/ && $4 !~ /^(0|1|3|4|8|10)$/' "$WORK/codes")"
    same 'codes of exec' '' \
        "$(awk '($2 == "exec" && $4 !~ /^(7|125|137)$/) ||
            ($2 == "session" && $4 !~ /^(2|124|125|137)$/)' "$WORK/codes")"
}

node_start
template trivial
# shellcheck disable=SC2086 # two words
seq -f 'c-%g' "$COUNT" | xargs -P 4 -I{} "$BUILD/drover" $TO create {} --template trivial \
    --memory 32M --pids 16 >/dev/null
strikes=(KILL TERM keeper both both-late starts keeper starts)
for round in $(seq "$ROUNDS"); do
    how=${strikes[$(((round - 1) % ${#strikes[@]}))]}
    echo "--- round $round: $how"
    : >"$WORK/codes"
    orders "$round" | xargs -P 6 -L 1 bash "$WORK/act" &
    workers=$!
    for _ in 1 2 3; do
        pass
        strike "$how"
    done
    wait "$workers" || true
    ask_again
    check_world
    check_ledger
    check_codes
    echo "    codes: $(awk '{ print $2 "=" $4 }' "$WORK/codes" | sort | uniq -c | awk '{ printf "%s*%s ", $2, $1 }')"
done
want 0 d destroy --force --all --timeout 120s >/dev/null
d ls -f json | expect 'all gone' 'length == 0'
same 'directories at the end' '' "$(ls "$WORK/state/containers")"
keeper=$(keeper_pid)
same 'children of the keeper' '' "$(cat "/proc/$keeper/task/$keeper/children")"
node_kill TERM
ended "$keeper"
[[ ! -e $V2/drover.$NODE ]] || fail "the keeper left its cgroup"
echo "ok"
