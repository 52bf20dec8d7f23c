#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what was not in the agent's sight when it died is judged from what it finds, never guessed and
# never made anew: kills for memory, limits that somebody set from outside, launches that were cut off,
# pids that were given to others, guests that no row knows. Real guests; each daemon is killed.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

pid_of() { d ls "$1" -f json | jq '.[0].pid'; }
since() { d events -f jsonl | tail -n 1 | jq .seq; }
cause_of() { d history "$1" -f jsonl | jq -r 'select(.cause != null) | .cause' | tail -n 1; }

# ends PID…: each is gone.
ends() { printf '%s\n' "$@" | xargs "$BUILD/test.support.await_end"; }

# file PID PATH: a guest's file from outside, while no agent could do it.
file() { echo "/proc/$1/root/$2"; }

# appears FILE: what a guest makes is there.
appears() {
    "$BUILD/test.support.await_end" --file "$1" || fail "$1 does not appear"
}

node_start
guest_run busybox "$WORK/roots/busybox" || fail "no guest root"
# PID 1 that needs more memory than there is once /self is there, or has a child do so for /child.
cat >"$WORK/roots/busybox/hog" <<'END'
#!/bin/sh
eat() { a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done; }
while :; do
    [ ! -e /self ] || eat
    if [ -e /child ]; then
        rm /child
        (eat)
        touch /eaten
    fi
    sleep 0.05
done
END
chmod 755 "$WORK/roots/busybox/hog"
template busybox

echo '--- kills for memory while no agent lived'
for name in oom-self oom-told oom-child; do
    want 0 d create "$name" --template busybox --memory 32M --swap 0 --init /hog --privileged --start
done
seq=$(since)
want 0 d exec oom-told -- touch /child
want 0 d wait oom-told --for event=oom --since "$seq" --timeout 30s
self=$(pid_of oom-self) told=$(pid_of oom-told) child=$(pid_of oom-child)
appears "$(file "$told" eaten)"
seq=$(since)
node_kill KILL
touch "$(file "$self" self)" "$(file "$child" child)"
kill -KILL "$told"
ends "$self" "$told"
appears "$(file "$child" eaten)"
node_start
same 'killed for memory' oom "$(cause_of oom-self)"
same 'killed from outside, after kills for memory that were told' signalled "$(cause_of oom-told)"
want 0 d wait oom-child --for event=oom --since "$seq" --timeout 20s
d ls oom-child -f json | expect 'it lives' '.[0].state == "running" and .[0].generation == 1'
# Told once: another agent does not tell it again.
node_kill KILL
node_start
same 'events of kills for memory' 1 "$(d events --since "$seq" -f jsonl |
    jq -c 'select(.type == "oom" and .name == "oom-child")' | wc -l)"
want 0 d kill --all >/dev/null
want 0 d destroy --all >/dev/null

echo '--- limits that somebody set from outside'
want 0 d create lim --template busybox --memory 64M --pids 32 --start
# Every limit file of its groups, in whatever hierarchies this host has.
limits() {
    awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts | sort -u | while read -r root; do
        grep -EH . "$root/drover.$NODE"/lim.1/{memory.{max,high,swap.max,limit_in_bytes},pids.max} \
            "$root/drover.$NODE"/lim.1/{cpu.{max,weight,shares,cfs_quota_us},cgroup.max.descendants} 2>/dev/null || true
    done
}
before=$(limits)
while read -r file; do
    case ${file##*/} in
        pids.max:32) echo 27 >"${file%:*}" ;;
        memory.max:67108864 | memory.limit_in_bytes:67108864) echo $((50 << 20)) >"${file%:*}" ;;
    esac
done <<<"$before"
by_hand=$(limits)
(($(diff <(echo "$before") <(echo "$by_hand") | grep -c '^>') == 2)) || fail "limits of lim: $before"
pid=$(pid_of lim)
for who in agent keeper both; do
    seq=$(since)
    [[ $who == agent ]] || kill -KILL "$(keeper_pid)"
    [[ $who == keeper ]] || { node_kill KILL && node_start; }
    [[ $who == agent ]] || want 0 d wait lim --for event=console_lost --since "$seq" --timeout 20s >/dev/null
    same "limits over the death of $who" "$by_hand" "$(limits)"
    d ls lim -f json | expect 'it was not restarted' \
        ".[0] | .state == \"running\" and .generation == 1 and .pid == $pid"
done

