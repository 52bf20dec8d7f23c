#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: whatever is wrong is said clearly, with its own status, leaves nothing half made and disturbs
# nobody. A real node meets bad names, limits, roots, inits, binds, directories, sockets and peers,
# while one good guest goes on through all of it.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

node_start
template busybox
want 0 d create good --template busybox --start
good=$(d ls good -f json | jq '.[0].pid')

# refuse CODE STATUS COMMAND…: exit code, and the status in the JSON error.
refuse() {
    local code=0 wanted=$1 status=$2 got
    shift 2
    got=$("$@" -f json 2>&1 >/dev/null) || code=$?
    ((code == wanted)) || fail "exit $code, not $wanted: $* ($got)"
    same "status of: $*" "$status" "$(jq -rs '.[-1].error.status' <<<"$got")"
    jq -es '.[-1].error.text | length > 10' <<<"$got" >/dev/null || fail "no words: $*"
}

refuse 3 not_found d start nobody
refuse 2 invalid d create 'Bad_Name' --template busybox
refuse 2 invalid d create "$(printf 'a%.0s' $(seq 64))" --template busybox
refuse 2 invalid d create x --template busybox --memory abc
refuse 2 invalid d create x --template busybox --memory -1
refuse 2 invalid d create x --template busybox --memory 99999999999999999999
refuse 2 invalid d create x --template busybox --pids 0
refuse 2 invalid d create x --template busybox --cpu-weight 10001
refuse 2 invalid d create x --template busybox --cpus 0.00001
refuse 3 not_found d create x --template nobody
refuse 2 invalid d create x --template ../../etc
refuse 2 invalid d create x --template busybox --bind /tmp:relative
refuse 2 invalid d create x --template busybox --bind /etc:/proc
refuse 2 invalid d create x --template busybox --tmpfs /dev/
refuse 2 invalid d create x --template busybox --init sbin/init
same 'nothing half made' good "$(d ls --no-header -o name)"

# Inits of every wrong kind: none is taken for a start, each errno is told.
init_case() {
    local name=$1 root=$WORK/roots/$1
    cp -a "$WORK/roots/busybox" "$root"
    rm -f "$root/sbin/init"
    "init_$name" "$root"
    want 0 d template import "$name" "$root"
    want 0 d create "$name" --template "$name"
}
init_missing() { :; }
init_plain() { printf '#!/bin/sh\nexec /bin/sleep 9\n' >"$1/sbin/init"; }
init_fifo() { mkfifo "$1/sbin/init"; }
init_dir() { mkdir "$1/sbin/init"; }
init_dangling() { ln -s /nowhere/init "$1/sbin/init"; }
init_loop() { ln -s init "$1/sbin/init"; }
init_noshebang() { printf '#!/no/such/interpreter\n' >"$1/sbin/init" && chmod 755 "$1/sbin/init"; }
init_arch() {
    printf '\177ELF\002\001\001\0\0\0\0\0\0\0\0\0\002\0\363\0\001\0\0\0%0100d' 0 >"$1/sbin/init" &&
        chmod 755 "$1/sbin/init"
}
init_escape() { ln -s ../../../../../../../../bin/busybox "$1/sbin/init"; }
init_absolute() { ln -s /bin/busybox "$1/sbin/init"; }
for name in missing plain fifo dir dangling loop noshebang arch; do
    init_case "$name"
    refuse 1 bad_template d start "$name"
    same "state of $name" stopped "$(d ls "$name" -f json | jq -r '.[0].state')"
    d history "$name" -f jsonl | jq -s 'last(.[] | select(.cause != null)) | .cause' |
        grep -q start_failed || fail "$name: its end is no start_failed"
done
# Links inside the root work as the guest sees them, absolute and upwards ones too.
for name in absolute escape; do
    init_case "$name"
    want 0 d start "$name"
    same "busybox of $name" busybox "$(d exec "$name" -- /bin/sh -c 'basename $(readlink /proc/1/exe)')"
    want 0 d kill "$name"
done

