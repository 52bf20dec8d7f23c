#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a stop ends, whatever the guest does, in bounded time and by the guest's own shutdown where
# there is one; and nothing of the guest stays, nor does its trouble become another's.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

# A guest that hears nothing: no handler, and neither halt nor init in it.
deaf_root() {
    root_init "$1" <<<'trap "" TERM INT PWR HUP USR1 USR2; while :; do sleep 1000; done'
    rm -f "$WORK/roots/$1"/{sbin,bin}/{halt,reboot,poweroff}
}

# unasked NAME: it was asked once. Where all is slow it does not show in time that it has heard.
unasked() {
    [[ ${DROVER_TEST_SLOW:-1} != 1 ]] || same "$1: escalations" '' "$(escalations "$1")"
}

statement_22() {
    root busybox
    created busybox
    before=$(count_events busybox true)
    want 0 d stop busybox
    d stop busybox -f json | expect 'stop of a stopped one' 'map(.receipt) == ["unchanged"]'
    same 'changes told' 0 "$(count_events busybox '.type == "changed"')"
}

statement_23() {
    template debian
    want 0 d create sd --template debian --memory 512M
    want 0 d start sd --timeout 60s
    want 0 d stop sd
    same 'its own halt' '1 operator_stop {"signalled":2,"core":false}' "$(ends sd)"
    unasked sd
    d logs sd >"$WORK/logs"
    grep -aqE 'Reached target.*(Shutdown|Power-Off)|Stopped ' "$WORK/logs" || {
        tail -n 20 "$WORK/logs"
        fail 'no unit was stopped'
    }
}

statement_24() {
    root busybox
    created busybox
    template sysvinit
    want 0 d create sysvinit --template sysvinit --memory 256M
    want 0 d start busybox sysvinit
    want 0 d stop busybox sysvinit
    for name in busybox sysvinit; do
        same "$name halts" '1 operator_stop {"signalled":2,"core":false}' "$(ends "$name")"
        unasked "$name"
    done
}

statement_25() {
    local began
    deaf_root deaf
    created deaf
    want 0 d start deaf
    began=$(now_ms)
    want 0 d stop deaf --timeout 7000ms # as it is: d has none but those in seconds last longer
    (($(now_ms) - began >= 7000)) || fail "it took $(($(now_ms) - began)) ms alone"
    within "$((began + 7000))" 2000 'what is over its grace'
    same 'killed after its grace' '1 operator_kill {"signalled":9,"core":false}' "$(ends deaf)"
    escalations deaf | grep -qx 'grace of 7 s is over: killed' || fail "told: $(escalations deaf)"
    want 0 d start deaf
    began=$(now_ms)
    want 0 d kill deaf
    within "$began" 2000 'a kill'
}

statement_26() {
    local name
    root busybox
    created busybox
    template sysvinit
    want 0 d create sysvinit --template sysvinit --memory 256M
    for name in busybox sysvinit; do
        for i in 1 2 3 4; do
            want 0 d start "$name" --wait exec
            want 0 d stop "$name" --timeout 20s
        done
        same "$name: all by themselves" 4 "$(count_events "$name" '.cause == "operator_stop"')"
    done
}

