#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: whatever init a guest brings is booted, told apart, and asked to stop and reboot in words that
# it hears. Debian's own sysvinit, OpenRC and runit boot, stop and reboot by themselves and by us, without
# a second word; what a guest cannot hear is said in another way, told, and ended after all.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

ends() { d history "$1" -f jsonl | jq -r 'select(.cause != null) | "\(.generation) \(.cause)"'; }
escalations() { d history "$1" -f jsonl -o type,detail | jq -r 'select(.type == "escalated") | .detail'; }
pid_of() { d ls "$1" -f json | jq '.[0].pid'; }
# What PID 1 of a guest and its children are called.
titles() {
    local pid child
    pid=$(pid_of "$1")
    for child in "$pid" $(cat "/proc/$pid/task/$pid/children"); do
        tr '\0' ' ' <"/proc/$child/cmdline" || true
    done 2>/dev/null
}

# Until the host sees that its boot is over: a test's own looking, for a minute, longer on a slow machine.
booted() {
    local deadline=$((SECONDS + 60 * ${DROVER_TEST_SLOW:-1}))
    until titles "$1" | grep -qE 'init \[2\]|runsvdir'; do
        ((SECONDS < deadline)) || fail "$1 does not boot"
    done
}

node_start
for name in ${2:-sysvinit openrc runit}; do
    template "$name"
    want 0 d create "$name" --template "$name" --memory 256M --pids 256
    want 0 d start "$name" --timeout "$(slowly 60)"
    pid=$(pid_of "$name")
    case $name in
        openrc) word=lxc ;;
        *) word=drover ;;
    esac
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "container=$word" || fail "$name: container= is not $word"

    # At once after exec, when it can hear nothing yet, and then again in the middle of its boot.
    began=$(date +%s%N)
    want 0 d stop "$name" --timeout "$(slowly 60)"
    echo "$name: stopped early after $((($(date +%s%N) - began) / 1000000)) ms"
    want 0 d start "$name"
    booted "$name"
    began=$(date +%s%N)
    want 0 d reboot "$name" --timeout "$(slowly 60)"
    echo "$name: rebooted after $((($(date +%s%N) - began) / 1000000)) ms"
    booted "$name"
    # By itself.
    want 0 d exec "$name" -- /sbin/init 6
    want 0 d wait "$name" --for generation=4 --timeout "$(slowly 60)"
    booted "$name"
    want 0 d exec "$name" -- /sbin/init 0
    want 0 d wait "$name" --for stopped --timeout "$(slowly 60)"
    same "$name: ends" '1 operator_stop
2 operator_reboot
3 guest_reboot
4 guest_halt' "$(ends "$name")"
    same "$name: escalations" '' "$(escalations "$name")"
done
echo "ok"
