#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what stands around a boot on the host: the root that is to be there, and the node's scripts.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

# script PATH: an executable one from standard input.
script() {
    { printf '#!/bin/sh\n' && cat; } >"$1" && chmod 755 "$1"
}

statement_09() {
    mkdir "$WORK/area"
    want 0 d create gone --root "$WORK/area" --privileged
    rmdir "$WORK/area"
    want 3 d start gone 2>"$WORK/err"
    grep -q "$WORK/area" "$WORK/err" || fail "it does not say what is missing: $(cat "$WORK/err")"
    nothing_left gone
    want 3 d start nobody 2>/dev/null
    want 2 d create 'Not_A_Name' --root "$WORK" 2>/dev/null
    want 2 d create rootless 2>/dev/null
    same 'nothing was made' gone "$(d ls -o name --no-header)"
}

statement_11() {
    root busybox
    echo mounted >"$WORK/roots/busybox/which"
    script "$WORK/mount" <<<"mount --bind $WORK/roots/busybox \$DROVER_ROOT && exit 39"
    mkdir -p "$WORK/empty"
    want 0 d create own --root "$WORK/empty" --hook "mount=$WORK/mount"
    want 0 d start own
    same 'the root that the hook mounted' mounted "$(d exec own -- cat /which)"
    want 0 d kill own
    nothing_left own
}

statement_13() {
    root busybox
    created busybox
    script "$WORK/hangs" <<<'sleep 1000'
    script "$WORK/leaves" <<<"sleep 1000 & echo \$! >$WORK/child"
    want 0 d create hangs --template busybox --hook "premount=$WORK/hangs"
    want 0 d create leaves --template busybox --hook "mount=$WORK/leaves"
    d start hangs 2>/dev/null &
    one=$!
    d start leaves 2>/dev/null &
    two=$!
    until [[ $(field hangs .state) == preparing && -s $WORK/child ]]; do :; done
    want 0 d start busybox --timeout 5s
    want 5 wait "$one"
    want 5 wait "$two"
    [[ ! -e /proc/$(cat "$WORK/child") ]] || fail 'what it left lives'
    nothing_left hangs
    nothing_left leaves
}

run_statement "$2"
