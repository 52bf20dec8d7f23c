#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: the units of deploy/systemd under a real systemd as host: it may kill and restart the daemons,
# reload and re-execute itself, and neither the keeper nor a guest of the node may notice. The host is a
# Debian guest of ours, privileged and with a directory as root, into which the programs are installed as
# on a machine; its guests are guests of a guest.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

host() {
    if [[ -n ${DROVER_TEST_ON_HOST:-} ]]; then
        "$@" </dev/null
    else
        d exec host -- "$@" </dev/null
    fi
}
inner() { host /usr/bin/drover --agent /run/drover/agent.sock "$@"; }
above() { host /usr/bin/drover --controller /run/drover/controller.sock "$@"; }
main_pid() { host systemctl show -p MainPID --value "$1"; }

# now_in_journal: what is written there later stands after it.
now_in_journal() { host journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'; }

# active UNIT PID CURSOR: the unit was started after that, and is up with another process than that.
active() {
    host /bin/sh -c 'mkfifo /run/journal
        journalctl -f -o cat -u "$1" --after-cursor="$2" >/run/journal &
        timeout 20 grep -m 1 -q "^Started " /run/journal
        code=$?
        kill $!
        rm /run/journal
        exit $code' sh "$1" "$3" || fail "$1 does not come up again: $(host systemctl status "$1" --no-pager || true)"
    [[ $(host systemctl is-active "$1" || true) == active && $(main_pid "$1") != "$2" ]] ||
        fail "$1 is not up with another process: $(host systemctl status "$1" --no-pager || true)"
}

# connected SINCE: the agent has found the controller after that.
connected() {
    want 0 above wait --for event=node_up --since "$1" --timeout 20s >/dev/null
    want 0 above wait bb bb-priv --for running --timeout 20s >/dev/null
    above node ls -f json | expect 'what the controller hears of the node' '.[0].state == "up" and .[0].running == 2'
}

# What must not change: the guests as the agent, the controller and the kernel see them, and their limits.
see() {
    inner ls -f json | jq -r '.[] | "\(.name) \(.state) \(.generation) \(.pid)"' | sort
    host /bin/sh -c 'cd /sys/fs/cgroup/drover.host && for pid in $(cat */guest/cgroup.procs); do
        echo "$pid $(stat -c %Y /proc/$pid) $(cut -d: -f3 /proc/$pid/cgroup | sort -u | tr "\n" " ")"; done | sort'
    host /bin/sh -c 'for at in /sys/fs/cgroup /run/v1/*; do for file in memory.max memory.limit_in_bytes \
        memory.swap.max pids.max cpu.max; do grep -H . $at/drover.host/*/$file 2>/dev/null; done; done | sort'
}

# unchanged WHAT: nobody noticed.
unchanged() {
    same "guests and limits after $1" "$SEEN" "$(see)"
    same "the keeper's groups after $1" '/drover.host/keeper' \
        "$(host /bin/sh -c 'cut -d: -f3 /proc/$(cat /sys/fs/cgroup/drover.host/keeper/cgroup.procs)/cgroup |
            grep -v "^/$" | sort -u')"
    want 0 inner exec bb -- /bin/true
    echo "    after $1: as before ($SECONDS s)"
}


# install_host DIR: what a package would bring.
install_host() {
    local file
    install -m 755 "$BUILD"/drover{,-agent,-keeper,-controller} "$1/usr/bin/"
    ldd "$BUILD"/drover{,-agent,-controller} | awk '/=> \// { print $3 }' | sort -u | while read -r file; do
        [[ -e $1$file ]] || install -D -m 644 "$file" "$1/usr/lib/x86_64-linux-gnu/${file##*/}"
    done
    install -m 644 "$TESTS"/../deploy/systemd/*.service "$1/etc/systemd/system/"
    mkdir -p "$1/srv" "$1/etc/drover"
    echo 'controller = tcp://127.0.0.1:7700' >"$1/etc/drover/agent.ini"
    guest_run busybox "$1/srv/busybox"
}

host_start() {
    local kind
    guest_run debian "$WORK/host" || fail 'no guest root'
    install_host "$WORK/host" || fail 'not installed'
    node_start
    want 0 d create host --root "$WORK/host" --privileged --nested --memory 2G --pids 4096
    want 0 d start host --timeout 60s
    # Controllers that its cgroup2 does not carry, as its own host has them.
    for kind in memory pids; do
        host /bin/sh -c "grep -qw $kind /sys/fs/cgroup/cgroup.controllers ||
            { mkdir -p /run/v1/$kind && mount -t cgroup -o $kind $kind /run/v1/$kind; }" ||
            fail "the host of this test has no $kind controller"
    done
}

if [[ -n ${DROVER_TEST_ON_HOST:-} ]]; then
    install_host / || fail 'not installed'
else
    host_start
fi
host systemctl daemon-reload
host systemctl start drover-controller drover-agent || fail "$(host journalctl --no-pager -u 'drover-*' | tail -n 20)"
same 'ready by READY=1' 'active
active' "$(host systemctl is-active drover-controller drover-agent)"
same 'the weight of the agent' 1000 "$(host systemctl show -p CPUWeight --value drover-agent)"
# --nested lets bpf(2) through, which programs of devices are loaded by.
WITHHELD=$(host journalctl --no-pager -u drover-agent | grep 'no programs of devices' || true)
grep -qs 'no programs of devices' "$WORK/agent.log" || same 'what the agent says' '' "$WITHHELD"
want 0 inner template import busybox /srv/busybox
want 0 inner create bb --template busybox --memory 64M --pids 32 --start
want 0 inner create bb-priv --template busybox --memory 48M --pids 24 --privileged --start
connected 2000-01-01T00:00:00Z
# Somebody lowers a limit by hand: it is his.
host /bin/sh -c 'for at in /sys/fs/cgroup /run/v1/pids; do
    [ ! -e $at/drover.host/bb.1/pids.max ] || echo 31 >$at/drover.host/bb.1/pids.max; done'
SEEN=$(see)
grep -q 'pids.max:31$' <<<"$SEEN" && grep -q ':67108864$' <<<"$SEEN" && grep -q ':50331648$' <<<"$SEEN" ||
    fail "limits are not as they were given: $SEEN"
keeper=$(host cat /sys/fs/cgroup/drover.host/keeper/cgroup.procs)

pid=$(main_pid drover-agent) cursor=$(now_in_journal)
host systemctl kill --kill-who=main -s KILL drover-agent
active drover-agent "$pid" "$cursor"
unchanged 'kill -9 of the agent'

pid=$(main_pid drover-agent) cursor=$(now_in_journal)
host systemctl restart drover-agent
active drover-agent "$pid" "$cursor"
unchanged 'restart of its unit'

host systemctl daemon-reload
unchanged 'daemon-reload'
host systemctl daemon-reexec
unchanged 'daemon-reexec'
host systemctl stop drover-agent
same 'the keeper while its unit is stopped' "$keeper" "$(host cat /sys/fs/cgroup/drover.host/keeper/cgroup.procs)"
host systemctl start drover-agent
unchanged 'stop and start of its unit'

pid=$(main_pid drover-controller) cursor=$(now_in_journal) at=$(date -u +%FT%T.%NZ)
host systemctl kill --kill-who=main -s KILL drover-controller
active drover-controller "$pid" "$cursor"
unchanged 'kill -9 of the controller'
connected "$at"
want 0 above exec bb -- /bin/true
pid=$(main_pid drover-controller) cursor=$(now_in_journal) at=$(date -u +%FT%T.%NZ)
host systemctl restart drover-controller
active drover-controller "$pid" "$cursor"
connected "$at"
above ls -f json | expect 'what the controller knows' 'length == 2 and all(.[]; .state == "running")'

same 'one keeper all the time' "$keeper" "$(host cat /sys/fs/cgroup/drover.host/keeper/cgroup.procs)"
seq=$(inner events -f jsonl | tail -n 1 | jq .seq)
host /bin/kill -KILL "$keeper"
want 0 inner wait bb --for event=console_lost --since "$seq" --timeout 20s
unchanged 'kill -9 of the keeper'
keeper=$(host cat /sys/fs/cgroup/drover.host/keeper/cgroup.procs)
host systemctl restart drover-agent
unchanged 'another restart'
same 'the keeper' "$keeper" "$(host cat /sys/fs/cgroup/drover.host/keeper/cgroup.procs)"

# Stopped by hand the guests' unit leaves them alone; when the host goes down it stops them.
host systemctl start drover-guests
host systemctl stop drover-guests
unchanged "stop of the guests' unit"
[[ -z ${DROVER_TEST_ON_HOST:-} ]] || { want 0 inner stop --all --timeout 30s && echo ok && exit; }
host systemctl enable --quiet --now drover-agent drover-guests
want 0 d stop host --timeout 60s
d ls host -f json | expect 'shut down by itself' '.[0].cause == "operator_stop"'
want 0 d start host --timeout 60s
inner ls -f json | expect 'its guests, stopped before it' \
    'length == 2 and all(.[]; .state == "stopped" and .cause == "operator_stop")'
want 0 d stop host --timeout 60s
echo ok