# An init that is asked by a command, which is not there: the next way at once, and after the last nobody
# waits. One that answers 1 while it goes down has its time.
statement_27() {
    local began
    root_init missing <<<'trap : USR1; while :; do sleep 1000; done'
    rm -f "$WORK/roots/missing"/{sbin,bin}/{halt,reboot,poweroff,init}.absent
    mv "$WORK/roots/missing/sbin/init" "$WORK/roots/missing/bin/pid1"
    rm -f "$WORK/roots/missing/sbin/"{halt,reboot,poweroff} "$WORK/roots/missing/bin/init"
    created missing --init /bin/pid1 --family sysvinit
    want 0 d start missing
    began=$(now_ms)
    want 0 d stop missing --timeout 60s
    within "$began" 5000 'the stop'
    same 'each way was tried' 3 "$(escalations missing | wc -l)"
    escalations missing | grep -q 'no way of asking is left' || fail "told: $(escalations missing)"

    # The title is what sysvinit shows once it has heard.
    root slow
    cat >"$WORK/roots/slow/bin/pid1" <<'END'
#!/bin/sh
trap 'exec sh -c "exec -a \"init [0]\" sh /bin/goes"' USR1
while :; do sleep 1000 & wait $!; done
END
    printf 'sleep 7\nkill -KILL -1\n/bin/busybox poweroff -f\n' >"$WORK/roots/slow/bin/goes"
    printf '#!/bin/sh\nkill -USR1 1\nsleep 0.5\nexit 1\n' >"$WORK/roots/slow/bin/ask"
    rm "$WORK/roots/slow/sbin/init"
    cp "$WORK/roots/slow/bin/ask" "$WORK/roots/slow/sbin/init"
    chmod 755 "$WORK/roots/slow/bin/"{pid1,ask} "$WORK/roots/slow/sbin/init"
    created slow --init /bin/pid1 --family sysvinit
    want 0 d start slow
    want 0 d stop slow --timeout 60s
    unasked slow
    same 'by itself' operator_stop "$(field slow .cause)"
}

statement_28() {
    root_init bomb <<'END'
bomb() { bomb | bomb & }
bomb
while :; do sleep 1000; done
END
    created bomb --pids 64 --cpus 0.2
    want 0 d start bomb
    want 0 d kill bomb
    same 'state' 'stopped 1 operator_kill' "$(row bomb)"
    nothing_left bomb
}

statement_29() {
    root_init deep <<'END'
cd /sys/fs/cgroup || exit 1
i=0
while [ $i -lt 100 ]; do
    j=0
    mkdir many.$i
    while [ $j -lt 99 ]; do mkdir many.$i/$j; j=$((j + 1)); done
    i=$((i + 1))
done
name=$(printf '%0200d' 0)
while mkdir $name 2>/dev/null && cd $name; do :; done
touch /root/made
while :; do sleep 1000; done
END
    created deep --ready file=/root/made
    want 0 d start deep --timeout 60s
    want 0 d kill deep --timeout 60s
    nothing_left deep
    want 0 d start deep --wait exec
    want 0 d kill deep --timeout 60s
    nothing_left deep
}

statement_30() {
    root busybox
    created busybox
    want 0 d start busybox
    want 0 d freeze busybox
    want 0 d stop busybox --timeout 20s
    same 'it went by itself' 'stopped 1 operator_stop' "$(row busybox)"
    nothing_left busybox
}

# A read that the file system took and does not answer: no signal ends it.
statement_31() {
    local server began
    mkdir "$WORK/hang"
    "$BUILD/test.support.fuse_hang" "$WORK/hang" >"$WORK/served" &
    server=$!
    until grep -q mounted "$WORK/served"; do
        kill -0 "$server" 2>/dev/null || { echo 'skipped: no FUSE on this host' && exit 77; }
    done
    root busybox
    created busybox
    # One whose init is killed for memory, and waits for a child that cannot end.
    # shellcheck disable=SC2016 # the guest's
    root_init hog <<<'/bin/cat /hang/other & until [ -e /go ]; do :; done; a=x; while :; do a=$a$a$a$a; done'
    created hog --memory 16M --swap 0 --bind "$WORK/hang:/hang:plain"
    want 0 d create held --template busybox --bind "$WORK/hang:/hang:plain"
    want 0 d start held busybox
    want 0 d start hog
    until grep -q held "$WORK/served"; do :; done
    d exec hog -- /bin/touch /go || true # and dies with it, perhaps
    want 0 d wait hog --for event=oom --since 2000-01-01T00:00:00Z --timeout 60s >/dev/null
    began=$(now_ms)
    d exec held -- /bin/sh -c '/bin/cat /hang/file & sleep 1000' >/dev/null 2>&1 &
    until (($(grep -c held "$WORK/served") >= 2)); do :; done
    want 5 d kill held
    same 'it is stuck' 'stuck 1 null' "$(row held)"
    want 5 d stop held --timeout 1s
    began=$(now_ms)
    want 0 d stop busybox
    want 0 d start busybox
    within "$began" 10000 'another one'
    until (($(now_ms) - began > 3000)); do read -rt 0.1 <> <(:) || true; done
    node_kill KILL
    node_start
    same 'it still dies' running "$(field hog .state)"
    kill "$server"
    wait "$server" || true
    want 0 d stop held --timeout 20s
    same 'gone at last' stopped "$(field held .state)"
    nothing_left held
    want 0 d wait hog --for stopped --timeout 20s
    same 'what it died of' '1 oom {"signalled":9,"core":false}' "$(ends hog)"
    nothing_left hog
}

