#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a stock Debian with systemd is a first-class guest, in its own user namespace. It says READY
# itself, works, changes files of its template, stops by its own shutdown, and reboots from inside.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

# Units that a container without network and udev may fail; anything else is a fault of ours.
allowed_failures='systemd-networkd-wait-online.service|systemd-udev-settle.service'

node_start
template debian
want 0 d create sd --template debian --memory 1G --pids 1024
began=$(date +%s%N)
want 0 d start sd --timeout 60s
echo "ready after $((($(date +%s%N) - began) / 1000000)) ms"
d ls sd -f json | expect 'running by READY' '.[0] | .state == "running" and .ready'
d boot sd -f json | expect 'READY came after exec' 'map(.step) | index("ready") > index("exec")'

running=$(d exec sd -- /usr/bin/systemctl is-system-running --wait || true)
failed=$(d exec sd -- /usr/bin/systemctl --failed --plain --no-legend | awk '{ print $1 }')
echo "systemd says: $running ${failed:+($failed)}"
[[ $running == running || $running == degraded ]] || fail "systemd says $running"
same 'failed units' '' "$(grep -Evx "$allowed_failures" <<<"$failed" || true)"
[[ $running == running || -n $failed ]] || fail "degraded without a failed unit"

# Its own ids, and root is nobody outside.
pid=$(d ls sd -f json | jq '.[0].pid')
read -r inside outside count <"/proc/$pid/uid_map"
same 'uid map' '0 65536' "$inside $count"
((outside >= 65536)) || fail "guest root is $outside outside"
same 'virtualisation' container-other "$(d exec sd -- /usr/bin/systemd-detect-virt || true)"
same 'PID 1' systemd "$(d exec sd -- /bin/cat /proc/1/comm)"
same 'a service of the guest' active \
    "$(d exec sd -- /usr/bin/systemctl is-active dbus.service systemd-journald.service | sort -u)"
same 'delegated cgroup' 'ok' \
    "$(d exec sd -- /bin/sh -c 'mkdir /sys/fs/cgroup/mine && rmdir /sys/fs/cgroup/mine && echo ok')"
same 'limits of a service of its own' 'ok' \
    "$(d exec sd -- /usr/bin/systemd-run --wait --pipe -q -p TasksMax=32 /bin/echo ok)"

# What apt does to the files of a template.
d exec sd -- /bin/sh -ec '
    rm -r /usr/share/keyrings; mkdir /usr/share/keyrings; touch /usr/share/keyrings/new; rm /usr/share/keyrings/new
    rmdir /usr/share/keyrings; mkdir /usr/share/keyrings
    mv /etc/issue /etc/issue.old
    cp -a /etc/issue.old /etc/issue
    chown nobody:nogroup /etc/issue.old
    chmod 4755 /etc/issue.old
    ln /etc/issue.old /etc/issue.link
    mkfifo /root/fifo
    dpkg --purge procps >/dev/null
    if dpkg -s procps >/dev/null 2>&1; then exit 1; fi' || fail "file operations on the overlay"
want 0 d exec sd -- /usr/bin/su nobody -s /bin/sh -c 'id -u' # setuid works, no_new_privs is off

# Reboot from inside, and from outside by systemd's own way.
want 0 d exec sd -- /usr/bin/systemctl reboot
want 0 d wait sd --for generation=2 --timeout 60s
want 0 d reboot sd --timeout 60s
# Its own shutdown, within its grace, without a second word.
began=$(date +%s%N)
want 0 d stop sd
echo "stopped after $((($(date +%s%N) - began) / 1000000)) ms"
d history sd -f jsonl >"$WORK/history"
same 'ends' '1 guest_reboot
2 operator_reboot
3 operator_stop' "$(jq -r 'select(.cause != null) | "\(.generation) \(.cause)"' "$WORK/history")"
same 'no escalation' 0 "$(jq -c 'select(.type == "escalated")' "$WORK/history" | wc -l)"
d logs sd | tail -n 3

# Stopped at once after exec, before it can hear: nothing is lost.
want 0 d start sd --wait exec
want 0 d stop sd --timeout 60s
same 'stopped early' operator_stop "$(d ls sd -f json | jq -r '.[0].cause')"

# Many at a time, with what a host has from the start: all of its root's processes may hold 128 inotify
# instances. Guests hold more than that together.
instances=/proc/sys/fs/inotify/max_user_instances
[[ $(hostname) != drover-vm ]] || echo 128 >$instances
count=$(few 50 10)
for i in $(seq "$count"); do
    want 0 d create "many-$i" --template debian --memory 512M
done
began=$(date +%s%N)
D_SECONDS=150
want 0 d start 'many-*' --timeout 120s
echo "$count ready after $((($(date +%s%N) - began) / 1000000)) ms"
d ls 'many-*' -f json | expect 'all READY' "length == $count and all(.[]; .state == \"running\" and .ready)"
held=$(find "$V2/drover.$NODE/"many-* -name cgroup.procs -exec cat {} + | sed 's|.*|/proc/&/fd|' |
    xargs sh -c 'find "$@" -lname anon_inode:inotify 2>/dev/null' find | wc -l)
echo "they hold $held inotify instances; of the host's root's there may be $(<$instances)"
((held > $(few 128 0))) || fail 'as few would do without limits of their own'
(($(<$instances) <= 128)) || echo "LIMIT: this host was given more than 128; that these are enough is not shown"
want 0 d stop 'many-*'
d ls 'many-*' -f json | expect 'all stopped by themselves' "length == $count and all(.[]; .cause == \"operator_stop\")"
echo "ok"