echo '--- a launch that was cut off before exec'
# cut_off NAME WHO: its child never comes to run, as its group is frozen when it is cloned into it.
cut_off() {
    local keeper code=0
    keeper=$(keeper_pid)
    want 0 d create "$1" --template busybox --memory 64M
    kill -STOP "$keeper"
    "$BUILD/drover" $TO start "$1" --request-id "start-$1" --timeout 30s -f json >"$WORK/started" 2>&1 &
    appears "$V2/drover.$NODE/$1.1/cgroup.freeze"
    echo 1 >"$V2/drover.$NODE/$1.1/cgroup.freeze"
    kill -CONT "$keeper"
    "$BUILD/test.support.await_end" --populated "$V2/drover.$NODE/$1.1/guest" || fail "nothing is cloned into $1.1"
    CHILD=$(cat "$V2/drover.$NODE/$1.1/guest/cgroup.procs")
    kill -KILL "$keeper"
    [[ $2 == keeper ]] || { node_kill KILL && node_start; }
    wait $! || code=$?
    [[ $2 == both && $code == 10 ]] || { ((code == 1)) && grep -q interrupted "$WORK/started"; } ||
        fail "a start that was cut off ends with $code: $(cat "$WORK/started")"
    want 1 d start "$1" --request-id "start-$1" 2>/dev/null # the same answer from its request id
    ends "$CHILD"
    d ls "$1" -f json | expect 'it is stopped' '.[0] | .state == "stopped" and .cause == "start_failed"'
    same 'its groups' '' "$(find "$V2/drover.$NODE" -maxdepth 1 -name "$1.*")"
    want 0 d start "$1"
    d ls "$1" -f json | expect 'its number was spent' '.[0].generation == 2'
}
cut_off cut-keeper keeper
cut_off cut-both both

echo "--- a pid that was given to a process that is not ours"
want 0 d create reused --template busybox --memory 64M --start
pid=$(pid_of reused)
kill -STOP "$AGENT_PID"
kill -KILL "$(keeper_pid)"
kill -KILL "$pid"
ends "$pid"
end=$((SECONDS + 30)) foreign='' taken=$SECONDS is_own=1
until [[ $foreign == "$pid" ]]; do
    ((SECONDS < end)) || fail "no process can be made that has pid $pid"
    if [[ -e /proc/$pid ]]; then # somebody's, mostly for a moment; who keeps it will do as well
        ((SECONDS - taken < 5)) || foreign=$pid is_own=''
        continue
    fi
    taken=$SECONDS
    echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
    sleep 1000 &
    foreign=$!
    [[ $foreign == "$pid" ]] || kill "$foreign"
done
kill -CONT "$AGENT_PID"
want 0 d wait reused --for stopped --timeout 20s
same 'its end' unknown "$(cause_of reused)"
want 0 d kill reused
want 0 d start reused
want 0 d destroy --force reused
[[ -z $is_own || $(cat "/proc/$foreign/comm") == sleep ]] || fail 'a foreign process was ended'
[[ -z $is_own ]] || kill "$foreign"
want 0 d destroy --force --all >/dev/null

# keep, back: node.db as it is, and as it was then, while the agent is dead.
keep() { rm -rf "$WORK/kept" && mkdir "$WORK/kept" && cp -p "$WORK"/state/node.db* "$WORK/kept/"; }
back() { rm "$WORK"/state/node.db* && cp -p "$WORK"/kept/node.db* "$WORK/state/"; }
groups_of() { find "$V2/drover.$NODE" -maxdepth 1 -name "$1.*" -printf '%f\n' | sort; }

echo '--- node.db was put back to a time before what lives'
for name in later ended; do
    want 0 d create "$name" --template busybox --memory 64M --start
    want 0 d stop "$name" --timeout 10s
done
want 0 d create taken --template busybox --memory 64M
id=$(d ls taken -f json | jq -r '.[0].id')
node_kill TERM
keep
node_start
for name in later ended; do want 0 d start "$name"; done
want 0 d destroy taken
want 0 d create taken --template busybox --memory 64M --start
want 0 d create lost --template busybox --memory 64M --start
want 0 d create lost-dead --template busybox --memory 64M --start
want 0 d create lost-ended --template busybox --memory 64M --start
lost_id=$(d ls lost -f json | jq -r '.[0].id') taken_id=$(d ls taken -f json | jq -r '.[0].id')
later=$(pid_of later) lost=$(pid_of lost) taken=$(pid_of taken) gone="$(pid_of lost-ended) $(pid_of ended)"
# shellcheck disable=SC2086 # two pids
{
    node_kill KILL
    kill -KILL $gone
    ends $gone
}
back
node_start
# The row of before it ran is still its row: nothing is begun a second time.
d ls later -f json | expect 'the guest that outran its row' \
    ".[0] | .state == \"running\" and .generation == 2 and .pid == $later and .labels == {}"
