#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what an operator sets is what the guest gets, what is stored, and what is still so after the
# agent's own death; a value that cannot be is refused and changes nothing; lowering memory kills nobody;
# what needs a stop is not done behind anybody's back. (Conformance 8, 52, 53, 54.)
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

# live NAME FILE: a file of the present generation's cgroup, in whichever hierarchy has it.
live() {
    local root generation
    generation=$(d ls "$1" -f json | jq -r '.[0].generation')
    while read -r root; do
        [[ -e $root/drover.$NODE/$1.$generation/$2 ]] && cat "$root/drover.$NODE/$1.$generation/$2" && return 0
    done < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
    return 1
}

# limits NAME: as the kernel has them, in one line.
limits() {
    printf 'memory=%s ' "$(live "$1" memory.max || live "$1" memory.limit_in_bytes)"
    printf 'pids=%s ' "$(live "$1" pids.max)"
    printf 'cpus=%s ' "$(live "$1" cpu.max | cut -d' ' -f1 || live "$1" cpu.cfs_quota_us)"
    printf 'weight=%s\n' "$(live "$1" cpu.weight || live "$1" cpu.shares)"
}
shown() { d show "$1" -f json | jq -c ".[0].$2"; }
set_keys() { d set "$@" -f json | jq -c '.[0].keys'; }
exited() { # of what follows
    local code=0
    "$@" >/dev/null 2>"$WORK/error" || code=$?
    echo "$code"
}

node_start
want 0 template busybox
want 0 d create web --template busybox --memory 128M --pids 100 --cpus 1 --env A=1 --label role=web \
    --swap 0 --tmpfs /fill:64M --start
pid=$(d ls web -f json | jq .[0].pid)
same 'revision at first' 1 "$(shown web revision)"

echo '--- live limits, each alone and all at once'
same 'a receipt a key' '{"memory":"applied"}' "$(set_keys web memory=96M)"
same 'memory, live' 100663296 "$(live web memory.max || live web memory.limit_in_bytes)"
same 'memory, stored' 100663296 "$(shown web config.limits.memory)"
same 'revision' 2 "$(shown web revision)"
same 'all at once' '{"pids":"applied","cpus":"applied","cpu-weight":"applied"}' \
    "$(set_keys web pids=50 cpus=0.5 cpu-weight=200)"
same 'pids, live' 50 "$(live web pids.max)"
expected=$(limits web)
[[ $expected == *'pids=50 cpus=50000 '* ]] || fail "not in force: $expected"
same 'the guest never noticed' "$pid" "$(d ls web -f json | jq .[0].pid)"
same 'the same again' unchanged "$(d set web pids=50 -f json | jq -r '.[0].receipt')"
same 'one event each' 2 "$(d history web -f jsonl | jq -s 'map(select(.type == "configured")) | length')"

echo '--- kept over the agent: killed, and asked again'
d set web pids=51 --request-id r-51 -f json | jq -c '.[0] | [.receipt, .keys]' >"$WORK/first"
node_kill KILL
node_start
same 'the same request id' "$(cat "$WORK/first")" \
    "$(d set web pids=51 --request-id r-51 -f json | jq -c '.[0] | [.receipt, .keys]')"
same 'another command under it' 4 "$(exited d set web pids=52 --request-id r-51)"
same 'live after a new agent' "${expected/pids=50/pids=51}" "$(limits web)"
same 'stored after a new agent' '{"memory":100663296,"swap":0,"pids":51,"cpus":0.5,"cpu_weight":200}' \
    "$(shown web config.limits)"
same 'revision after a new agent' 4 "$(shown web revision)"

echo '--- what cannot be changes nothing'
before=$(limits web)$(shown web config)$(shown web revision)
for word in memory=abc memory=1-sdc memory=0 memory=-1 pids=0 pids=x cpus=0 cpus=abc cpu-weight=0 \
    cpu-weight=10001 restart=maybe allow-reboot=perhaps autostart=later order=-1 stop-grace=5 label=x \
    init=sbin/init bind=/etc tmpfs=tmp env=A nonsense=1 template=other root=/ privileged=yes \
    cpuunits=7 cpuunits=500001 memory-=1 nested=yes fuse=maybe tun=1 ptrace-=yes hook=start hook=boot=/x \
    hook=start=relative \
    pids-=1 'depends=Not A Name'; do
    same "$word" 2 "$(exited d set web "$word" label=z=1)"
