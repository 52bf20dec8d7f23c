#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what a whole node must bear: a configuration that cannot be read, a controller that is away,
# hundreds of guests, and guests that spend what the kernel counts by user.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

# The template, the row and the agent's own file are gone or garbage; it runs, and can be ended.
statement_36() {
    local broken
    root busybox
    created busybox
    for broken in row template; do
        want 0 d start busybox
        pid=$(field busybox .pid)
        node_kill TERM
        cp "$WORK/state/node.db" "$WORK/whole.db"
        case $broken in
            row) sqlite3 "$WORK/state/node.db" "UPDATE config SET octets = x'ffffffff'" ;;
            template) mv "$WORK/state/templates/busybox" "$WORK/away" ;;
        esac
        node_start
        same "$broken: it runs on" "running $pid" "$(field busybox '"\(.state) \(.pid)"')"
        want 0 d kill busybox --timeout 10s
        same "$broken: it is stopped" stopped "$(field busybox .state)"
        nothing_left busybox
        d start busybox -f json 2>"$WORK/error" && fail "$broken: it started"
        expect "$broken: why not" '.error.text | length > 0' <"$WORK/error"
        [[ $broken != template ]] || mv "$WORK/away" "$WORK/state/templates/busybox"
        [[ $broken != row ]] || {
            octets=$(sqlite3 "$WORK/whole.db" 'SELECT hex(octets) FROM config')
            node_kill TERM
            sqlite3 "$WORK/state/node.db" "UPDATE config SET octets = x'$octets'"
            node_start
        }
    done
}

rss_kib() { awk '/^RssAnon/ { print $2 }' "/proc/$AGENT_PID/status"; }

# Half of the time it is there and takes nothing, half it is gone; meanwhile guests reboot, less and less
# often (41), so that each half has one of its own.
statement_46() {
    local how before
    root_init storm <<<'sleep 0.2; exec /bin/busybox reboot -f'
    root busybox
    controller_start
    node_start_again
    node_back
    created busybox --start
    want 0 d template import storm "$WORK/roots/storm"
    before=$(rss_kib) pid=$(field busybox .pid)
    for how in STOP KILL; do
        want 0 d create "storm-${how,,}" --template storm
        if [[ $how == STOP ]]; then kill -STOP "$CONTROLLER_PID"; else controller_kill KILL; fi
        want 0 d start "storm-${how,,}"
        read -rt 30 <> <(:) || true
        (($(field "storm-${how,,}" .generation) >= 4)) || fail "it rebooted $(field "storm-${how,,}" .generation) times"
        same 'the other runs on' "running 1 null $pid" "$(row busybox) $(field busybox .pid)"
        (($(rss_kib) < before + 16 * 1024)) || fail "the agent grew from $before to $(rss_kib) KiB"
        want 0 d exec busybox -- /bin/true
    done
    controller_start
    want 0 d kill 'storm-*' busybox
    d events -f jsonl | jq -cS . >"$WORK/of-agent"
    last=$(tail -n 1 "$WORK/of-agent" | jq .seq)
    timeout "$(slowly 30)" "$BUILD/drover" --controller "$CONTROLLER_SOCK" events --follow \
        --since 2000-01-01T00:00:00Z -f jsonl | sed "/\"seq\": *${last}[,}]/q" >"$WORK/events" || true
    jq -cS 'select(.seq != null and .seq != 0) | del(.cursor)' "$WORK/events" >"$WORK/of-controller"
    cmp "$WORK/of-agent" "$WORK/of-controller" || fail 'the controller did not get what the node told'
}

# The one that run_statement began knew no controller.
node_start_again() {
    node_kill TERM
    node_start
}

threads_fds() {
    echo "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l) $(find "/proc/$1/fd" -mindepth 1 | wc -l)"
}

statement_58() {
    local count before rss
    count=$(few 300 20)
    root busybox
    want 0 d template import busybox "$WORK/roots/busybox"
    seq -f 'n-%g' "$count" | xargs -P 4 -I{} "$BUILD/drover" $TO create {} --template busybox >/dev/null
    # What a first round leaves in caches and pools is there before and after.
    want 0 d start 'n-*' --timeout 60s >/dev/null
    want 0 d kill 'n-*' --timeout 60s >/dev/null
    before=$(threads_fds "$AGENT_PID") rss=$(rss_kib)
    want 0 d start 'n-*' --timeout 60s >/dev/null
    want 0 d reboot 'n-*' --timeout 60s >/dev/null
    d ls 'n-*' -f json | expect 'all run again' "length == $count and
        all(.[]; .state == \"running\" and .generation == 3) and (map(.pid) | unique | length) == $count"
    want 0 d stop 'n-*' --timeout 60s >/dev/null
    d ls 'n-*' -f json | expect 'all stopped by themselves' "length == $count and
        all(.[]; .state == \"stopped\" and .cause == \"operator_stop\")"
    same 'threads and descriptors' "$before" "$(threads_fds "$AGENT_PID")"
    (($(rss_kib) < rss + 4096)) || fail "the agent has $(rss_kib) KiB, and had $rss"
    nothing_left n-1
    d destroy 'n-*' --timeout 60s >/dev/null
}

# As many as would share one user's instances twelve times over, if they were one user's.
statement_59() {
    local count limit
    count=$(few 50 10)
    limit=$(cat /proc/sys/fs/inotify/max_user_instances)
    if ((limit != 128)); then
        UNDO="echo $limit >/proc/sys/fs/inotify/max_user_instances"
        echo 128 >/proc/sys/fs/inotify/max_user_instances
    fi
    template debian
    seq -f 'sd-%g' "$count" | xargs -P 4 -I{} "$BUILD/drover" $TO create {} --template debian --memory 256M >/dev/null
    D_SECONDS=100 want 0 d start 'sd-*' --timeout 95s >/dev/null
    d ls 'sd-*' -f json | expect 'all are ready' "length == $count and all(.[]; .state == \"running\" and .ready)"
    want 0 d kill 'sd-*' --timeout 60s >/dev/null
}

run_statement "$2"
