# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The keeper under strace(1), to refuse or to delay its system calls and those of what it makes. To be
# sourced after harness.sh.
#
#   trace OPTION…  follow the keeper and whatever it makes from now on; returns when it is attached
#   untrace        let go of all that is followed

tracer=''

trace() {
    local keeper turn
    keeper=$(keeper_pid)
    strace -f -q "$@" -p "$keeper" 2>>"$WORK/strace.err" &
    tracer=$!
    for ((turn = 0; turn < 500; turn++)); do
        ! grep -q '^TracerPid:.[1-9]' "/proc/$keeper/status" || return 0
        read -rt 0.01 <>"$WORK/never" || true
    done
    fail "strace does not attach"
}

untrace() {
    kill -INT "$tracer" 2>/dev/null || true
    wait "$tracer" 2>/dev/null || true
    tracer=''
}
