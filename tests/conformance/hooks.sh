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

# One of each point fails, on the way up: its words, and nothing is left of it.
statement_10() {
    local point
    root busybox
    want 0 d template import busybox "$WORK/roots/busybox"
    for point in premount mount start; do
        script "$WORK/$point" <<<"echo no $point >&2; exit 7"
        want 0 d create "$point" --template busybox --hook "$point=$WORK/$point"
        want 1 d start "$point" -f json 2>"$WORK/error"
        expect "$point" '.error.status == "hook_failed" and (.error.text | contains("exited 7: no '"$point"'"))' \
            <"$WORK/error"
        same "$point: boots" 0 "$(count_events "$point" '.to == "booting" or .to == "running"')"
        same "$point: its end" '1 start_failed null' "$(ends "$point")"
        nothing_left "$point"
    done
    # Its network namespace, and what it had in it, went with the last process.
    same 'processes' '' "$(cat "$V2/drover.$NODE/keeper/cgroup.procs" | xargs -I% cat /proc/%/task/%/children)"
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

# Each writes down when it ran, those inside by the clock of the host as well.
statement_12() {
    local point order='premount+ premount- mount+ mount- start+ start-'
    order+=' stop- stop+ umount- umount+ postumount- postumount+'
    root busybox
    want 0 d template import busybox "$WORK/roots/busybox"
    mkdir "$WORK/node" "$WORK/own" "$WORK/order"
    chmod 777 "$WORK/order"
    for point in premount mount start stop umount postumount; do
        script "$WORK/node/$point" <<<"cut -d' ' -f1 /proc/uptime >$WORK/order/$point+"
        script "$WORK/own/$point" <<<"cut -d' ' -f1 /proc/uptime >$WORK/order/$point-"
    done
    node_kill TERM
    node_start --hooks-dir "$WORK/node"
    # shellcheck disable=SC2046 # one option a point
    want 0 d create busybox --template busybox --bind "$WORK/order:$WORK/order" \
        $(for point in premount mount start stop umount postumount; do echo "--hook $point=$WORK/own/$point"; done)
    want 0 d start busybox
    same 'up' "$(tr ' ' '\n' <<<"$order" | head -n 6)" "$(ls -tr "$WORK/order")"
    want 0 d stop busybox --timeout 20s
    same 'up and down' "$(tr ' ' '\n' <<<"$order")" "$(ls -tr "$WORK/order")"
    # By the monotonic clock as well; the guest's is the host's.
    ls -tr "$WORK/order" | while read -r point; do cat "$WORK/order/$point"; done >"$WORK/times"
    sort -nc "$WORK/times" || fail 'not by the monotonic clock'
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

statement_32() {
    root busybox
    script "$WORK/stop" <<<'echo busy >&2; exit 9'
    want 0 d template import busybox "$WORK/roots/busybox"
    want 0 d create busybox --template busybox --hook "stop=$WORK/stop"
    want 0 d start busybox
    pid=$(field busybox .pid)
    for verb in stop reboot; do
        want 1 d "$verb" busybox -f json 2>"$WORK/error"
        expect "$verb" '.error.status == "hook_failed" and (.error.text | contains("exited 9: busy"))' <"$WORK/error"
        same "$verb leaves it" "running 1 null $pid" "$(row busybox) $(field busybox .pid)"
        want 0 d exec busybox -- /bin/true
    done
    script "$WORK/stop" <<<'exit 0'
    want 0 d stop busybox --timeout 20s
    same 'its end' 'stopped 1 operator_stop' "$(row busybox)"
}

run_statement "$2"
