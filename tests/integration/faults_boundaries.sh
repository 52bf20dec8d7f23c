#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: the agent may die between any two things that it does to the world. At each boundary of
# agent/boundary.h it is killed once in the middle of a whole life (import, create, boot, exec, freeze,
# reboots, stop, kill, destroy, and its own next start); who was told "unknown" asks again with the same
# request id; then everything is counted. A boundary that is not met fails.
#   faults_boundaries.sh BUILD [N [BOUNDARY…]]
# N: killed at the Nth crossing (1); a boundary that is crossed less often is passed over then.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"

N=${2:-1}
if (($# > 2)); then
    boundaries=("${@:3}")
else
    mapfile -t boundaries < <(sed -n 's/^    X(\([a-z_]*\)).*/\1/p' "$TESTS/../agent/boundary.h")
fi
mkdir "$WORK/bin"
cp "$BUILD/drover-agent" "$WORK/bin/drover-agent"
guest_run trivial "$WORK/roots/trivial"

# The agent of this test's own directory, with whichever keeper lies beside it. At its death before it
# was ready the next one starts.
agent_up() {
    local code=0
    local -a slowly=()
    # Its intent is not durable then: what node.db is written with waits.
    [[ ${1:-} != launch_held:* ]] ||
        slowly=("$(command -v strace)" -D -f -qq -o /dev/null
            -e trace=pwrite64 -e inject=pwrite64:delay_enter=20000)
    mkdir -p "$WORK/run"
    AGENT_PID=$(DROVER_DIE_AT=${1:-} "$BUILD/test.support.daemon_start" "$WORK/agent.log" \
        "${slowly[@]}" "$WORK/bin/drover-agent" --state-dir "$WORK/state" --run-dir "$WORK/run" \
        --node "$NODE") || code=$?
    ((code == 0)) && return 0
    AGENT_PID=''
    [[ -n ${1:-} && $code == 137 ]] || fail "the agent does not start: $code"
    deaths=$((deaths + 1))
    agent_up
}

# Did it die? Then another one lives.
agent_again() {
    grep -q '^State:.[^ZX]' "/proc/$AGENT_PID/status" 2>/dev/null && return 0
    deaths=$((deaths + 1))
    agent_up
}

# order CODES VERB…: ends with one of these codes, at the latest when asked again.
order() {
    local codes=$1 code=0 verb=$2
    shift
    orders=$((orders + 1))
    case $verb in
        exec | template) ;; # have no request id: their clients see how they ended
        *) set -- "$verb" --request-id "$boundary-$orders" "${@:2}" ;;
    esac
    d "$@" >>"$WORK/client.log" 2>&1 || code=$?
    if ((code == 10 || code == 125)); then
        "$BUILD/test.support.await_end" "$AGENT_PID"
        agent_again
        code=0
        d "$@" >>"$WORK/client.log" 2>&1 || code=$?
    fi
    [[ " $codes " == *" $code "* ]] || fail "$boundary: exit $code, not $codes: $*"
}


life() {
    local boundary=$1
    agent_up "$1:$N"
    order '0 4' template import trivial "$WORK/roots/trivial"
    order '0 1' create c-1 --template trivial --memory 32M --pids 16
    order '0 4' create c-1 --template trivial --memory 32M --pids 16
    order '0 1' start c-1
    order 0 start c-1
    order '0 1' set c-1 pids=24
    order 7 exec c-1 -- /sbin/init return 7
    order '0 1' freeze c-1
    order '0 1 4' thaw c-1
    order '0 1 4' reboot c-1
    order 0 start c-1
    d exec c-1 -- /sbin/init reboot >/dev/null 2>&1 || agent_again
    d wait c-1 --for running --timeout 20s >/dev/null 2>&1 || agent_again
    order '0 1' stop --timeout 5s c-1
    order '0 1' start c-1
    order 0 start c-1
    # Its next start, with a guest and a keeper of another build.
    cp --remove-destination "${keepers[1]}" "$WORK/bin/drover-keeper"
    node_kill TERM
    agent_up "$1:$N"
    keepers=("${keepers[1]}" "${keepers[0]}")
    order 0 kill c-1
    agent_again
    at_rest
    check_world >/dev/null
    check_ledger
    order '0 1' destroy c-1
    order '0 3' destroy c-1
    check_world >/dev/null
    check_ledger
    [[ -z $(d ls --no-header) ]] || fail "$boundary: c-1 is still there"
    node_kill KILL
}

keepers=("$BUILD/drover-keeper" "$BUILD/test.support.drover-keeper-next")
cp "${keepers[0]}" "$WORK/bin/drover-keeper"
for boundary in "${boundaries[@]}"; do
    deaths=0 orders=0
    # A keeper of its own, for the boundaries of its start: without guest and agent it goes by itself.
    keeper=$(keeper_pid)
    [[ -z $keeper ]] || ended "$keeper"
    life "$boundary"
    ((deaths > 0 || N > 1)) || fail "$boundary is not crossed"
    printf '%s %d\n' "$boundary" "$deaths"
    rm -rf --one-file-system "$WORK/state/templates/trivial"
done
echo ok