done
d set web nested=yes 2>"$WORK/error" || true
grep -q 'fixed when' "$WORK/error" && grep -q 'create it again' "$WORK/error" || fail "$(cat "$WORK/error")"
same 'as it was' "$before" "$(limits web)$(shown web config)$(shown web revision)"
same 'no such container' 3 "$(exited d set nobody pids=5)"
same 'nothing to set' 2 "$(exited d set web)"
same 'a revision that is not there any more' 4 "$(exited d set web pids=60 --revision 1)"
same 'and with the right one' 0 "$(exited d set web pids=60 --revision 4)"

echo '--- CPUUNITS over the whole range'
for units in 8 9 50 500 1000 5000 100000 250000 500000; do
    same "cpuunits=$units" 0 "$(exited d set web "cpuunits=$units")"
    weight=$(shown web config.limits.cpu_weight)
    ((weight >= 1 && weight <= 10000)) || fail "cpuunits=$units is weight $weight"
    kernel=$(live web cpu.weight || live web cpu.shares)
    ((kernel == weight || kernel == weight * 1024 / 100)) || fail "weight $weight is $kernel in the kernel"
done
same 'cpuunits=1000' 0 "$(exited d set web cpuunits=1000)"
same 'the default is the default' 100 "$(shown web config.limits.cpu_weight)"

echo '--- memory below what is used: refused, and nobody is killed'
d exec web -- /bin/sh -c 'dd if=/dev/zero of=/fill/x bs=1M count=48' 2>/dev/null || fail 'cannot fill memory'
same 'below use' 8 "$(exited d set web memory=20M)"
grep -q 'uses [0-9]' "$WORK/error" || fail "it does not say what is used: $(cat "$WORK/error")"
same 'the old limit' 100663296 "$(live web memory.max || live web memory.limit_in_bytes)"
same 'the old limit is stored' 100663296 "$(shown web config.limits.memory)"
same 'no event oom' 0 "$(d history web -f jsonl | jq -s 'map(select(.type == "oom")) | length')"
same 'the guest lives' "$pid" "$(d ls web -f json | jq .[0].pid)"
d exec web -- /bin/rm /fill/x
same 'lowered once it is free' 0 "$(exited d set web memory=40M)"
same 'raised' 0 "$(exited d set web memory=max)"

echo '--- what takes a stop'
before=$(shown web config)$(shown web revision)
same 'refused' 4 "$(exited d set web env=A=2 pids=80)"
grep -q '(env)' "$WORK/error" || fail "it does not say which: $(cat "$WORK/error")"
same 'nothing of it was done' "$before" "$(shown web config)$(shown web revision)"
same 'stored' '{"pids":"applied","env":"at_next_start"}' "$(set_keys web env=A=2 env=B=3 pids=80 --next-start)"
same 'said again' '{"env":"at_next_start"}' "$(set_keys web env=A=2)"
same 'it runs as it was' "$pid" "$(d ls web -f json | jq .[0].pid)"
same 'with the old one' 'A=1' "$(tr '\0' '\n' <"/proc/$pid/environ" | grep '^A=')"
same 'a restart performs it' '{"env":"applied"}' "$(set_keys web env=A=2 --restart --timeout 30s)"
same 'another boot' 2 "$(d ls web -f json | jq .[0].generation)"
pid=$(d ls web -f json | jq .[0].pid)
same 'with the new one' $'A=2\nB=3' "$(tr '\0' '\n' <"/proc/$pid/environ" | grep '^[AB]=' | sort)"
same 'limits set live hold at the next boot' 80 "$(live web pids.max)"
same 'an entry is taken out' '{"env":"applied"}' "$(set_keys web env-=B --restart --timeout 30s)"
same 'and is gone' '{"A":"2"}' "$(shown web config.env)"
set_keys web pids=81 --restart >/dev/null
same 'a restart that is not needed' 3 "$(d ls web -f json | jq .[0].generation)"
same 'a list is emptied' '{"env":"at_next_start"}' "$(set_keys web env= --next-start)"
want 0 d set web label=tier=1
same 'labels are added to' '{"role":"web","tier":"1"}' "$(d ls web -f json | jq -cS '.[0].labels')"
same 'a label is what selectors see' web "$(d ls tier=1 -f json | jq -r '.[0].name')"
same 'by a selector' 0 "$(exited d set tier=1 label-=tier)"

