# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What an integration test in bash stands on: a node (agent and keeper), a controller, guests, and
# an end that leaves nothing behind. To be sourced by a test that is called with the build directory.
#
#   node_start [OPTION…]      start this test's agent (again), $AGENT_BIN if that is set; $NODE,
#                             $AGENT_SOCK, $AGENT_PID
#   node_kill SIGNAL          end the agent, and wait until it is gone
#   controller_start          start its controller; $CONTROLLER_SOCK, $CONTROLLER_URL. With
#                             DROVER_TEST_LOSSY (options of tests/support/lossy.c) in the
#                             environment, the agent reaches it over a network as bad as they say
#   controller_kill SIGNAL    end it; the next one comes up at the same address
#   node_back                 wait until the controller has a session with the node
#   is_broken CODE FILE       what ended with this code, and these words on stderr, came to nothing
#                             because of the network, and may be asked again
#   itself NAME WORD CAUSE SINCE  the guest runs WORD and ends by itself, by that cause, once
#   template NAME             import a guest root of tests/support as a template (through $TO)
#   slowly SECONDS            a deadline, longer on a slow machine ($DROVER_TEST_SLOW times)
#   few MANY FEW              how many: FEW where $DROVER_TEST_FEW is set
#   d VERB…                   drover towards $TO (--agent SOCK or --controller SOCK)
#   want CODE COMMAND…        the command ends with this exit code
#   same WHAT EXPECTED GOT    two texts are equal
#   expect WHAT JQ            what is read as JSON from stdin makes this jq filter true
#   fail TEXT                 end the test
#   UNDO                      a command for what else is to be put right, however the test ends
set -euo pipefail

BUILD=$(cd "$1" && pwd)
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=../support/guests.sh
. "$TESTS/support/guests.sh"

if ((EUID != 0)); then
    echo "skipped: real guests need root"
    exit 77
fi
# Orphans of killed daemons need an init that reaps; that of the machine may not.
if [[ -z ${DROVER_TEST_REAPED:-} ]]; then
    DROVER_TEST_REAPED=1 exec "$BUILD/test.support.reaper" bash "$0" "$@"
fi
WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/drover-test-XXXXXX")
NODE=t-${DROVER_TEST_RUN:-$$}-$$
AGENT_PID='' CONTROLLER_PID='' LOSSY_PID='' UNDO=''
AGENT_SOCK=$WORK/run/agent.sock
# shellcheck disable=SC2034 # the tests' own
CONTROLLER_SOCK=$WORK/run/controller.sock
CONTROLLER_URL='' CONTROLLER_PORT=''
TO="--agent $AGENT_SOCK"
V2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)

# What fails says so, though the command that it fails in is not to be heard.
exec {WORDS}>&2
fail() {
    exec 2>&"$WORDS"
    echo "FAILED: $*" >&2
    exit 1
}

# ended PID: wait for a process that is not ours to reap, by its pidfd.
ended() {
    "$BUILD/test.support.await_end" "$1" || fail "process $1 does not end"
}

node_kill() {
    [[ -n $AGENT_PID ]] || return 0
    kill -"$1" "$AGENT_PID" 2>/dev/null || true
    ended "$AGENT_PID"
    AGENT_PID=''
}

# Everything below PATH in every hierarchy: processes by cgroup.kill, then the directories.
node_sweep() {
    local root
    # The keeper may take PATH away under our hands.
    [[ ! -e $V2/drover.$NODE ]] || echo 1 2>/dev/null >"$V2/drover.$NODE/cgroup.kill" || true
    [[ ! -e $V2/drover.$NODE ]] || "$BUILD/test.support.await_end" --empty "$V2/drover.$NODE"
    while read -r root; do
        [[ -d $root/drover.$NODE ]] || continue
        find "$root/drover.$NODE" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
}