# A root that is a link out of the tree; a bind source that is missing; one that appears is used.
ln -s /etc "$WORK/state/templates/linked"
refuse 2 invalid d create x --template linked
rm "$WORK/state/templates/linked"
mkdir "$WORK/source"
want 0 d create bound --template busybox --bind "$WORK/source:/mnt/source:ro"
rmdir "$WORK/source"
refuse 1 bind_source_missing d start bound
mkdir "$WORK/source" && echo shown >"$WORK/source/file"
want 0 d start bound
same 'bind' shown "$(d exec bound -- /bin/cat /mnt/source/file)"
want 1 d exec bound -- /bin/sh -c 'echo x > /mnt/source/new' 2>/dev/null
want 0 d kill bound

# Daemons: a second one on run directory, state directory and cgroup; directories and paths.
agent() { timeout 30 "$BUILD/drover-agent" "$@" >"$WORK/second.log" 2>&1; }
want 8 agent --state-dir "$WORK/s2" --run-dir "$WORK/run" --node other
grep -q "$AGENT_PID" "$WORK/second.log" || fail "the holder is not named: $(cat "$WORK/second.log")"
want 8 agent --state-dir "$WORK/state" --run-dir "$WORK/r2" --node other
grep -q "$AGENT_PID" "$WORK/second.log" || fail "the holder is not named: $(cat "$WORK/second.log")"
want 8 agent --state-dir "$WORK/s2" --run-dir "$WORK/r2" --node other --cgroup "drover.$NODE"
mkdir -m 755 "$WORK/open"
want 9 agent --state-dir "$WORK/open" --run-dir "$WORK/r2" --node other
# Containers without their node.db are lost, and no new node; and nothing is made in its place.
mkdir -m 700 "$WORK/s3"
mkdir -p "$WORK/s3/containers/$(d show good -f json | jq -r '.[0].id')"
for _ in 1 2; do
    want 1 agent --state-dir "$WORK/s3" --run-dir "$WORK/r2" --node lost
    grep -q 's3/node.db is missing; containers that are beside it: 1' "$WORK/second.log" ||
        fail "not said: $(cat "$WORK/second.log")"
    grep -q 'put a copy of node.db back' "$WORK/second.log" || fail 'no word of what to do'
