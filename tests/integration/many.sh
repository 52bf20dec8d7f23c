#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a node that is full, with all the labels that are allowed, must still be seen. Its list is
# far too long for one record: what the agent and the controller list is compared, label by label, after
# the controller learned it from the agent's greeting, and when it asks.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

COUNT=4096
controller_start
CONTROLLER=$CONTROLLER_URL CONTROLLER_URL=''
node_start
mkdir "$WORK/root"
labels=()
for ((i = 1; i <= 64; i++)); do
    labels+=(--label "example.org/label-number-$i=a value of some length, as people have them: $i")
done
want 0 d create c-1 --root "$WORK/root" --privileged "${labels[@]}" >/dev/null
node_kill TERM
# The same as if it had been created so often: the rows of one container under other names.
sqlite3 "$WORK/state/node.db" "
    WITH RECURSIVE n(i) AS (VALUES(2) UNION ALL SELECT i + 1 FROM n WHERE i < $COUNT)
    INSERT INTO container (id, uuid, name, is_live, last_seq, revision, generation, state, is_wanted_running,
        is_restart_owed, uid_base, family, is_ready_on_exec, created_wall_ns, started_wall_ns, ended_wall_ns, cause,
        wait_status, request, request_verb, oom_kills)
        SELECT 100000 + i, randomblob(16), 'c-' || i, is_live, 0, revision, generation, state,
        is_wanted_running, is_restart_owed, uid_base, family, is_ready_on_exec, created_wall_ns, started_wall_ns,
        ended_wall_ns, cause, wait_status, request, request_verb, oom_kills
        FROM container, n WHERE name = 'c-1' ORDER BY i;
    WITH RECURSIVE n(i) AS (VALUES(2) UNION ALL SELECT i + 1 FROM n WHERE i < $COUNT)
    INSERT INTO config SELECT 100000 + i, octets FROM config JOIN container USING (id), n WHERE name = 'c-1'
        ORDER BY i;"

up() { TO="--controller $CONTROLLER_SOCK" want 0 d wait --for event=node_up --since "$1" --timeout 20s >/dev/null; }
CONTROLLER_URL=$CONTROLLER
began=$(date -u +%FT%T.%NZ)
node_start
up "$began"
list() { d ls -f json | jq -c 'map({name, id, node, state, labels}) | sort_by(.name)[]'; }
list >"$WORK/of-agent"
same 'containers of the agent' $COUNT "$(wc -l <"$WORK/of-agent")"
same 'labels' "$((64 * COUNT))" "$(jq -s 'map(.labels | length) | add' "$WORK/of-agent")"
size=$(stat -c %s "$WORK/of-agent")
((size > 16 << 20)) || fail "the list has $size octets: too few to prove anything"

TO="--controller $CONTROLLER_SOCK"
list >"$WORK/of-controller"
cmp "$WORK/of-agent" "$WORK/of-controller" || fail 'the controller lists others than the agent'
same 'one by its label' 4096 "$(d ls 'example.org/label-number-64=a value of some length, as people have them: 64' \
    -f jsonl | wc -l)"

# The list that follows a greeting: what the node forgot while the controller was away, it forgets too.
node_kill KILL
sqlite3 "$WORK/state/node.db" "DELETE FROM config WHERE id > 100000 AND id % 2; DELETE FROM container
    WHERE id > 100000 AND id % 2"
node_start
timeout 30 bash -c "until [[ \$('$BUILD/drover' --controller '$CONTROLLER_SOCK' node ls -f json |
    jq '.[0].containers') == 2049 ]]; do :; done" || fail 'the controller did not learn of it'
list >"$WORK/of-controller"
TO="--agent $AGENT_SOCK"
list >"$WORK/of-agent"
same 'containers that are left' 2049 "$(wc -l <"$WORK/of-agent")"
cmp "$WORK/of-agent" "$WORK/of-controller" || fail 'the controller lists others than the agent'
echo ok
