#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a guest whose systemd is older than 230 knows no cgroup v2; where the host has name=systemd it
# is given a group there and boots, stops and reboots as any other. Its root gains nothing by that: no way
# to the host's release_agent, whatever it mounts, and no group that outlives it. The guest's init does
# with cgroups what systemd 219 does (tests/support/old_systemd.c).
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

NAMED=$(awk '$3 == "cgroup" && $4 ~ /(^|,)name=systemd(,|$)/ { print $2; exit }' /proc/mounts)
if [[ -z $NAMED ]]; then
    echo "skipped: this host has no hierarchy name=systemd"
    exit 77
fi
OURS=$NAMED/drover.$NODE

ends() { d history old -f jsonl | jq -r 'select(.cause != null) | "\(.generation) \(.cause)"'; }
pid_of() { d ls "$1" -f json | jq '.[0].pid'; }
# Where a process is in name=systemd, as the host sees it.
group_of() { sed -n 's/^[0-9]*:name=systemd://p' "/proc/$1/cgroup"; }

guest_run busybox "$WORK/roots/old"
mkdir -p "$WORK/roots/old/lib/systemd"
cp "$BUILD/test.support.old_systemd" "$WORK/roots/old/lib/systemd/systemd"
ln -sf ../lib/systemd/systemd "$WORK/roots/old/sbin/init"
node_start
template old >/dev/null
template busybox >/dev/null
make() {
    want 0 d create "$@" --memory 64M --swap 0 --pids 64 \
        --bind "$BUILD/test.support.hostile:/hostile:ro" >/dev/null
}
make old --template old
make plain --template busybox --start

# ---- it boots, says READY itself, and is entered ----
want 0 d start old --timeout 20s
d ls old -f json | expect 'running by READY' '.[0] | .state == "running" and .ready'
same 'its group' "/drover.$NODE/old.1/system.slice" "$(group_of "$(pid_of old)")"
same 'the group of a command' 1:name=systemd:/ "$(d exec old -- /bin/grep name=systemd /proc/self/cgroup |
    sed 's/^[0-9]*/1/')"
same 'its release agent' 'Failed to install release agent, ignoring: No such file or directory' \
    "$(d logs old | tr -d '\r' | grep 'release agent')"
read -r owner name < <(stat -c '%u %n' "$OURS/old.1/cgroup.procs")
((owner >= 65536)) || fail "$name is of $owner"
same 'what is not its own' 0 "$(stat -c %u "$OURS/old.1/notify_on_release")"
same 'others have none' '' "$(find "$OURS" -name 'plain*')"

# ---- it reboots by itself and by us, stops, and is adopted ----
want 0 d reboot old --timeout 20s
same 'its group' "/drover.$NODE/old.2/system.slice" "$(group_of "$(pid_of old)")"
[[ ! -e $OURS/old.1 ]] || fail 'a group of the generation before is left'
d exec old -- /bin/sh -c 'kill -s 39 1' # SIGRTMIN+5
want 0 d wait old --for generation=3 --timeout 20s
node_kill KILL
node_start
same 'a command after adoption' in "$(d exec old -- /bin/echo in)"
want 0 d stop old --timeout 20s
same 'ends' '1 operator_reboot
2 guest_reboot
3 operator_stop' "$(ends)"
same 'no escalation' 0 "$(d history old -f jsonl | jq -c 'select(.type == "escalated")' | wc -l)"
same 'groups' "$OURS
$OURS/keeper" "$(find "$OURS" -type d)"
# Of a boot that was cut off, too.
want 0 d start old --wait exec
node_kill KILL
want 0 kill -KILL "$(keeper_pid)"
node_start
want 0 d kill old
[[ ! -e $OURS/old.4 ]] || fail 'a group of a killed generation is left'

# ---- ways out ----
cat >"$WORK/expected" <<'END'
agent ENOENT
agent_mounted ENOENT
agent_option EINVAL|EPERM
agent_remount EINVAL|EPERM
agent_new EPERM
agent_below ENOENT
agent_inside ENOENT|EPERM
notify EACCES
notify_mounted EACCES
clone_children EACCES
above EXDEV
END
# met NAME GUEST
met() {
    d exec "$2" -- /hostile named >"$WORK/met"
    paste -d' ' "$WORK/expected" "$WORK/met" | awk -v who="$1" \
        '$1 != $3 || $4 !~ "^(" $2 ")$" { print "FAILED: " who ": " $0; bad = 1 } END { exit bad }' >&2
}
agent_before=$(cat "$NAMED/release_agent" "$NAMED/notify_on_release")
hierarchies=$(grep -c cgroup /proc/mounts)
want 0 d start old --timeout 20s >/dev/null
met 'with masks' old
# Where it is not mounted any more, or never was, what is left is to mount it oneself.
sed -i 's/^\(agent\|agent_remount\|notify\|clone_children\|above\) .*/\1 ENOENT|EINVAL|EPERM|EXDEV/' "$WORK/expected"
d exec old -- /hostile unmask >/dev/null
met 'without masks' old
met 'of the defaults' plain
same "the host's release agent" "$agent_before" "$(cat "$NAMED/release_agent" "$NAMED/notify_on_release")"
same 'hierarchies' "$hierarchies" "$(grep -c cgroup /proc/mounts)"

# ---- groups without end: it is ended for them, and they go with it ----
D_SECONDS=100
# rages WHAT N: the guest does, and is ended for it.
rages() {
    local generation
    want 0 d start old --timeout 20s >/dev/null
    generation=$(d ls old -f json | jq '.[0].generation')
    want 137 d exec old -- /hostile "$1" "$2" >/dev/null 2>&1
    same 'a neighbour' works "$(d exec plain -- /bin/echo works)"
    want 0 d wait old --for stopped --timeout 90s >/dev/null
    d ls old -f json | expect 'how it ended' '.[0] | .cause == "signalled" and .status.signalled == 9'
    grep -q "old.$generation has more than .* groups in name=systemd" "$WORK/agent.log" ||
        fail 'nobody said why'
    same 'groups' "$OURS
$OURS/keeper" "$(find "$OURS" -maxdepth 1 -type d ! -name 'plain*')"
}
want 0 d kill old >/dev/null
rages named-groups 10000000
# One that was made under an earlier agent is counted by the next one.
want 0 d start old --timeout 20s >/dev/null
d exec old -- /bin/sh -c 'cd /sys/fs/cgroup/systemd && for i in $(seq 40); do mkdir d && cd d; done; kill -STOP $$' \
    >/dev/null 2>&1 &
until [[ -n $(find "$OURS" -mindepth 36 -name d -print -quit 2>/dev/null) ]]; do :; done
node_kill KILL
node_start
want 0 d wait old --for stopped --timeout 30s >/dev/null
same 'groups' "$OURS
$OURS/keeper" "$(find "$OURS" -type d)"
want 0 d kill --all >/dev/null
echo ok
