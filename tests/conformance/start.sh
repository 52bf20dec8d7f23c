#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: "started" is said of a guest whose init runs, and of no other. Which file becomes PID 1, what
# it sees, and what is told and left behind when nothing can.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

# argument NAME N: of PID 1; the first of a script is its interpreter
argument() { inside "$1" /proc/1/cmdline | tr '\0' '\n' | sed -n "$2p"; }

# refused NAME: no init could be executed: said as such, within a second, and nothing is left
refused() {
    local began
    began=$(now_ms)
    d start "$1" -f json 2>"$WORK/error" && fail "$1 started"
    within "$began" 1000 "$1"
    expect "$1" '.error.status == "bad_template"' <"$WORK/error"
    same "$1: boots" 0 "$(count_events "$1" '.to == "booting" or .to == "running"')"
    nothing_left "$1"
}

statement_01() {
    root none
    rm -f "$WORK/roots/none"/{sbin,etc,bin}/init
    created none
    refused none
}

statement_02() {
    root_init bin <<<'while :; do sleep 1000; done'
    mv "$WORK/roots/bin/sbin/init" "$WORK/roots/bin/bin/init"
    created bin
    want 0 d start bin
    same 'PID 1' /bin/init "$(argument bin 2)"
}

statement_03() {
    local kind
    for kind in plain text interpreter; do
        root "$kind"
        rm "$WORK/roots/$kind/sbin/init"
        case $kind in
            plain) install -m 644 /bin/busybox "$WORK/roots/$kind/sbin/init" ;;
            text) install -m 755 /dev/null "$WORK/roots/$kind/sbin/init" && echo text >"$WORK/roots/$kind/sbin/init" ;;
            interpreter)
                printf '#!/no/such/interpreter\n' >"$WORK/roots/$kind/sbin/init"
                chmod 755 "$WORK/roots/$kind/sbin/init"
                ;;
        esac
        created "$kind"
        refused "$kind"
        expect "$kind names errnos" '.error.text | test("/sbin/init: .*/etc/init: .*/bin/init: ")' <"$WORK/error"
        printf '#!/bin/sh\nwhile :; do sleep 1000; done\n' >"$WORK/roots/$kind/bin/init"
        chmod 755 "$WORK/roots/$kind/bin/init"
        want 0 d create "$kind-next" --root "$WORK/roots/$kind" --privileged
        want 0 d start "$kind-next"
        same "$kind: the next one" /bin/init "$(argument "$kind-next" 2)"
    done
}

statement_04() {
    local kind
    for kind in fifo directory dangling; do
        root "$kind"
        rm "$WORK/roots/$kind/sbin/init"
        case $kind in
            fifo) mkfifo -m 755 "$WORK/roots/$kind/sbin/init" ;;
            directory) mkdir "$WORK/roots/$kind/sbin/init" ;;
            dangling) ln -s ../no/where "$WORK/roots/$kind/sbin/init" ;;
        esac
        created "$kind"
        refused "$kind"
    done
}

statement_05() {
    export DROVER_TEST_NOT_FOR_GUESTS=1
    node_kill TERM
    node_start
    root_init told <<<'while :; do sleep 1000; done'
    created told --env A=b --env 'C=d e'
    want 0 d start told
    same 'arguments' '/sbin/init|-z|      |' "$(inside told /proc/1/cmdline | tr '\0' '|' | cut -d'|' -f2-)"
    same 'environment' "A=b
C=d e
HOME=/
TERM=linux
container=drover
container_uuid=$(field told .id)" "$(inside told /proc/1/environ | tr '\0' '\n' | LC_ALL=C sort)"
}

statement_06() {
    root_init told <<'END'
exec /bin/sleep 1000
END
    created told
    node_kill TERM
    umask 077
    ulimit -Sn 333
    node_start
    umask 022
    want 0 d start told
    pid=$(field told .pid)
    same 'namespace pid' 1 "$(awk '/^NSpid/ { print $3 }' "/proc/$pid/status")"
    same 'groups' '' "$(awk '/^Groups:/ { $1 = ""; gsub(/ /, ""); print }' "/proc/$pid/status")"
    same 'session leader' "$pid" "$(awk '{ print $6 }' "/proc/$pid/stat")"
    same 'umask' 0022 "$(awk '/^Umask/ { print $2 }' "/proc/$pid/status")"
    same 'descriptors' '0 1 2' "$(cd "/proc/$pid/fd" && echo *)"
    [[ $(awk '/^Max open files/ { print $4 }' "/proc/$pid/limits") != 333 ]] ||
        fail 'the limit of whoever started the agent is inherited'
}

