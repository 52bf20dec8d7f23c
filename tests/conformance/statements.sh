# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the statements of conformance stand on: the harness of integration tests, and roots whose init
# is a script. To be sourced by a file of statements, which is called with the build directory and
# the number of one: each is a function `statement_NN`, and a ctest `conformance.NN`.
#
#   root NAME                 a busybox root for a template of that name: $WORK/roots/NAME
#   root_init NAME <SCRIPT    the same, whose /sbin/init is the script
#   row NAME                  state, generation and cause
#   ends NAME                 each end of it: generation, cause and status
#   escalations NAME          how it was asked again
#   field NAME JQ             of `ls`
#   inside NAME FILE          a file of the guest's, read from outside
#   nothing_left NAME         no process, cgroup or mount of it is there
#   now_ms                    a time in milliseconds
#   within BEGAN LIMIT WHAT   no more than LIMIT ms, longer on a slow machine, since then
#   run_statement NN          the end of the file
# shellcheck source=../integration/harness.sh
. "$(dirname "${BASH_SOURCE[0]}")/../integration/harness.sh"

root() {
    [[ -d $WORK/roots/busybox ]] || guest_run busybox "$WORK/roots/busybox" || fail 'no guest root'
    [[ $1 == busybox ]] || cp -a "$WORK/roots/busybox" "$WORK/roots/$1"
}

root_init() {
    root "$1"
    rm -f "$WORK/roots/$1/sbin/init"
    { echo '#!/bin/sh' && cat; } >"$WORK/roots/$1/sbin/init"
    chmod 755 "$WORK/roots/$1/sbin/init"
}

# created NAME OPTION…: from the root of the same name
created() {
    local name=$1
    shift
    want 0 d template import "$name" "$WORK/roots/$name"
    want 0 d create "$name" --template "$name" "$@"
}

row() { d ls "$1" -f json | jq -r '.[0] | "\(.state) \(.generation) \(.cause)"'; }
field() { d ls "$1" -f json | jq -r ".[0] | $2"; }
ends() {
    d history "$1" -f jsonl |
        jq -r 'select(.type == "changed" and .cause != null) | "\(.generation) \(.cause) \(.status | tojson)"'
}
escalations() { d history "$1" -f jsonl -o type,detail | jq -r 'select(.type == "escalated") | .detail'; }
count_events() { d history "$1" -f json | jq "map(select($2)) | length"; }
inside() { cat "/proc/$(field "$1" .pid)/root$2"; }

nothing_left() {
    local dir
    while read -r dir; do
        [[ -z $(find "$dir/drover.$NODE" -maxdepth 1 -name "$1.*" 2>/dev/null) ]] ||
            fail "a cgroup of $1 is left in $dir"
    done < <(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts)
    same "mounts of $1 on the host" '' "$(grep -F "$WORK" /proc/mounts || true)"
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }
within() {
    local took=$(($(now_ms) - $1))
    ((took < $2 * ${DROVER_TEST_SLOW:-1})) || fail "$3: it took $took ms"
}

run_statement() {
    node_start
    "statement_$1"
    echo "ok $1"
}
