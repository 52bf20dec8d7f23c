#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a command that was accepted, and whose agent was killed at any instant, must have one result:
# the same to whoever asks again, at the agent and at the controller, after the next start and the one
# after that; done once, told by one event. Each verb meets a death at each step of its turns.
#   results.sh BUILD [SEED]
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

SEED=${2:-$(date +%s)}
echo "results.sh $1 $SEED"
RANDOM=$SEED
instants=(turn_composed turn_posted committed applied published answered)
deaths=0

# The agent, to be killed by itself at NAME:N; at its death before it was ready the next one starts.
agent_up() {
    local code=0
    AGENT_PID=$(DROVER_DIE_AT=${1:-} "$BUILD/test.support.daemon_start" "$WORK/agent.log" \
        "$BUILD/drover-agent" --state-dir "$WORK/state" --run-dir "$WORK/run" --node "$NODE" \
        --controller "$CONTROLLER_URL") || code=$?
    ((code == 0)) && return 0
    AGENT_PID=''
    [[ -n ${1:-} && $code == 137 ]] || fail "the agent does not start: $code"
    agent_up
}
# asked SIDE VERB…: "CODE RECEIPT STATUS"
asked() {
    local code=0
    timeout 60 "$BUILD/drover" --"$1" "$WORK/run/$1.sock" "${@:2}" --request-id "$request" -f json \
        >"$WORK/out" 2>"$WORK/err" || code=$?
    jq -rsc --argjson code "$code" --slurpfile error "$WORK/err" \
        '"\($code) \(.[0][0].receipt) \($error[0].error.status)"' "$WORK/out"
}
# told SIDE: how often the result was told
told() {
    timeout 60 "$BUILD/drover" --"$1" "$WORK/run/$1.sock" events -f jsonl |
        jq -sr --arg request "$request" 'map(select(.type == "result" and .request == $request)) | length'
}
generation() { d ls c-1 -f json | jq '.[0].generation'; }
up() { "$BUILD/drover" --controller "$CONTROLLER_SOCK" wait --for event=node_up --since "$1" --timeout 20s >/dev/null; }
# Through the controller, as soon as the agent has come back to it.
asked_through() {
    local got
    got=$(asked controller "$@")
    [[ $got == '10 not_sent '* ]] && up "$began" && got=$(asked controller "$@")
    echo "$got"
}

# order VERB…: killed at some instant of it
order() {
    local before first second third other=kill
    request=$1-$round
    [[ $1 != kill ]] || other=stop
    before=$(generation)
    node_kill KILL
    agent_up "${instants[$round % ${#instants[@]}]}:$((1 + RANDOM % 5))"
    first=$(asked agent "$@")
    [[ ! $(cat "/proc/$AGENT_PID/status" 2>/dev/null) =~ State:.[ZX] && -e /proc/$AGENT_PID ]] || deaths=$((deaths + 1))
    node_kill KILL
    began=$(date -u +%FT%T.%NZ)
    agent_up
    second=$(asked agent "$@")
    [[ $second != 10* ]] || fail "$*: asked again, it is $second"
    [[ $first == 10* || $first == "$second" ]] || fail "$*: $first, and asked again $second"
    third=$(asked_through "$@")
    same "$*: through the controller" "$second" "$third"
    same "$*: another command under its id" '4 failed request_id_reused' "$(asked agent "$other" c-2)"
    case $second in
        '0 unchanged '*) same "$*: events" 0 "$(told agent)" ;;
        '0 done '* | '1 failed '*) same "$*: events" 1 "$(told agent)" ;;
        *) fail "$*: ended with $second" ;;
    esac
    # A boot that was lost is followed by another, and one whose intent was lost may have spent its number.
    most=$((before + 2))
    (($(generation) <= most)) || fail "$*: generation $(generation) after $before"
    [[ $1 != start && $1 != reboot || $second != '0 done '* ]] || (($(generation) > before)) ||
        fail "$*: done, and generation $(generation) after $before"
    printf '%-8s %-14s %s, then %s\n' "$1" "${instants[$round % ${#instants[@]}]}" "$first" "$second"
    # Whatever became of it: what follows finds what it needs.
    want 0 d "$then" c-1 >/dev/null
}

controller_start
began=$(date -u +%FT%T.%NZ)
agent_up
up "$began"
template trivial >/dev/null
want 0 d create c-1 --template trivial >/dev/null
want 0 d create c-2 --template trivial >/dev/null
round=0
for _ in 1 2 3 4 5 6; do
    then=start order start c-1
    round=$((round + 1))
    then=start order reboot c-1
    round=$((round + 1))
    then=freeze order freeze c-1
    round=$((round + 1))
    then=thaw order thaw c-1
    round=$((round + 1))
    then=stop order stop c-1 --timeout 5s
    round=$((round + 1)) # five verbs, six instants: others meet in the next pass
done
echo "$deaths deaths"
((deaths >= 6)) || fail 'too few to prove anything'

# More results than the agent holds in memory: node.db knows the old ones.
request=long-ago then=start
same 'a stop' '0 unchanged null' "$(asked agent stop c-1)"
before=$(generation)
node_kill TERM
sqlite3 "$WORK/state/node.db" "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
    INSERT INTO result (id, request, command_hash, verb, uuid, generation, phase, status, error, text,
        time_wall_ns, seq) SELECT (SELECT MAX(id) FROM result) + i, 'filling-' || i, command_hash, verb, uuid,
    generation, phase, status, error, text, time_wall_ns, seq FROM result, n WHERE request = 'long-ago'"
agent_up
want 0 d start c-1 >/dev/null
same 'an old one again' '0 unchanged null' "$(asked agent stop c-1)"
same 'another command under its id' '4 failed request_id_reused' "$(asked agent kill c-1)"
same 'the state after them' running "$(d ls c-1 -f json | jq -r '.[0].state')"
request=new
for _ in 1 2; do
    same 'a new one' '0 done null' "$(asked agent reboot c-1)"
done
same 'generations' "$((before + 2))" "$(generation)"
want 0 d destroy --force c-1 >/dev/null
echo ok
