#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: whoever in a guest holds a lock of the kernel's that the host would wait for, where no kill
# reaches it, makes nobody of the host wait (I8): not the agent by the pipes and terminals of commands,
# not the keeper by what is sent to a notify socket. And what stands between loses no octet of a command,
# tells its end at once, and goes with it.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"
D_SECONDS=30

controller_start
node_start
node_back
template busybox >/dev/null
evil() {
    want 0 d create evil --template busybox --memory 64M --pids 64 --ready notify \
        --bind "$BUILD/test.support.hostile:/hostile:ro" >/dev/null
    want 0 d start evil --wait exec >/dev/null
}
evil
want 0 d create neighbour --template busybox --start >/dev/null

# calm WHAT: both daemons are awake, and serve.
calm() {
    local keeper pid
    same "the neighbour under $1" works "$(d exec --timeout 5s neighbour -- /bin/echo works)"
    read -r keeper <"$V2/drover.$NODE/keeper/cgroup.procs"
    for pid in "$AGENT_PID" "$keeper"; do
        [[ $(awk '$1 == "State:" { print $2 }' "/proc/$pid/status") != D ]] ||
            fail "$(cat "/proc/$pid/comm") waits in $(cat "/proc/$pid/wchan") under $1"
    done
    echo "calm under $1"
}
# relays CONTAINER: pids of what stands between its commands and the agent.
relays() {
    local pid
    { cat "$V2/drover.$NODE/$1.1"/exec.*/cgroup.procs 2>/dev/null || true; } | while read -r pid; do
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) != drover-relay ]] || echo "$pid"
    done
}
gone() { # CONTAINER: its leaves go with their relays
    until [[ -z $(find "$V2/drover.$NODE/$1.1" -maxdepth 1 -name 'exec.*') ]]; do :; done
}

# ---- a lock that stays held ----
head -c 300000 /dev/zero >"$WORK/zeros"
for what in out in; do
    code=0
    d exec evil -- /hostile hold "$what" <"$WORK/zeros" 2>"$WORK/err" >/dev/null || code=$?
    case $what:$code in
        in:0) ;; # nothing was being written at that moment
        *:125) grep -q 'output is not all here' "$WORK/err" || fail "$what: $(<"$WORK/err")" ;;
        *) fail "$what: $code, $(<"$WORK/err")" ;;
    esac
    same "relays that wait under $what" 1 "$(relays evil | wc -l)"
    calm "a pipe held by its $what"
    want 0 d kill evil --timeout 10s >/dev/null
    want 0 d destroy evil >/dev/null
    evil
done
# A client that goes away while the lock is held: what is closed then is closed by the relay.
: >"$WORK/err" # the next client opens it when it comes to it
"$BUILD/drover" $TO exec evil -- /bin/sh -c '/hostile hold out; sleep 1000' >"$WORK/out" 2>"$WORK/err" &
client=$!
until grep -q holds "$WORK/err"; do :; done
kill "$client"
wait "$client" && fail 'a client that was ended did well'
calm 'a client that went'
# One that never ends keeps nobody from the end of the command it was left behind by.
want 0 d exec evil -- /hostile hold tail >"$WORK/out" 2>/dev/null
calm 'an endless writer left behind'
# Its last reader is a descriptor in a datagram: whoever throws that away closes it.
code=0
timeout "$(slowly 10)" "$BUILD/drover" $TO exec evil -- /hostile hold notify >"$WORK/out" 2>"$WORK/err" || code=$?
((code != 124)) || fail "the end of a command is not told: $(<"$WORK/err")"
grep -qE 'notify (holds|EPERM)' "$WORK/err" || fail "it was not sent: $(<"$WORK/err")"
calm "a descriptor that was sent: $(<"$WORK/err")"
want 0 d kill evil --timeout 10s >/dev/null
calm 'its end'

# ---- what is left of many commands ----
# A guest that holds the pipe of each has so many, and no more: the node's places are for all.
want 0 d create crowd --template busybox --memory 256M --pids 512 --ready notify \
    --bind "$BUILD/test.support.hostile:/hostile:ro" >/dev/null
want 0 d start crowd --wait exec >/dev/null
clients=()
# ask_crowd COUNT COMMAND…: in the background; $clients
ask_crowd() {
    local i
    for ((i = 0; i < $1; i++)); do
        "$BUILD/drover" $TO exec crowd -- "${@:2}" </dev/null >/dev/null 2>&1 &
        clients+=($!)
    done
}
ask_crowd 16 /hostile hold out
for client in "${clients[@]}"; do
    wait "$client" && fail 'a command whose output was held did well'