cleanup() {
    local code=$?
    set +e
    trap - EXIT
    exec 2>&"$WORDS"
    if ((code != 0 && code != 77)); then
        echo "--- last words of the daemons" >&2
        tail -n 40 "$WORK"/*.log >&2
    fi
    jobs -p | xargs -r kill 2>/dev/null
    eval "$UNDO"
    [[ -z $AGENT_PID ]] || { kill -KILL "$AGENT_PID"; ended "$AGENT_PID"; }
    [[ -z $CONTROLLER_PID ]] || { kill -TERM "$CONTROLLER_PID"; ended "$CONTROLLER_PID"; }
    [[ -z $LOSSY_PID ]] || { kill -TERM "$LOSSY_PID"; ended "$LOSSY_PID"; }
    node_sweep
    rm -rf --one-file-system "$WORK"
    if [[ -e $V2/drover.$NODE || -e $WORK ]]; then
        echo "FAILED: left behind: $V2/drover.$NODE or $WORK" >&2
        code=1
    fi
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

node_start() {
    mkdir -p "$WORK/run"
    AGENT_PID=$("$BUILD/test.support.daemon_start" "$WORK/agent.log" "${AGENT_BIN:-$BUILD/drover-agent}" \
        --state-dir "$WORK/state" --run-dir "$WORK/run" --node "$NODE" \
        ${CONTROLLER_URL:+--controller "$CONTROLLER_URL"} "$@") || fail "the agent does not start"
}

# Empty: there is none.
keeper_pid() { cat "$V2/drover.$NODE/keeper/cgroup.procs" 2>/dev/null || true; }

# At a pair of free ports, for control and bulk; one that was killed comes again where it was.
controller_start() {
    local port
    mkdir -p "$WORK/run"
    for port in ${CONTROLLER_PORT:-$(seq $((20000 + $$ % 20000)) 2 65000)}; do
        CONTROLLER_PID=$("$BUILD/test.support.daemon_start" "$WORK/controller.log" \
            "$BUILD/drover-controller" --state-dir "$WORK/controller" --run-dir "$WORK/run" \
            --listen "tcp://127.0.0.1:$port" "$@") || continue
        if [[ -z $CONTROLLER_PORT ]]; then
            CONTROLLER_PORT=$port CONTROLLER_URL=tcp://127.0.0.1:$port
            [[ -z ${DROVER_TEST_LOSSY:-} ]] || lossy_start "$port"
        fi
        return 0
    done
    CONTROLLER_PID=''
    fail "the controller does not start"
}

controller_kill() {
    [[ -n $CONTROLLER_PID ]] || return 0
    kill -"$1" "$CONTROLLER_PID" 2>/dev/null || true
    ended "$CONTROLLER_PID"
    CONTROLLER_PID=''
}

# A bad network before the controller's ports, as $DROVER_TEST_LOSSY says; the agent is to use it.
lossy_start() {
    local port
    for port in $(seq $(($1 + 2)) 2 65000); do
        # shellcheck disable=SC2086 # options
        LOSSY_PID=$("$BUILD/test.support.daemon_start" "$WORK/lossy.log" \
            "$BUILD/test.support.lossy" "$port" "$1" $DROVER_TEST_LOSSY) || continue
        CONTROLLER_URL=tcp://127.0.0.1:$port
        return 0
    done
    fail "the bad network does not start"
}

# A machine without hardware help ($DROVER_TEST_SLOW times slower) needs longer, and has no room for many.
slowly() { echo "$(($1 * ${DROVER_TEST_SLOW:-1}))s"; }
few() { if [[ -n ${DROVER_TEST_FEW:-} ]]; then echo "$2"; else echo "$1"; fi; }

d() {
    local -a argv=("$@")
    local i
    # Bounds are longer there, too; what is shorter than a second is meant to pass.
    for ((i = 1; i < $# && ${DROVER_TEST_SLOW:-1} > 1; i++)); do
        [[ ${argv[i - 1]} == --timeout && ${argv[i]} =~ ^([0-9]+)s$ ]] || continue
        argv[i]=$(slowly "${BASH_REMATCH[1]}")
    done
    # What hangs is a failure here, not the end of the test's own time.
    # shellcheck disable=SC2086 # two words
    timeout -k 5 "$(slowly "${D_SECONDS:-60}")" "$BUILD/drover" $TO "${argv[@]}"
}

# A level: only what came after the question can still be waited for.
node_back() {
    local before
    before=$(date -u +%FT%T.%NZ)
    [[ $(TO="--controller $CONTROLLER_SOCK" d node ls -f json | jq -r '.[0].state') == up ]] ||
        TO="--controller $CONTROLLER_SOCK" want 0 d wait --for event=node_up --since "$before" \
            --timeout 120s >/dev/null
}

# Streams do not move to another session (`stream_lost`), and who asked hears that its result is
# unknown (10), or that nothing was sent.
is_broken() {
    (($1 == 10)) || grep -Eq 'the stream (was lost|is broken)|has no connection for streams|node [^ ]+ is down' "$2"
}

# Asked again where the session broke off before that; what ends takes the command along.
itself() {
    local turn code=125
    for ((turn = 0; turn < 40 && (code == 125 || code == 10); turn++)); do
        code=0
        d exec "$1" -- "$2" </dev/null >/dev/null 2>"$WORK/itself" || code=$?
        echo "$SECONDS s: $1 $2: $code $(head -n 1 "$WORK/itself")" >&2
        ((code == 0)) || TO="--agent $AGENT_SOCK" d wait "$1" --for "event=$3" --since "$4" \
            --timeout 2s >/dev/null 2>&1 && code=0
        ((code == 0)) || node_back
    done
    TO="--agent $AGENT_SOCK" want 0 d wait "$1" --for "event=$3" --since "$4" --timeout 60s >/dev/null
}

template() {
    local root=$WORK/roots/$1
    # One that a test changes is small; to copy a distribution first takes long where they are made.
    [[ -d $root || $1 == busybox || ! -d $guests_made/$1 ]] || root=$guests_made/$1
    [[ -d $root ]] || guest_run "$1" "$root" || fail "no guest root $1"
    d template import "$1" "$root"
}

want() {
    local code=0 wanted=$1
    shift
    "$@" || code=$?
    ((code == wanted)) || fail "exit $code, not $wanted: $*"
}

same() {
    [[ $2 == "$3" ]] && return 0
    diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") >&2 || true
    fail "$1: expected (<) and got (>) differ"
}

expect() {
    local input
    input=$(cat)
    jq -e "$2" <<<"$input" >/dev/null && return 0
    printf '%s\n' "$input" >&2
    fail "$1: not so: $2"
}
