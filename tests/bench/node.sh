# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # top, build, tools and work are tests/bench/run's
# The node and the controller that a bench measures, and an end that leaves nothing. Sourced by run.
#
#   bench_build, bench_prepare, bench_cleanup
#   node_up, node_down, controller_up, controller_down, node_is_up
#   floor plain|userns N [GAP_MS]      driver N VERB…      guests_create privileged|defaults N

agent_pid='' controller_pid='' controller_url='' agent_argv=()

bench_build() {
    local log=$top/build-bench/build.log
    mkdir -p "$top/build-bench"
    if ! (
        cd "$top" && export CMAKE_GENERATOR=Ninja && cmake --preset release &&
            cmake --build --preset release &&
            cmake -S . -B build-bench -DCMAKE_BUILD_TYPE=Release &&
            cmake --build build-bench --target bench-floor bench-peer bench-driver bench-model bench-ledger \
                bench-ready test.support.daemon_start test.support.await_end test.support.hostile
    ) >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "tests/bench/run: the build failed; all of it is in $log" >&2
        return 1
    fi
}

bench_prepare() {
    node=bench-$$
    agent_sock=$work/run/agent.sock
    controller_sock=$work/run/controller.sock
    chmod 755 "$work"
    mkdir -m 755 "$work/run" "$work/reports" "$work/floor" "$work/roots"
    mkfifo "$work/never"
    guest_trivial "$work/root"
    peers_prepare
}

node_up() {
    agent_argv=("$build/drover-agent" --state-dir "$work/state" --run-dir "$work/run"
        --node "$node" ${controller_url:+--controller "$controller_url"})
    agent_pid=$("$tools/test.support.daemon_start" "$work/agent.log" "${agent_argv[@]}")
    [[ -n ${has_template:-} ]] ||
        "$build/drover" --agent "$agent_sock" template import trivial "$work/root" >/dev/null
    has_template=yes
}

# The keeper and the guests, if any are left, stay.
node_down() {
    [[ -n $agent_pid ]] || return 0
    kill "$agent_pid" 2>/dev/null || true
    "$tools/test.support.await_end" "$agent_pid"
    agent_pid=''
}

controller_up() {
    local port
    for port in $(seq $((20000 + $$ % 20000)) 2 65000); do
        controller_url=tcp://127.0.0.1:$port
        controller_pid=$("$tools/test.support.daemon_start" "$work/controller.log" \
            "$build/drover-controller" --state-dir "$work/controller" --run-dir "$work/run" \
            --listen "$controller_url") && return 0
    done
    return 1
}

controller_down() {
    [[ -n $controller_pid ]] || return 0
    kill "$controller_pid" 2>/dev/null || true
    "$tools/test.support.await_end" "$controller_pid"
    controller_pid='' controller_url=''
}

# Returns when the controller has heard of the node.
node_is_up() {
    local follower
    coproc events {
        exec timeout 30 "$build/drover" --controller "$controller_sock" events --follow \
            --since 2000-01-01T00:00:00Z -f jsonl
    }
    follower=$!
    jq -en --unbuffered 'first(inputs | select(.type == "node_up"))' <&"${events[0]}" >/dev/null
    kill "$follower" 2>/dev/null || true
    wait "$follower" 2>/dev/null || true
}

keeper_pid() {
    local v2
    v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    cat "$v2/drover.$node/keeper/cgroup.procs"
}

floor() {
    rm -rf --one-file-system "$work/floor"
    mkdir -m 755 "$work/floor"
    "$tools/bench-floor" "$work/root" "$work/reports" "$1" "$work/floor" "${@:2}"
}

driver() { "$tools/bench-driver" "$agent_sock" "$work/reports" guest "$@"; }

# What is compared has the same kind of root: a directory each (of hard links) beside the plain
# floor, LXC and crun; a template with an overlay beside the floor with user namespaces.
guests_create() {
    local i
    if [[ $1 == privileged ]]; then
        for ((i = 0; i < $2; i++)); do
            [[ -d $work/roots/$i ]] || cp -al "$work/root" "$work/roots/$i"
        done
        driver "$2" create roots "$work/roots"
    else
        driver "$2" create template trivial
    fi
    sync # what was made is not to be written out while it is measured
}

label() {
    case $1 in
        plain) echo 'floor, plain' ;;
        userns) echo 'floor, user namespaces' ;;
        lxc) echo "lxc $(lxc-start --version)" ;;
        crun) crun --version | awk '{ print "crun " $3; exit }' ;;
        *) echo "drover, $1" ;;
    esac
}

# Whatever lives in a cgroup of ours is ended, then the cgroups go.
node_sweep() {
    local type root
    while read -r type root; do
        [[ $type == cgroup2 && -d $root/drover.$node ]] || continue
        echo 1 2>/dev/null >"$root/drover.$node/cgroup.kill" # may just be going by itself
        "$tools/test.support.await_end" --empty "$root/drover.$node"
    done < <(awk '$3 ~ /^cgroup2?$/ { print $3, $2 }' /proc/mounts)
    while read -r root; do
        [[ -d $root/drover.$node ]] || continue
        find "$root/drover.$node" -depth -type d -exec rmdir {} + 2>/dev/null
    done < <(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts)
}

bench_cleanup() {
    local code=$?
    set +e
    trap - EXIT
    if ((code != 0 && code != 3)); then
        tail -n 20 "$work"/*.log >&2 2>/dev/null
    fi
    [[ -z $agent_pid ]] || { kill -KILL "$agent_pid" && "$tools/test.support.await_end" "$agent_pid"; }
    controller_down
    node_sweep
    peers_cleanup
    neighbours_cleanup
    systemd_cleanup
    rm -rf --one-file-system "$work"
    exit "$code"
}
