#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a ready that is said too early, twice, or never. Guests say it once, before anybody waits, or
# not at all, and the node goes on serving others meanwhile.
# shellcheck source=statements.sh
. "$(dirname "$0")/statements.sh"

statement_18() {
    template debian
    want 0 d create sd --template debian --memory 512M
    want 0 d start sd --timeout 60s
    same 'ready once' 1 "$(count_events sd '.to == "running"')"
    d boot sd -f json | expect 'after its exec' 'map(.step) | index("ready") > index("exec")'
    want 0 d kill sd
}

statement_19() {
    local policy began
    root_init silent <<<'exec /bin/sleep 1000'
    root busybox
    created busybox
    want 0 d template import silent "$WORK/roots/silent"
    for policy in kill keep; do
        want 0 d create "$policy" --template silent --ready notify --ready-timeout 2s --ready-policy "$policy"
        began=$(now_ms)
        want 5 d start "$policy" &
        waiting=$!
        # Others are served meanwhile.
        want 0 d start busybox
        want 0 d kill busybox
        wait "$waiting" || fail "$policy: not a timeout"
        within "$began" 20000 'the wait'
    done
    same 'killed' 'stopped 1 boot_timeout' "$(row kill)"
    same 'kept' 'booting 1 null' "$(row keep)"
    want 0 d kill keep
}

statement_20() {
    root_init early <<'END'
mkdir -p /run/app && touch /run/app/ready
echo early ready >/dev/console
exec /bin/sleep 1000
END
    want 0 d template import early "$WORK/roots/early"
    for ready in console='early ready' file=/run/app/ready; do
        name=early-${ready%%=*}
        want 0 d create "$name" --template early --ready "$ready"
        want 0 d start "$name" --wait exec
        want 0 d start "$name" --timeout 20s
        same "$name" 'running 1 null' "$(row "$name")"
    done
}

run_statement "$2"