d ls ended -f json | expect 'the end that outran its row' \
    '.[0] | .state == "stopped" and .generation == 2 and .cause == "signalled"'
want 0 d start later
same 'inits of it' "$later" "$(pid_of later)"
# No row at all: shown, told, and not touched.
d ls lost -f json | expect 'a guest that node.db does not know' ".[0] | .state == \"running\" and .pid == $lost and
    .generation == 1 and .id == \"$lost_id\" and .cause == null and .labels == {\"drover.unknown\":\"true\"}"
d ls drover.unknown=true -f json | expect 'all of them' 'length == 3'
same 'told' 3 "$(d events -f jsonl | jq -c 'select(.type == "audit" and .generation > 0)' | wc -l)"
d ls lost-ended -f json | expect 'one that ended is no more' 'length == 0'
same 'and left nothing' '' "$(groups_of lost-ended)"
for verb in start stop reboot freeze 'exec -t' logs console; do
    code=0
    # shellcheck disable=SC2086 # a verb and its option
    d $verb lost ${verb:+$([[ $verb == exec* ]] && echo -- /bin/true)} </dev/null >/dev/null 2>"$WORK/words" || code=$?
    ((code == 4 || code == 125)) && grep -q 'node.db does not know' "$WORK/words" ||
        fail "$verb of a guest that is not known: $code, $(cat "$WORK/words")"
done
want 4 d create lost --template busybox 2>/dev/null
# Another container has its name by now: it goes by its id.
d ls "$taken_id" -f json | expect 'the one that lives' ".[0] | .name == \"$taken_id\" and .pid == $taken"
d ls taken -f json | expect 'the one that is known' ".[0] | .id == \"$id\" and .state == \"stopped\""

echo '--- the keeper is gone too: processes in groups of ours that nobody knows'
node_kill KILL
kill -KILL "$(keeper_pid)"
back
node_start
d ls later -f json | expect 'the guest that outran its row' \
    ".[0] | .state == \"running\" and .generation == 2 and .pid == $later"
want 0 d exec later -- /bin/true
d ls drover.unknown=true -f json | expect 'shown by their groups' "length == 3 and
    any(.[]; .name == \"lost\" and .pid == $lost and .generation == 1)"
lost_id=$(d ls lost -f json | jq -r '.[0].id')
node_kill TERM
node_start
d ls lost -f json | expect 'one id over all starts' ".[0].id == \"$lost_id\""

echo '--- killed by name'
want 0 d kill lost --request-id kill-lost
want 0 d kill lost --request-id kill-lost # the same answer, from its request id
d ls lost -f json | expect 'gone' 'length == 0'
same 'and left nothing' '' "$(groups_of lost)"
ends "$lost"
d events -f jsonl | jq -c 'select(.type == "result" and .request == "kill-lost")' >"$WORK/results"
same 'its result' 1 "$(wc -l <"$WORK/results")"
want 3 d kill lost --request-id kill-again 2>/dev/null
# It ended by itself: gone likewise.
dead=$(pid_of lost-dead)
seq=$(since)
kill -KILL "$dead"
want 0 d wait --for event=audit --since "$seq" --timeout 20s -f json >"$WORK/audit"
expect 'told' '.[0].name == "lost-dead"' <"$WORK/audit"
d ls lost-dead -f json | expect 'it is shown no more' 'length == 0'
same 'and left nothing' '' "$(groups_of lost-dead)"
# A name that a container of node.db has is that container's.
want 0 d kill taken
d ls drover.unknown=true -f json | expect 'the one that lives is not meant' "length == 1 and .[0].pid == $taken"
want 0 d kill "$(d ls drover.unknown=true -f json | jq -r '.[0].id')"
ends "$taken"
want 0 d create lost --template busybox --memory 64M --start
want 0 d destroy --force --all >/dev/null
same 'groups' 'keeper' "$(find "$V2/drover.$NODE" -mindepth 1 -maxdepth 1 -type d -printf '%f\n')"
! grep -n 'always hold\|ERROR: \|runtime error' "$WORK/agent.log" || fail 'the agent broke off'
echo "ok"
