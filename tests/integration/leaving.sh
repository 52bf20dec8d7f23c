#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: an agent that is told to end takes away what its workers still use. Guests are started, each
# mkdirat(2) of the agent takes 20 ms more, and SIGTERM comes in the midst; its last system call takes
# 300 ms more, in which workers go on. The next agent finds all as it must be.
#   leaving.sh BUILD
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

COUNT=12
# strace in the background (-D): the process that gets the signal is the agent.
cat >"$WORK/slow-agent" <<END
#!/bin/sh
exec strace -D -f -qq -o /dev/null -e trace=mkdirat,exit_group -e inject=mkdirat:delay_exit=20000 \
    -e inject=exit_group:delay_enter=300000 "$BUILD/drover-agent" "\$@"
END
chmod 755 "$WORK/slow-agent"
AGENT_BIN=$WORK/slow-agent

# Returns when a group of the guests' is there, and others are still to be made.
await_made() {
    local made
    for ((tries = 0; tries < 100000; tries++)); do
        made=$(find "$V2/drover.$NODE" -mindepth 1 -maxdepth 1 -name 'c-*' | wc -l)
        ((made < 2)) || return 0
    done
    fail 'nothing is started'
}

node_start
template trivial >/dev/null
for ((i = 1; i <= COUNT; i++)); do
    want 0 d create "c-$i" --template trivial --memory 32M --pids 16 >/dev/null
done
for ((round = 1; round <= 4; round++)); do
    d start --all >/dev/null 2>&1 &
    starter=$!
    await_made
    node_kill TERM
    wait "$starter" || true
    ! grep 'always hold\|ERROR: \|WARNING: \|runtime error' "$WORK/agent.log" || fail 'the agent broke off'
    node_start
    want 0 d kill --all >/dev/null
done
d ls -f json | expect "all are stopped" "length == $COUNT and all(.state == \"stopped\")"
