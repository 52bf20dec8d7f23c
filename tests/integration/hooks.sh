#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a node's own scripts around each boot can mount a root and refuse a boot, and can neither hang
# the node, nor leave anything behind, nor show on the host. Scripts that do each of these run on a real node.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

hooks=$WORK/hooks
mkdir "$hooks"
node_start --hooks-dir "$hooks"
template busybox
mkdir "$WORK/empty"
want 0 d create web --template busybox
want 0 d create other --template busybox

# hook POINT: a script from standard input; without any it is taken away.
hook() {
    rm -f "$hooks/$1"
    { printf '#!/bin/sh\n' && cat; } >"$hooks/.new" && chmod 755 "$hooks/.new"
    mv "$hooks/.new" "$hooks/$1"
}
no_hooks() { rm -f "$hooks"/*; }

leaves() { find "$V2/drover.$NODE" -maxdepth 1 -name 'web.*' | wc -l; }

# Up: premount, mount, then init. Down: umount, postumount, when all of it is gone. Each is told whom.
for point in premount mount umount postumount; do
    hook "$point" <<<"echo $point \$DROVER_NAME \$DROVER_GENERATION \$DROVER_NODE \$DROVER_ID >>$WORK/order"
done
want 0 d start web
same 'the way up' "$(printf '%s web 1 '"$NODE"' %s\n' premount "$(d ls web -o id --no-header)" \
    mount "$(d ls web -o id --no-header)")" "$(cat "$WORK/order")"
want 0 d stop web --timeout 10s
same 'the way down' 'premount mount umount postumount' "$(cut -d' ' -f1 "$WORK/order" | xargs)"
rm "$WORK/order"
want 0 d start web
d exec web -- reboot -f >/dev/null 2>&1 || true
want 0 d wait web --for generation=3 --timeout 30s
same 'a reboot goes down and up' 'premount 2 mount 2 umount 2 postumount 2 premount 3 mount 3' \
    "$(cut -d' ' -f1,3 "$WORK/order" | xargs)"
want 0 d kill web
no_hooks

# A container's own are inside the node's: after them on the way up, before them on the way down.
rm "$WORK/order"
for point in premount umount; do
    hook "$point" <<<"echo $point \$DROVER_NAME >>$WORK/order"
done
printf '#!/bin/sh\necho own${0##*/own} $DROVER_NAME >>%s\n' "$WORK/order" >"$WORK/own"
chmod 755 "$WORK/own"
want 0 d create mine --template busybox --hook "premount=$WORK/own" --hook "umount=$WORK/own"
d show mine -f json | expect 'they are shown' '.[0].config.hooks.premount | endswith("/own")'
want 0 d start mine
want 0 d start web
want 0 d kill mine web
[[ $(grep ' mine$' "$WORK/order" | cut -d' ' -f1 | xargs) == 'premount own own umount' ]] ||
    fail "$(cat "$WORK/order")"
same "the node's alone" 'premount umount' "$(grep ' web$' "$WORK/order" | cut -d' ' -f1 | xargs)"
want 2 d create bad --template busybox --hook premount=relative 2>/dev/null
want 0 d destroy mine
no_hooks

# What mount leaves on DROVER_ROOT is the root, if it says 39; the host's mounts are as they were.
echo other >"$WORK/roots/busybox/which"
before=$(sort /proc/self/mountinfo)
hook mount <<<"mount --bind $WORK/roots/busybox \$DROVER_ROOT && exit 39"
want 0 d start web
same 'its root' other "$(d exec web -- cat /which)"
same 'nothing on the host' "$before" "$(sort /proc/self/mountinfo)"
want 0 d kill web
hook mount <<<"mount --bind $WORK/roots/busybox \$DROVER_ROOT" # and no word of skipping
want 0 d start web
want 1 d exec web -- test -e /which
want 0 d kill web
hook mount <<<"mount --bind $WORK/empty \$DROVER_ROOT && exit 39"
want 1 d start web 2>"$WORK/err"
grep -q 'no init in what its mount hook mounted' "$WORK/err" || fail "$(cat "$WORK/err")"
same 'nothing is left' 0 "$(leaves)"