echo '--- devices, ptrace and hooks'
script() { # PATH: from standard input
    { printf '#!/bin/sh\n' && cat; } >"$1" && chmod 755 "$1"
}
script "$WORK/began" <<<'echo began >>/told'
script "$WORK/up" <<<"echo up \$DROVER_GENERATION >>$WORK/order"
script "$WORK/down" <<<"echo down \$DROVER_GENERATION >>$WORK/order"
script "$WORK/other" <<<"echo other \$DROVER_GENERATION >>$WORK/order"
same 'it has none' 1 "$(exited d exec web -- test -e /dev/fuse)"
same 'refused' 4 "$(exited d set web fuse=yes)"
grep -q '(fuse)' "$WORK/error" || fail "it does not say which: $(cat "$WORK/error")"
generation=$(d ls web -f json | jq .[0].generation)
same 'a restart performs it' '{"fuse":"applied","tun":"applied","ptrace":"applied","hook":"applied"}' \
    "$(set_keys web fuse=yes tun=yes ptrace=yes "hook=start=$WORK/began" "hook=premount=$WORK/up" \
        "hook=postumount=$WORK/down" --restart --timeout 30s)"
same 'devices' 0 "$(exited d exec web -- test -c /dev/fuse -a -c /dev/net/tun)"
same 'that can be opened' 0 "$(exited d exec web -- /bin/sh -c ': <>/dev/fuse')"
same 'its hook ran' began "$(d exec web -- cat /told)"
same 'stored' '[true,true,true,3]' "$(shown web 'config | [.fuse, .tun, .ptrace, (.hooks | length)]')"
same 'what is so already' unchanged "$(d set web fuse=yes "hook=start=$WORK/began" -f json | jq -r '.[0].receipt')"
same 'without, next time' '{"fuse":"at_next_start","hook":"at_next_start"}' \
    "$(set_keys web fuse=no hook-=premount "hook=postumount=$WORK/other" hook-=start --next-start)"
same 'has it yet' 0 "$(exited d exec web -- test -c /dev/fuse)"
same 'again' '{"hook":"applied"}' "$(set_keys web "hook=premount=$WORK/other" --restart --timeout 30s)"
same 'has none now' 1 "$(exited d exec web -- test -e /dev/fuse)"
same 'emptied' '{"hook":"applied"}' "$(set_keys web hook= --restart --timeout 30s)"
same 'a boot ends with the hooks that it began with' \
    "up $((generation + 1)) down $((generation + 1)) other $((generation + 2)) other $((generation + 2))" \
    "$(xargs <"$WORK/order")"
same 'none is left' '{}' "$(shown web config.hooks)"

echo '--- at rest all is applied at once'
want 0 d kill web
same 'stopped' '{"pids":"applied","env":"applied","init":"applied"}' "$(set_keys web pids=90 env=C=4 init=/sbin/init)"
same 'disabled' 0 "$(exited d set web autostart=disabled)"
same 'a start is refused' 4 "$(exited d start web)"
grep -q disabled "$WORK/error" || fail "it does not say why: $(cat "$WORK/error")"
same 'but with force' 0 "$(exited d start web --force)"
same 'and runs with what was set' 90 "$(live web pids.max)"
same 'the grace of a stop' 0 "$(exited d set web stop-grace=1s)"
same 'a stop' 0 "$(exited d stop web)"
same 'enabled' 0 "$(exited d set web autostart=yes order=5 depends=db)"
same 'stored' '["yes",5,["db"],1000000000]' "$(shown web 'config | [.autostart, .order, .depends, .stop_grace_ns]')"
want 0 d start web

echo '--- frozen'
want 0 d freeze web
same 'limits of a frozen one' '{"memory":"applied","pids":"applied"}' "$(set_keys web memory=64M pids=64)"
same 'live' 64 "$(live web pids.max)"
same 'still frozen' frozen "$(d ls web -f json | jq -r '.[0].state')"
want 0 d kill web

echo '--- through a controller'
controller_start
node_kill TERM
node_start
want 0 d wait web --for stopped --timeout 10s
TO="--controller $CONTROLLER_SOCK"
end=$((SECONDS + 20))
until d node ls -f json | jq -e '.[0].state == "up"' >/dev/null; do
    ((SECONDS < end)) || fail 'the node does not come up'
done
same 'set there' '{"pids":"applied"}' "$(set_keys web pids=33)"
same 'shown there' 33 "$(shown web config.limits.pids)"
TO="--agent $AGENT_SOCK"
same 'shown here' 33 "$(shown web config.limits.pids)"
echo ok
