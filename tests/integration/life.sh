#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: one guest's whole life, and that nothing of it stays. A real busybox guest is made, booted,
# entered, rebooted and halted by itself and by us, frozen, ended and destroyed; then the host is
# looked at.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

state() { d ls "$1" -f json | jq -r '.[0] | "\(.state) \(.generation) \(.cause)"'; }
ends() {
    d history "$1" -f jsonl |
        jq -r 'select(.type == "changed" and .cause != null) | "\(.generation) \(.cause) \(.status | tojson)"'
}

fds_before=''
node_start
template busybox
fds_before=$(find "/proc/$AGENT_PID/fd" | wc -l)

# Made, booted, entered.
want 0 d create one --template busybox --memory 64M --pids 64 --cpus 1.5 --label tier=web
same created "stopped 0 null" "$(state one)"
want 4 d create one --template busybox
want 0 d start one

# A wait that is over tells the state of its end, not of its beginning.
want 0 d create late --template busybox
d wait late --for generation=9 --timeout 3s 2>"$WORK/late" &
want 0 d start late
wait $! && fail 'it was met'
grep -q 'it is running' "$WORK/late" || fail "wait says: $(cat "$WORK/late")"
want 0 d destroy late --force

same started "running 1 null" "$(state one)"
d ls -f json | expect 'ls' '.[0] | .pid > 1 and .ready and (.labels.tier == "web") and .started != null and .ip == []'
same 'unchanged' 0 "$(d start one >/dev/null; echo $?)"
want 7 d exec one -- /bin/sh -c 'exit 7'
want 127 d exec one -- /no/such/command
want 126 d exec one -- /etc/passwd
want 143 d exec one -- /bin/sh -c 'kill -TERM $$'
want 124 d exec --timeout 200ms one -- /bin/sh -c 'sleep 1000 & sleep 1000'
want 125 d exec nobody -- /bin/true
same 'exec out' 'out' "$(d exec one -- /bin/sh -c 'echo out; echo err >&2' 2>/dev/null)"
same 'exec err' 'err' "$(d exec one -- /bin/sh -c 'echo out; echo err >&2' 2>&1 >/dev/null)"
head -c 3000000 /dev/urandom >"$WORK/random"
same 'binary in and out' "$(sha256sum <"$WORK/random")" "$(d exec one -- /bin/cat <"$WORK/random" | sha256sum)"
same 'root inside' 'uid=0(root) gid=0(root)' "$(d exec one -- /bin/id | cut -d' ' -f1-2)"
same 'user inside' '1000' "$(d exec --user guest one -- /bin/id -u)"
same 'nobody outside' 1 "$(awk '/^Uid:/ { print ($2 >= 65536) }' "/proc/$(d ls one -f json | jq '.[0].pid')/status")"
same 'environment' 'b c' "$(d exec --env 'A=b c' one -- /bin/sh -c 'echo "$A"')"
same 'directory' '/tmp' "$(d exec --cwd /tmp one -- /bin/pwd)"
same 'hostname' one "$(d exec one -- /bin/hostname)"
d exec one -- /bin/sh -c 'cat /proc/1/environ' | tr '\0' '\n' >"$WORK/environ"
for word in container=drover 'TERM=linux' 'HOME=/' "container_uuid=$(d ls one -f json | jq -r '.[0].id')"; do
    grep -qx "$word" "$WORK/environ" || fail "PID 1's environment lacks $word"
done
same 'limits' "$((64 << 20))" "$(cat /sys/fs/cgroup/memory/drover."$NODE"/one.1/memory.limit_in_bytes 2>/dev/null ||
    cat "$V2/drover.$NODE/one.1/memory.max")"

# The guest reboots itself, then halts itself.
d exec one -- /sbin/reboot || true
want 0 d wait one --for generation=2 --timeout 20s
d exec one -- /bin/sh -c 'echo kept > /root/kept'
d exec one -- /sbin/poweroff || true
want 0 d wait one --for stopped --timeout 20s
same 'halted' 'stopped 2 guest_halt' "$(state one)"
same 'ends' '1 guest_reboot {"signalled":1,"core":false}
2 guest_halt {"signalled":2,"core":false}' "$(ends one)"
want 125 d exec one -- /bin/true
want 4 d freeze one

# We reboot, freeze, thaw, stop and kill it.
want 0 d start one
same 'file kept' kept "$(d exec one -- /bin/cat /root/kept)"
want 0 d reboot one
same 'rebooted' 'running 4 null' "$(state one)"
want 0 d freeze one
same 'frozen' 'frozen 4 null' "$(state one)"
want 125 d exec one -- /bin/true
want 0 d freeze one
want 0 d thaw one
want 0 d exec one -- /bin/true
want 0 d stop one
same 'stopped' 'stopped 4 operator_stop' "$(state one)"
want 0 d stop one
want 0 d start one
want 0 d kill one
same 'killed' 'stopped 5 operator_kill' "$(state one)"
d logs one >"$WORK/console" || fail "no logs of a stopped container"
d boot one -f json |
    expect 'boot' 'map(.step) | (index("cgroup") and index("plan") and index("clone") and index("exec"))'
want 0 d start one
want 4 d destroy one
want 0 d destroy --force one
want 3 d show one
same 'gone' '[]' "$(d ls -f json | jq -c .)"
d history one -f json |
    expect 'history of what is destroyed' 'any(.[]; .type == "destroyed") and length > 10'

# Nothing is left: no cgroup, mount, directory, descriptor or process but the keeper.
for root in $(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts); do
    [[ -z $(find "$root/drover.$NODE" -mindepth 1 -maxdepth 1 -type d ! -name keeper 2>/dev/null) ]] ||
        fail "a cgroup is left in $root"
done
same 'mounts' '' "$(grep -F "$WORK" /proc/mounts || true)"
same 'directories' '' "$(ls "$WORK/state/containers")"
fds_after=$(find "/proc/$AGENT_PID/fd" | wc -l)
# A client that was just leaving may have counted at first.
((fds_after <= fds_before)) || fail "descriptors of the agent: $fds_before at first, $fds_after at the end"
keeper=$(keeper_pid)
same 'children of the keeper' '' "$(cat "/proc/$keeper/task/$keeper/children")"
# It has its turn beside guests that use all processors.
weight=$(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts | while read -r root; do
    cat "$root/drover.$NODE/keeper/"cpu.{weight,shares} 2>/dev/null || true
done)
[[ $weight == 1000 || $weight == 10240 ]] || fail "the weight of the keeper is $weight"
node_kill TERM
ended "$keeper"
[[ ! -e $V2/drover.$NODE ]] || fail "the keeper left its cgroup"
echo "ok"