# One that fails ends the boot with its words, and the next is not run.
hook premount <<<'echo "the storage is away" >&2; exit 3'
hook mount <<<"touch $WORK/ran"
want 1 d start web -f json 2>"$WORK/err"
expect 'why' '.error.status == "hook_failed" and (.error.text | contains("premount exited 3: the storage is away"))' \
    <"$WORK/err"
[[ ! -e $WORK/ran ]] || fail 'the next hook ran'
same 'nothing is left' 0 "$(leaves)"
d history web -f json | expect 'the end says so' \
    'map(select(.type == "changed" and .cause != null)) | .[-1].cause == "start_failed"'
chmod 644 "$hooks/premount"
want 1 d start web 2>"$WORK/err"
grep -q 'premount cannot be executed' "$WORK/err" || fail "$(cat "$WORK/err")"

# One that hangs, or whose child keeps its output open, is killed with all it started; nobody else waits.
no_hooks
hook premount <<<"[ \$DROVER_NAME = web ] || exit 0; sleep 1000 & echo \$! >$WORK/child; exit 0"
d start web 2>"$WORK/err" &
starter=$!
until [[ -s $WORK/child ]]; do read -rt 0.05 <> <(:) || true; done
want 0 d start other --timeout 5s
want 5 wait "$starter"
grep -q 'premount was killed at its deadline' "$WORK/err" || fail "$(cat "$WORK/err")"
[[ ! -e /proc/$(cat "$WORK/child") ]] || fail 'its child lives'
same 'nothing is left' 0 "$(leaves)"

# A kill that comes before the keeper has made the helper meets an empty leaf: it is said again when the
# helper is there, and the script's deadline is not waited for.
no_hooks
hook premount <<<"echo \$\$ >$WORK/unwanted; sleep 1000"
hook mount <<<"touch $WORK/ran"
keeper=$(keeper_pid)
kill -STOP "$keeper"
d start web >/dev/null 2>&1 &
starter=$!
until compgen -G "$V2/drover.$NODE/web.*/exec.*" >/dev/null; do :; done
for _ in 1 2 3 4 5; do d ls >/dev/null; done # the order for it has left by then
d kill web --timeout 60s &
killer=$!
until [[ $(d ls web -o state --no-header) == killing ]]; do :; done
kill -CONT "$keeper"
began=$(date +%s%N)
want 0 wait "$killer"
(($(date +%s%N) - began < 4000000000 * ${DROVER_TEST_SLOW:-1})) || fail 'the kill waited for the deadline of a script'
wait "$starter" && fail 'it started'
[[ ! -s $WORK/unwanted || ! -e /proc/$(cat "$WORK/unwanted") ]] || fail 'the script lives'
[[ ! -e $WORK/ran ]] || fail 'the next hook ran'
same 'nothing is left' 0 "$(leaves)"

# On the way down failure is told to the log alone: what was there goes.
no_hooks
want 0 d start web
hook umount <<<'sleep 1000'
hook postumount <<<"touch $WORK/down; exit 1"
want 0 d kill web
[[ -e $WORK/down ]] || fail 'the last hook did not run'
same 'nothing is left' 0 "$(leaves)"
grep -q 'hook umount was killed at its deadline; it is cleaned up' "$WORK/agent.log" || fail 'nothing in the log'

# One that is frozen is cleaned up no less.
rm -f "$WORK/down" "$hooks/umount"
want 0 d start web
want 0 d freeze web
want 0 d kill web
[[ -e $WORK/down ]] || fail 'the hook of a frozen one did not run'

# The agent dies under a hook: what it began is gone, and the next agent knows of it.
no_hooks
hook premount <<<"[ \$DROVER_NAME = web ] || exit 0; echo \$\$ >$WORK/hanging; sleep 1000"
d start web >/dev/null 2>&1 &
starter=$!
until [[ -s $WORK/hanging ]]; do read -rt 0.05 <> <(:) || true; done
node_kill KILL
wait "$starter" || true
ended "$(cat "$WORK/hanging")"
no_hooks
node_start --hooks-dir "$hooks"
want 0 d wait web --for stopped >/dev/null
same 'as it was' stopped "$(d ls web -o state --no-header)"
same 'nothing is left' 0 "$(leaves)"
want 0 d start web
want 0 d destroy --force web other >/dev/null