done
[[ ! -e $WORK/s3/node.db ]] || fail 'a new one was made'
rmdir "$WORK"/s3/containers/*-*
mkdir "$WORK/s3/containers/lost+found"
second=$("$BUILD/test.support.daemon_start" "$WORK/third.log" "$BUILD/drover-agent" \
    --state-dir "$WORK/s3" --run-dir "$WORK/r2" --node lost --cgroup "drover.$NODE-l") || fail 'nor without containers'
kill "$second"
ended "$second"
want 2 agent --state-dir "$WORK/s2" --run-dir "$WORK/$(printf 'r%.0s' $(seq 100))" --node other
want 2 agent --state-dir "$WORK/s2" --run-dir "$WORK/r2" --node 'Bad_Node'
want 2 agent --no-such-option
want 2 "$BUILD/drover-controller" --state-dir "$WORK/c2" --run-dir "$WORK/cr2" \
    --listen tcp://0.0.0.0:7700 2>"$WORK/second.log"
grep -qi loopback "$WORK/second.log" || fail "no reason is given: $(cat "$WORK/second.log")"
refuse 2 invalid "$BUILD/drover" --agent "/tmp/$(printf 's%.0s' $(seq 110))" ls
refuse 10 unreachable "$BUILD/drover" --agent "$WORK/none.sock" ls

# A state directory on a file system that cannot be mounted idmapped: only privileged guests there.
# (overlayfs is one on every kernel we know; in a mount namespace of its own.)
mkdir "$WORK"/{lower,upper,workdir,merged,r3}
unshare -m --propagation private bash -c '
    mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/workdir" "$1/merged"
    mkdir -m 700 "$1/merged/state"
    pid=$("$2/test.support.daemon_start" "$1/overlay.log" "$2/drover-agent" \
        --state-dir "$1/merged/state" --run-dir "$1/r3" --node overlaid --cgroup "drover.$3-o")
    "$2/drover" --agent "$1/r3/agent.sock" template import busybox "$1/roots/busybox"
    "$2/drover" --agent "$1/r3/agent.sock" create x --template busybox -f json 2>"$1/overlay.err"
    echo "$?" >"$1/overlay.code"
    kill "$pid"; "$2/test.support.await_end" "$pid"' sh "$WORK" "$BUILD" "$NODE"
same 'no idmapped mounts' 1 "$(cat "$WORK/overlay.code")"
same 'no idmapped mounts' idmap_unsupported "$(jq -rs '.[-1].error.status' "$WORK/overlay.err")"

# Peers on the agent's socket: silent, garbage, oversized, cut short; thousands of them.
socat -u OPEN:/dev/urandom,readbytes=65536 "UNIX-CONNECT:$AGENT_SOCK" 2>/dev/null || true
printf '\377\377\377\377' | socat -t 1 - "UNIX-CONNECT:$AGENT_SOCK" >/dev/null || true
printf '\020\0\0\0abc' | socat -u - "UNIX-CONNECT:$AGENT_SOCK" || true
for _ in $(seq 200); do : | socat -u - "UNIX-CONNECT:$AGENT_SOCK"; done
socat -u "UNIX-CONNECT:$AGENT_SOCK" - >/dev/null & # silent, for as long as we are here
want 0 d exec good -- /bin/true
# And on the keeper's: it serves one agent; others wait, and change nothing.
timeout 2 socat -u OPEN:/dev/urandom,readbytes=65536 "UNIX-CONNECT:$WORK/run/keeper.sock,type=5" 2>/dev/null || true
want 0 d exec good -- /bin/true

# A full disk in the middle of a template's import: nothing of it is left.
mkdir "$WORK"/{small,r4}
dd if=/dev/zero of="$WORK/small.img" bs=1M count=24 status=none
mkfs.ext4 -q "$WORK/small.img"
head -c 30000000 /dev/urandom >"$WORK/roots/busybox/big"
unshare -m --propagation private bash -c '
    mount -o loop "$1/small.img" "$1/small"
    mkdir -m 700 "$1/small/state"
    pid=$("$2/test.support.daemon_start" "$1/small.log" "$2/drover-agent" \
        --state-dir "$1/small/state" --run-dir "$1/r4" --node small --cgroup "drover.$3-s")
    "$2/drover" --agent "$1/r4/agent.sock" template import big "$1/roots/busybox" 2>"$1/small.err"
    echo "$?" >"$1/small.code"
    ls -A "$1/small/state/templates" >"$1/small.left"
    "$2/drover" --agent "$1/r4/agent.sock" ls -f json >"$1/small.ls"
    kill "$pid"; "$2/test.support.await_end" "$pid"' sh "$WORK" "$BUILD" "$NODE"
same 'a full disk' 7 "$(cat "$WORK/small.code")"
grep -qi 'no space' "$WORK/small.err" || fail "it does not say why: $(cat "$WORK/small.err")"
same 'left of the import' '' "$(cat "$WORK/small.left")"
same 'the agent lives' '[]' "$(jq -c . "$WORK/small.ls")"

# A configuration in node.db that is none: it is said, and keeps as it is; what runs by it can be ended, and
# nothing else is the worse for it. One that needs it to boot is refused.
node_kill TERM
cp "$WORK/state/node.db" "$WORK/node.db"
LC_ALL=C sed -i 's/busybox/\xff\xff\xff\xff\xff\xff\xff/g' "$WORK/state/node.db"
node_start
grep -q 'the configuration of good cannot be read' "$WORK/agent.log" || fail 'it does not say what'
same 'the good guest' "$good" "$(d ls good -f json | jq '.[0].pid')"
want 0 d start good
other=$(sed -n 's/.*the configuration of \(.*\) cannot be read.*/\1/p' "$WORK/agent.log" | grep -vx good | sed -n 1p)
want 2 d start "$other" 2>"$WORK/second.err"
grep -q 'cannot be read' "$WORK/second.err" || fail "it does not say why: $(cat "$WORK/second.err")"
# To change it would be to store nearly nothing in its place, of one that runs as of one that does not.
for name in "$other" good; do
    for word in pids=7 env=A=1 autostart=no; do
        want 2 d set "$name" "$word" 2>"$WORK/second.err"
        grep -q "the configuration of $name cannot be read" "$WORK/second.err" ||
            fail "it does not say why: $(cat "$WORK/second.err")"
    done
    same "revision of $name" 1 "$(d show "$name" -f json | jq '.[0].revision')"
done
node_kill TERM
cp "$WORK/node.db" "$WORK/state/node.db"
node_start

same 'the good guest' "$good" "$(d ls good -f json | jq '.[0].pid')"
same 'directories' "$(d ls -f json | jq -r '.[].id' | sort)" "$(ls "$WORK/state/containers" | sort)"
echo "ok"
