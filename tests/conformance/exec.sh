#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what runs inside beside the guest's own, what is refused meanwhile, and what is shown of it.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

statement_48() {
    root_init deaf <<<'trap "" TERM INT PWR; while :; do sleep 1000; done'
    created deaf
    want 0 d start deaf
    d stop deaf --timeout 60s >/dev/null 2>&1 &
    until [[ $(field deaf .state) == stopping ]]; do :; done
    d freeze deaf -f json 2>"$WORK/error" && fail 'a second command'
    expect 'busy, naming it' '.error.status == "busy" and (.error.text | test("stop"))' <"$WORK/error"
    want 0 d show deaf >/dev/null
    want 0 d exec deaf -- /bin/true
    want 0 d kill deaf
    wait $! && fail 'the displaced command was done'
    want 0 d start deaf
}

statement_49() {
    root busybox
    created busybox
    want 125 d exec busybox -- /bin/true
    want 0 d start busybox
    want 127 d exec busybox -- /no/such
    want 31 d exec busybox -- /bin/sh -c 'exit 31'
    want 1 d exec busybox -- /bin/false
    head -c 1000000 /dev/urandom >"$WORK/random"
    same 'binary' "$(sha256sum <"$WORK/random")" "$(d exec busybox -- /bin/cat <"$WORK/random" | sha256sum)"
    same 'two outputs' 'out' "$(d exec busybox -- /bin/sh -c 'echo out; echo err >&2' 2>"$WORK/err")"
    same 'two outputs' 'err' "$(cat "$WORK/err")"
    want 124 d exec --timeout 300ms busybox -- /bin/sh -c 'sleep 777 & sleep 777'
    same 'its whole tree is gone' '' "$(d exec busybox -- /bin/ps | grep 'sleep 777' || true)"
}

statement_50() {
    root busybox
    created busybox
    want 0 d start busybox
    d exec busybox -- /bin/sleep 1000 2>"$WORK/err" &
    until d exec busybox -- /bin/ps | grep -q 'sleep 1000'; do :; done
    want 0 d stop busybox --timeout 20s
    code=0
    wait $! || code=$?
    [[ $code == 137 || $code == 143 ]] || fail "code $code: neither of the end of its container, nor of its shutdown"
    want 0 d start busybox
    want 0 d exec busybox -- /bin/true
}

statement_51() {
    root busybox
    want 3 d show busybox
    created busybox
    same 'made' 'stopped 0 null' "$(row busybox)"
    want 0 d start busybox
    pid=$(field busybox .pid)
    grep -q "/busybox.1/guest$" "/proc/$pid/cgroup" || fail "PID $pid is not in its cgroup"
    want 0 d freeze busybox
    same 'frozen' 1 "$(cat "$V2/drover.$NODE/busybox.1/cgroup.freeze")"
    same 'shown so' 'frozen 1 null' "$(row busybox)"
    want 0 d thaw busybox
    want 0 d kill busybox
    same 'its end' 'stopped 1 operator_kill' "$(row busybox)"
}

run_statement "$2"