statement_07() {
    root busybox
    created busybox
    want 0 d start busybox
    pid=$(field busybox .pid)
    d start busybox -f json | expect 'start of a running one' 'map(.receipt) == ["unchanged"]'
    same 'the same init' "$pid" "$(field busybox .pid)"
    want 0 d freeze busybox
    want 0 d start busybox
    same 'thawed' "running 1 null" "$(row busybox)"
    same 'the same init' "$pid" "$(field busybox .pid)"
}

statement_15() {
    root_init seven <<<'exit 7'
    created seven
    began=$(date -u +%FT%T)
    d start seven || true
    want 0 d wait seven --for stopped --timeout 20s
    same 'end' '1 exited {"exited":7}' "$(ends seven)"
    d history seven -f json | expect 'its time' "map(select(.cause != null))[0].time >= \"$began\""
    nothing_left seven
}

# The agent is ended after each step of a start: whole, or nothing.
statement_16() {
    local step
    root busybox
    created busybox
    for step in plan_made cgroup_part cgroup_made launch_unsent launch_sent; do
        node_kill TERM
        DROVER_DIE_AT=$step node_start
        d start busybox --timeout 20s >"$WORK/out" 2>&1 || true
        node_kill KILL
        node_start
        case $(row busybox) in
            running*)
                want 0 d exec busybox -- /bin/true
                want 0 d kill busybox
                ;;
            stopped*) ;;
            *) want 0 d wait busybox --for stopped --timeout 40s ;;
        esac
        nothing_left busybox
    done
}

statement_17() {
    local i
    root busybox
    created busybox
    for i in $(seq 8); do
        d start busybox --detach >/dev/null
        want 0 d stop busybox --timeout 20s
        [[ $(row busybox) == stopped* ]] || fail "after a stop of a start: $(row busybox)"
        same 'an end each' "$i" "$(count_events busybox '.cause != null')"
    done
}

# What a node that crashed left, and what is not ours.
statement_21() {
    root busybox
    created busybox
    want 0 d start busybox
    want 0 d kill busybox
    node_kill TERM
    mkdir -p "$V2/drover.$NODE/busybox.9" "$V2/drover.$NODE/alien"
    sleep 1000 &
    alien=$!
    echo "$alien" >"$V2/drover.$NODE/alien/cgroup.procs"
    node_start
    want 0 d start busybox
    kill -0 "$alien" || fail 'a foreign process was killed'
    [[ ! -d $V2/drover.$NODE/busybox.9 ]] || fail 'a stale cgroup is left'
    kill "$alien"
}

# Where the host has name=systemd, it is not refused: integration.old_systemd.
statement_60() {
    root old
    cat >"$WORK/without" <<'END'
#!/bin/bash
exec unshare --mount --propagation private bash -c '
    for at in $(awk "\$3 == \"cgroup\" && \$4 ~ /name=systemd/ { print \$2 }" /proc/mounts); do
        umount "$at" || exit
    done
    exec "$0" "$@"' "$AGENT" "$@"
END
    chmod 755 "$WORK/without"
    node_kill TERM
    AGENT=$BUILD/drover-agent AGENT_BIN=$WORK/without node_start
    mkdir -p "$WORK/roots/old/lib/systemd"
    {
        cat /bin/busybox
        printf 'systemd 215 running in %%ssystem mode. (+PAM +AUDIT)\0'
    } >"$WORK/roots/old/lib/systemd/systemd"
    chmod 755 "$WORK/roots/old/lib/systemd/systemd"
    ln -sf ../lib/systemd/systemd "$WORK/roots/old/sbin/init"
    created old
    d start old -f json 2>"$WORK/error" && fail 'it started'
    expect 'refused' '.error.status == "guest_unsupported" and (.error.text | test("215"))' <"$WORK/error"
    nothing_left old
}

run_statement "$2"
