#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a start that returns before its guest is ready, or never. A guest says it by a text on its
# console, a file, a port, early, late, never, and while no agent lives; what was said is not lost, and
# one that says nothing is killed or kept, as its owner wished, without holding anybody else up.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

row() { d ls "$1" -f json | jq -r '.[0] | "\(.state) \(.ready) \(.cause)"'; }

node_start
template busybox
# A guest with a task of its own at boot: FIFO /go holds it until the test says so.
cp -a "$WORK/roots/busybox" "$WORK/roots/told"
mkfifo "$WORK/roots/told/go"
cat >"$WORK/roots/told/boot" <<'END'
#!/bin/sh
mount -o remount,rw / 2>/dev/null
read -r what </go
case $what in
    console) printf 'one two rea' >/dev/console; printf 'dy three\n' >/dev/console ;;
    file) mkdir -p /run/deep && touch /run/deep/ready ;;
    link) ln -s /proc/1/root/etc/passwd /run/link ;;
    tcp) while :; do nc -l -p 4711 -e /bin/true; done ;; # a dead agent's probe may come to it first
esac
END
chmod 755 "$WORK/roots/told/boot"
sed -i 's|^::sysinit:.*|&\n::once:/boot|' "$WORK/roots/told/etc/inittab"
want 0 d template import told "$WORK/roots/told"
say() { D_SECONDS=20 d exec "$1" -- /bin/sh -c "echo $2 >/go" || fail "$1 hears nothing"; }

# make NAME READY OPTION…: and `show` says of it what was asked for
make() {
    local name=$1 ready=$2
    shift 2
    want 0 d create "$name" --template told --ready "$ready" "$@"
    d show "$name" -f json | jq -e --arg ready "$ready" '.[0].config.ready == $ready' >/dev/null ||
        fail "$name: show does not say $ready"
}

# Each is booting until it says so, then running; start returns then.
make console console=ready
make file file=/run/deep/ready
make tcp tcp=4711
for name in console file tcp; do
    d start "$name" --timeout 60s &
    starting=$!
    want 0 d wait "$name" --for event=changed --since 0 --timeout 20s >/dev/null
    until [[ $(row "$name") == 'booting false null' ]]; do
        [[ $(row "$name") != 'running'* ]] || fail "$name: ready before it said so"
    done
    say "$name" "$name"
    wait "$starting" || fail "$name: start ended with $?"
    same "$name" 'running true null' "$(row "$name")"
done

# Said while no agent lived: it is a level.
for name in console file tcp; do
    want 0 d stop "$name" --timeout 1s
    want 0 d start "$name" --detach
    until [[ $(row "$name") == 'booting false null' ]]; do :; done
    pid=$(d ls "$name" -f json | jq '.[0].pid')
    node_kill KILL
    timeout 20 sh -c "echo $name >/proc/$pid/root/go" || fail "$name hears nothing"
    case $name in # it is done before the next agent looks
        file) until [[ -e /proc/$pid/root/run/deep/ready ]]; do :; done ;;
        tcp) until grep -q :1267 "/proc/$pid/net/tcp6" "/proc/$pid/net/tcp"; do :; done ;;
    esac
    node_start
    want 0 d wait "$name" --for running --timeout 20s
    same "$name, after the agent's death" 'running true null' "$(row "$name")"
done

# Never ready: killed at its time, with a timeout; or kept, and ready later.
make late console=ready --ready-timeout 1s
began=$SECONDS
want 5 d start late
((SECONDS - began < 15)) || fail "it took $((SECONDS - began)) s to give up"
same 'killed' 'stopped false boot_timeout' "$(row late)"
make kept file=/run/deep/ready --ready-timeout 1s --ready-policy keep
want 5 d start kept
same 'kept' 'booting false null' "$(row kept)"
want 0 d exec kept -- /bin/true
say kept file
want 0 d wait kept --for running --timeout 20s
same 'ready at last' 'running true null' "$(row kept)"
# A link of the guest's leads nowhere but into the guest.
make link file=/run/link/no --ready-timeout 1s
d start link --wait exec
say link link
want 0 d wait link --for stopped --timeout 20s

# What makes no sense is refused before anything is made.
for ready in console= file=relative tcp=0 tcp=65536 tcp=x sometimes; do
    want 2 d create bad --template told --ready "$ready"
done
want 2 d create bad --template told --ready-policy sometimes
want 2 d create bad --template told --family windows
want 3 d show bad
echo "ok"