statement_33() {
    local before
    root busybox
    created busybox
    want 0 d start busybox
    want 0 d stop busybox
    before=$(find "/proc/$AGENT_PID/fd" | wc -l)
    for i in 1 2 3; do
        want 0 d start busybox
        want 0 d stop busybox
    done
    nothing_left busybox
    (($(find "/proc/$AGENT_PID/fd" | wc -l) <= before)) || fail 'descriptors leak'
    keeper=$(cat "$V2/drover.$NODE/keeper/cgroup.procs")
    same 'children of the keeper' '' "$(cat "/proc/$keeper/task/$keeper/children")"
}

statement_37() {
    local i began
    root busybox
    want 0 d template import busybox "$WORK/roots/busybox"
    for i in $(seq 10); do want 0 d create "b-$i" --template busybox; done
    want 0 d start 'b-*'
    began=$(now_ms)
    want 0 d stop 'b-*'
    within "$began" 10000 'ten, of 2 s each'
    d ls 'b-*' -f json | expect 'all by themselves' 'all(.[]; .cause == "operator_stop")'
}

# Nothing is mounted on the host for a container, so that nothing is left to unmount, and no verb says so.
# Nor does a guest mount anything there, where the host's mounts are shared, as systemd has them.
statement_34() {
    local before
    root busybox
    mkdir "$WORK/shared"
    mount --bind "$WORK/shared" "$WORK/shared" && mount --make-shared "$WORK/shared"
    UNDO='umount -R "$WORK/shared"'
    mkdir "$WORK/shared/data"
    cp -a "$WORK/roots/busybox" "$WORK/shared/own"
    created busybox --bind "$WORK/shared/data:/data"
    want 0 d create own --root "$WORK/shared/own" --privileged
    before=$(sort /proc/self/mountinfo)
    want 0 d start busybox own
    want 0 d exec busybox -- /bin/mount -t tmpfs none /data
    same 'the mounts of the host' "$before" "$(sort /proc/self/mountinfo)"
    want 0 d kill own
    want 0 d destroy own
    want 2 d umount busybox 2>/dev/null
    want 0 d stop busybox --timeout 20s
    same 'the mounts of the host' "$before" "$(sort /proc/self/mountinfo)"
    umount "$WORK/shared"
    UNDO=''
    nothing_left busybox
    echo 'not applicable but for that: a root is mounted in its own namespace alone'
}

# A shell of the host stands in the root, and holds a file of it: in nobody's way.
statement_35() {
    local began
    root busybox
    created busybox
    want 0 d start busybox
    pid=$(field busybox .pid)
    (cd "/proc/$pid/root/root" && exec tail -f "/proc/$pid/root/etc/passwd" >/dev/null) &
    holder=$!
    until [[ $(readlink "/proc/$holder/exe") == */tail ]]; do :; done
    began=$(now_ms)
    want 0 d stop busybox --timeout 20s
    within "$began" 10000 'a stop while somebody stands in its root'
    same 'it is stopped' stopped "$(field busybox .state)"
    nothing_left busybox
    want 0 d start busybox
    want 0 d exec busybox -- /bin/true
    kill -0 "$holder" || fail 'the shell of the host was ended'
    kill "$holder"
    echo 'not applicable but for that: there is no state stopped and mounted, as nothing is mounted on the host'
}

run_statement "$2"
