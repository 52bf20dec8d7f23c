#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a guest that takes what it can, or lays out what the host looks at, harms itself alone. Each
# rage ends in a bound that is told, the node answers meanwhile, a neighbour works and has what it needs,
# and the raging guest can be killed and started again.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

node_start
template busybox >/dev/null
# make NAME OPTION…: made, not started.
make() {
    want 0 d create "$1" --template busybox --memory "${MEMORY:-64M}" --swap 0 --pids 48 \
        --bind "$BUILD/test.support.hostile:/hostile:ro" "${@:2}" >/dev/null
}
# script NAME TEXT: made, with an init of its own.
script() {
    printf '#!/bin/sh\n%s\n' "$2" >"$WORK/$1.sh" && chmod 755 "$WORK/$1.sh"
    make "$1" --bind "$WORK/$1.sh:/own:ro" --init /own
}
make evil --start
make neighbour --start
PID=$(d ls neighbour -f json | jq '.[0].pid')
D_SECONDS=20

# calm WHAT: the neighbour is the same, and works.
calm() {
    same "the neighbour under $1" works "$(d exec --timeout 15s neighbour -- /bin/echo works)"
    same "its PID 1 under $1" "$PID" "$(d ls neighbour -f json | jq '.[0].pid')"
    echo "calm under $1"
}
keeper_fds() {
    local pid
    read -r pid <"$V2/drover.$NODE/keeper/cgroup.procs"
    find "/proc/$pid/fd" -mindepth 1 | wc -l
}
# again: evil dies and lives.
again() {
    want 0 d kill evil >/dev/null
    [[ ! -e $V2/drover.$NODE/evil.$1 ]] || fail "evil.$1 is still there"
    want 0 d start evil >/dev/null
}

# ---- all processes, all memory, all groups ----
# What has ended counts until the kernel has freed it: on a busy machine more than 64 MiB of it.
MEMORY=512M make forker --start
want 124 d exec --timeout 2s forker -- /hostile forks 2>/dev/null
calm 'a fork bomb that was ended'
want 0 d exec forker -- /bin/true
want 0 d destroy --force forker >/dev/null
# An init that is one: until its limit is met, and while it is killed.
MEMORY=512M script bomb 'exec /hostile forks'
want 0 d start bomb >/dev/null
full() {
    local root
    while read -r root; do
        [[ $(cat "$root/drover.$NODE/bomb.1/pids.current" 2>/dev/null || echo 0) -lt 47 ]] || return 0
    done < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
    return 1
}
until full; do calm 'a fork bomb' >/dev/null; done
calm 'a fork bomb'
want 0 d kill bomb >/dev/null
[[ ! -e $V2/drover.$NODE/bomb.1 ]] || fail 'bomb.1 is still there'
calm 'its end'

want 137 d exec evil -- /hostile memory 2>/dev/null
d history evil -f jsonl | jq -s 'any(.[]; .type == "oom")' | grep -q true || fail "no event says oom"
calm 'a memory bomb'

same 'groups side by side' 'groups EAGAIN' "$(d exec evil -- /hostile groups 10000 | awk '{ print $1, $3 }')"
made=$(find "$V2/drover.$NODE/evil.1" -type d | wc -l)
((made >= 1000 && made <= 1100)) || fail "$made groups"
calm "$made groups"
again 1
same 'groups in each other' 'deep 32 EAGAIN' "$(d exec evil -- /hostile deep 10000)"
calm 'a path longer than PATH_MAX'
again 2

# ---- what is counted by owner: the neighbour has its own ----
# hold NAME WHAT N: it takes them and keeps them; $HELD is what it says, or that its memory was at an end.
hold() {
    local pid
    d exec "$1" -- /hostile "$2" "$3" >"$WORK/$1.$2" 2>/dev/null &
    pid=$!
    until [[ -s $WORK/$1.$2 ]] || ! kill -0 "$pid" 2>/dev/null; do calm "$2" >/dev/null; done
    HELD=$(<"$WORK/$1.$2")
    [[ -n $HELD ]] || HELD="$2 memory"
}
for what in inotify files; do
    hold evil "$what" 1000000
    [[ $HELD =~ (EMFILE|memory)$ ]] || fail "$what: $HELD"
    taken=$HELD
    hold neighbour "$what" 100
    same "$what of the neighbour" "$what 100 done" "$HELD"
    calm "$taken"
    # What the kernel holds for it is nobody's own: at the end of its memory its init may be who is killed.
    want 0 d start evil >/dev/null
done
d exec evil -- /hostile signals 1000000 >"$WORK/signals"
d exec evil -- /hostile spaces 1000 >"$WORK/spaces"
[[ $(<"$WORK/signals") == *EAGAIN ]] || fail "signals: $(<"$WORK/signals")"
[[ $(<"$WORK/spaces") =~ (ENOSPC|EUSERS)$ ]] || fail "user namespaces: $(<"$WORK/spaces")"
calm "$(<"$WORK/signals"), $(<"$WORK/spaces")"

