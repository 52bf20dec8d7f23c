#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what was not in the agent's sight when it died is judged from what it finds, never guessed and
# never made anew: kills for memory, limits that somebody set from outside, launches that were cut off,
# pids that were given to others, guests that no row knows. Real guests; each daemon is killed.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

keeper_pid() { cat "$V2/drover.$NODE/keeper/cgroup.procs"; }
pid_of() { d ls "$1" -f json | jq '.[0].pid'; }
since() { d events -f jsonl | tail -n 1 | jq .seq; }
cause_of() { d history "$1" -f jsonl | jq -r 'select(.cause != null) | .cause' | tail -n 1; }

# ends PID…: each is gone.
ends() { printf '%s\n' "$@" | xargs "$BUILD/test.support.await_end"; }

# file PID PATH: a guest's file from outside, while no agent could do it.
file() { echo "/proc/$1/root/$2"; }

# appears FILE: what a guest makes is there.
appears() {
    local end=$((SECONDS + 20))
    until [[ -e $1 ]]; do
        ((SECONDS < end)) || fail "$1 does not appear"
        sleep 0.05
    done
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
echo "ok"
