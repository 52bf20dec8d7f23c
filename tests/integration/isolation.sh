#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what an operator loosens for one container works there, and for that one alone: containers in
# a container, FUSE, tun, debuggers. Each is tried in a guest that has it and in one of the defaults, and
# is still so after the agent was killed and the guest rebooted.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

node_start
template busybox >/dev/null
make() {
    want 0 d create "$@" --template busybox --memory 64M --swap 0 --pids 64 \
        --bind "$BUILD/test.support.hostile:/hostile:ro" --start >/dev/null
}
make plain
make nested --nested
make files --fuse --tun
make debugged --ptrace
d show nested -f json | expect 'what nested shows' '.[0].config | .nested and (.fuse or .tun or .ptrace | not)'
d show files -f json | expect 'what files shows' '.[0].config | .fuse and .tun and (.nested or .ptrace | not)'

# inner NAME: a container of the guest's own, as small as they come; "inner" when its proc and sysfs are up.
inner() {
    d exec "$1" -- /bin/unshare -U -r -m -p -n -f /bin/sh -c \
        'mount -t proc none /proc && mount -t sysfs none /sys && [ $$ = 1 ] && echo inner' 2>&1 || true
}
# met NAME WAY: what a way out of hostile.c met there.
met() {
    d exec "$1" -- /hostile escapes /none | awk -v way="$2" '$1 == way { print $2 }'
}
range() {
    awk '{ print $1, $3 }' "/proc/$(d ls "$1" -f json | jq '.[0].pid')/uid_map"
}

check() {
    same 'containers in a container' inner "$(inner nested)"
    [[ $(inner plain) == *'permission denied'* ]] || fail "a container in a guest of the defaults: $(inner plain)"
    same 'keyrings in nested' 'done' "$(met nested keyring)"
    # Keys are known by number to all: those of the host's sessions are not to be read.
    read -r _ serial _ < <("$BUILD/test.support.hostile" keys)
    ((serial > 0)) || fail 'this shell has no keyring'
    [[ $(d exec nested -- /hostile keys "$serial") =~ (EACCES|ENOKEY)$ ]] || fail "the host's keyring $serial"
    read -r _ own _ < <(d exec nested -- /hostile keys)
    [[ $own != "$serial" ]] || fail 'a guest in the keyring of the host'
    same 'its range' '0 262144' "$(range nested)"
    same 'the range of others' '0 65536' "$(range plain)"

    same 'fuse' 'done' "$(met files fuse)"
    same 'a tun device' 'tun0: up' \
        "$(d exec files -- /bin/sh -c 'tunctl -t tun0 >/dev/null && ip link set tun0 up && echo tun0: up')"
    same 'no disks beside them' EPERM "$(met files disk)"
    same 'nor fuse for others' ENOENT "$(met plain fuse)"

    same 'debuggers' 'done' "$(met debugged process_memory)"
    same 'no debuggers' EPERM "$(met plain process_memory)"
    same 'no keyrings with debuggers' ENOSYS "$(met debugged keyring)"
}
check

# No two ranges overlap, whatever their sizes and order.
for i in 1 2 3; do
    make "more-$i"
    make "more-nested-$i" --nested
done
d ls -f json | jq '.[].pid' | while read -r pid; do awk '{ print $2, $2 + $3 }' "/proc/$pid/uid_map"; done |
    sort -n >"$WORK/ranges"
same 'ranges' 10 "$(wc -l <"$WORK/ranges")"
awk 'NR > 1 && $1 < end { exit 1 } { end = $2 }' "$WORK/ranges" || fail "ranges overlap: $(cat "$WORK/ranges")"
want 0 d destroy 'more-*' --force >/dev/null

node_kill KILL
node_start
check
want 0 d reboot --all >/dev/null
check
echo ok