done
same 'what is left of commands' 16 "$(relays crowd | wc -l)"
ask_crowd 16 /bin/sleep 1000
until (($(relays crowd | wc -l) == 32)); do :; done
for to in "--agent $AGENT_SOCK" "--controller $CONTROLLER_SOCK"; do
    TO=$to want 125 d exec crowd -- /bin/true 2>"$WORK/err"
    grep -q 'crowd has 32 streams open.*all that it may have' "$WORK/err" || fail "$(<"$WORK/err")"
    TO=$to want 8 d logs crowd 2>"$WORK/err"
done
calm 'a guest with all its streams'
kill "${clients[-1]}" # one place is free when it is gone
wait "${clients[-1]}" && fail 'a command that was ended did well'
until d exec crowd -- /bin/true 2>"$WORK/err"; do
    grep -q 'crowd has 32 streams' "$WORK/err" || fail "$(<"$WORK/err")"
done
want 0 d kill crowd --timeout 10s >/dev/null
for client in "${clients[@]:16}"; do
    wait "$client" || true
done
want 0 d start crowd --wait exec >/dev/null
want 0 d exec crowd -- /bin/true
want 0 d destroy crowd --force >/dev/null

# ---- octets, ends, codes ----
ask() {
    TO=$1
    shift
    d exec neighbour -- "$@"
}
head -c 20000000 /dev/urandom >"$WORK/random"
for to in "--agent $AGENT_SOCK" "--controller $CONTROLLER_SOCK"; do
    same 'both ways' "$(sha256sum <"$WORK/random")" "$(ask "$to" /bin/cat <"$WORK/random" | sha256sum)"
    same 'two outputs' 'out' "$(ask "$to" /bin/sh -c 'echo out; echo err >&2' 2>"$WORK/err")"
    same 'two outputs' 'err' "$(<"$WORK/err")"
    same 'an end of input' 3 "$(printf 'a\nb\nc\n' | ask "$to" /bin/wc -l)"
    want 0 ask "$to" /bin/sh -c 'exec <&-; exit 0' <"$WORK/random"
    want 31 ask "$to" /bin/sh -c 'exec >&- 2>&-; exit 31'
    same 'by name' 'one two' \
        "$(ask "$to" /bin/sh -c 'echo one >/dev/stdout; echo two >/dev/stderr' 2>&1 | paste -sd' ')"
    same 'by name, input' three "$(echo three | ask "$to" /bin/cat /dev/stdin)"
    same 'a terminal' 'terminal' \
        "$(TO=$to d exec -t neighbour -- /bin/sh -c 'test -t 0 && echo terminal' </dev/null | tr -d '\r')"
done
same 'as another user' 'five' "$(d exec --user 5 neighbour -- /bin/sh -c 'echo five >/dev/stderr' 2>&1)"
want 127 d exec neighbour -- /no/such 2>/dev/null
TO="--agent $AGENT_SOCK"
# More than a pipe holds, to a reader who comes when the command has ended.
mkfifo "$WORK/slow" && exec 7<>"$WORK/slow"
d exec neighbour -- /bin/sh -c 'cat >/tmp/all' <"$WORK/random"
d exec neighbour -- /bin/sh -c 'head -c 150000 /tmp/all; echo >/tmp/over' >&7 &
slow=$!
until d exec neighbour -- /bin/test -e /tmp/over; do :; done
same 'a late reader' "$(head -c 150000 "$WORK/random" | sha256sum)" "$(head -c 150000 <&7 | sha256sum)"
wait "$slow" || fail 'a late reader: its end'
exec 7>&-
same 'before a deadline' before \
    "$(d exec --timeout 1s neighbour -- /bin/sh -c 'echo before; sleep 1000' 2>/dev/null || true)"
gone neighbour

# ---- what is killed ----
# begin: a command that goes on; $RELAY stands before it.
begin() {
    : >"$WORK/out" # the client opens it when it comes to it: what is read till then is no older one's
    "$BUILD/drover" $TO exec neighbour -- /bin/sh -c 'echo began; sleep 1000' >"$WORK/out" 2>"$WORK/err" &
    CLIENT=$!
    until grep -q began "$WORK/out"; do :; done
    RELAY=$(relays neighbour)
    [[ -n $RELAY ]] || fail 'nothing stands between'
}
# over CODE
over() {
    local code=0
    wait "$CLIENT" || code=$?
    same 'the code of what was cut off' "$1" "$code"
    ended "$RELAY"
    same 'what goes on inside' '' "$(d exec neighbour -- /bin/ps | grep 'sleep 1000' || true)"
    gone neighbour
}
begin
kill -KILL "$RELAY"
over 125
grep -q 'not all here' "$WORK/err" || fail "$(<"$WORK/err")"
begin
kill -TERM "$CLIENT"
over 143
begin
node_kill KILL
node_start
node_back
over 125
begin
kill -KILL "$(keeper_pid)"
over 125
begin
want 0 d kill neighbour >/dev/null
wait "$CLIENT" && fail 'it ended well'
ended "$RELAY"
echo ok