# Pseudo terminals are the whole machine's: only where that is ours alone.
if [[ $(hostname) == drover-vm ]]; then
    make terminals --memory 1G --start
    hold terminals ptys 1000000
    [[ $HELD == *ENOSPC ]] || fail "ptys: $HELD"
    make late --start # its console is of the kernel's reserve
    calm "$HELD"
    want 0 d kill terminals >/dev/null
fi
again 3

# ---- console and notify socket ----
same 'a console of 40 MB' 'console 10000 done' "$(d exec evil -- /hostile console 10000)"
(($(d logs evil | wc -c) <= 65536 + 4096)) || fail 'more is kept of the console than its ring'
calm 'a flood of the console'
make loud --ready notify
want 0 d start loud --wait exec >/dev/null
before=$(keeper_fds)
d exec loud -- /hostile notify 20000 >"$WORK/notify"
[[ $(<"$WORK/notify") =~ ^notify\ 20000\ done ]] || fail "notify: $(<"$WORK/notify")"
same 'descriptors of the keeper' "$before" "$(keeper_fds)"
calm 'a flood of the notify socket'
want 0 d kill loud >/dev/null

# ---- a session that does not read, an init that hears nothing, one that reboots for ever ----
want 124 d exec --timeout 2s evil -- /bin/sleep 1000 < <(head -c 64M /dev/zero) 2>/dev/null
calm 'a command that does not read'

script deaf 'for n in $(seq 1 64); do trap "" $n; done 2>/dev/null
exec 0<&- 1>&- 2>&-
while :; do sleep 1000; done'
want 0 d start deaf >/dev/null
want 0 d stop deaf --timeout 2s >/dev/null
same 'one that ignores every signal' operator_kill "$(d ls deaf -f json | jq -r '.[0].cause')"
script restless 'usleep 100000; exec reboot -f'
want 0 d start restless >/dev/null
want 0 d wait restless --for generation=4 --timeout 30s >/dev/null
calm 'a guest that reboots'
want 0 d kill restless >/dev/null
d ls restless -f json | expect 'it is down' '.[0].state == "stopped"'

# ---- symbolic links and FIFOs where the host looks ----
d exec evil -- /bin/sh -c 'rm /etc/passwd; mkfifo /etc/passwd'
want 125 d exec --timeout 5s --user guest evil -- /bin/true 2>/dev/null
d exec evil -- /bin/sh -c "rm /etc/passwd; ln -s $WORK/state /etc/passwd"
want 125 d exec --timeout 5s --user guest evil -- /bin/true 2>/dev/null
calm 'a passwd that is none'
d exec evil -- /bin/sh -c 'umount -l /dev/pts; mount -t tmpfs none /dev/pts; mkfifo /dev/pts/ptmx'
want 125 d exec -t --timeout 5s evil -- /bin/true >/dev/null 2>&1
d exec evil -- /bin/sh -c 'umount -l /dev/console; rm /dev/console; mkfifo /dev/console'
calm 'a terminal that is none'
# For the next boot: each place that is mounted on leads out.
d exec evil -- /bin/sh -c "umount -l /run /dev/shm; for name in run tmp dev sys; do
        umount -l /\$name; rm -rf /\$name; ln -s ../../../../..$WORK/\$name /\$name; done" 2>/dev/null || true
want 0 d kill evil >/dev/null
d start evil --timeout 20s >/dev/null 2>&1 || true
ls "$WORK" >"$WORK/names"
grep -xE 'tmp|dev|sys' "$WORK/names" && fail 'the guest made files on the host'
calm 'links out of its root'
want 0 d kill evil >/dev/null

# ---- an init that is exchanged while it is being started ----
cp -a "$WORK/roots/busybox" "$WORK/flip"
want 0 d create flip --root "$WORK/flip" --memory 64M --pids 48 >/dev/null
make flipper --bind "$WORK/flip/sbin:/flip" --start
d exec flipper -- /hostile flip 2>/dev/null &
ended=''
# Until it was right once, and wrong once.
for ((i = 0; i < 100 && (i < 20 || $(tr ' ' '\n' <<<"$ended" | sort -u | wc -l) < 3); i++)); do
    code=0
    d start flip --timeout 15s >/dev/null 2>"$WORK/flip.err" || code=$?
    ((code == 0 || code == 1 || code == 4)) || fail "start of flip: $code, $(<"$WORK/flip.err")"
    ended+=" $code"
    d kill flip >/dev/null || true
done
echo "starts with an init that changes:$ended"
[[ $ended == *' 0'* && $ended == *' 1'* ]] || fail 'it was never exchanged in time'
calm 'an init that changes'
want 0 d kill --all >/dev/null
echo ok
