#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: scripts of the host that run inside a guest, before its init and before it is asked to stop. They
# can refuse both, have no more rights than its root, cannot be changed by it, and hang nothing.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

hooks=$WORK/hooks
mkdir "$hooks"
node_start --hooks-dir "$hooks"
template busybox
want 0 d create web --template busybox
want 0 d create other --template busybox

# script PATH: an executable one from standard input.
script() {
    { printf '#!/bin/sh\n' && cat; } >"$1.new" && chmod 755 "$1.new"
    mv "$1.new" "$1"
}
hook() { script "$hooks/$1"; }
no_hooks() { rm -f "$hooks"/*; }
told() { d exec "$1" -- cat /told | xargs; }
leaves() { find "$V2/drover.$NODE" -maxdepth 1 -name 'web.*' | wc -l; }
in_guest() { sed -n "s/^$1:\t*//p" "/proc/$(d ls web -o pid --no-header)/status"; }
pause() { read -rt 0.05 <> <(:) || true; }

# Inside it: its root, its host name, its PID namespace without an init, what it is told, and nothing else.
hook start <<'END'
{
    echo "$0 $# $(hostname) $DROVER_NAME $DROVER_GENERATION $DROVER_NODE $HOME $$"
    id -u
    cat /proc/self/uid_map
    grep -E '^(CapBnd|CapEff|Seccomp|NoNewPrivs|Groups)' /proc/self/status
    ls -l /proc/$$/fd | sed 's/.* -> //'
    cat /proc/self/cgroup | grep '^0:'
} >/told
END
want 0 d start web
told web >"$WORK/told"
grep -qE "^/dev/fd/[0-9]+ 0 web web 1 $NODE /root [0-9]+ 0 0 " "$WORK/told" || fail "$(cat "$WORK/told")"
same 'the ids of the guest' "$(d exec web -- cat /proc/self/uid_map | xargs)" \
    "$(d exec web -- sed -n 3p /told | xargs)"
same 'its bounding set' "$(in_guest CapBnd)" "$(d exec web -- sed -n 's/^CapBnd:\t//p' /told)"
d exec web -- sed '1,/^0::/!d' /told | grep '^/' |
    grep -vE '^(/dev/null|/told|/memfd:drover-hook.*|/dev/fd/.* 0 web .*)$' &&
    fail 'it holds more of the host'
same 'its filter' "$(in_guest Seccomp)" "$(d exec web -- sed -n 's/^Seccomp:\t//p' /told)"
want 0 d stop web --timeout 20s
same 'nothing is left' 0 "$(leaves)"

# The guest cannot change what runs: its interpreter sees a sealed file. The next script is as it was on the disk.
cp "$hooks/start" "$WORK/before"
hook start <<'END'
echo 'touch /changed' >"$0" && echo written >>/told2
dd if=/dev/zero of="$0" bs=1 count=1 conv=notrunc 2>>/told2 && echo written >>/told2
exit 0
END
cp "$hooks/start" "$WORK/before"
want 0 d start web
want 1 d exec web -- grep written /told2
same 'as it was' "$(cat "$WORK/before")" "$(cat "$hooks/start")"
want 0 d kill web

# One that fails ends the boot with its words; init never ran.
hook start <<<'echo first; echo "no licence" >&2; exit 4'
want 1 d start web -f json 2>"$WORK/err"
expect 'why' '.error.status == "hook_failed" and (.error.text | contains("start exited 4: no licence"))' <"$WORK/err"
same 'nothing is left' 0 "$(leaves)"
d history web -f json | expect 'the end says so' \
    'map(select(.type == "changed" and .cause != null)) | .[-1].cause == "start_failed"'
d history web -f json | expect 'no init ran' \
    '. as $all | ($all | map(select(.to == "preparing")) | .[-1].generation) as $last |
        $all | map(select(.generation == $last and .to == "booting")) | length == 0'
grep -q 'web: hook start: first' "$WORK/agent.log" || fail 'its output is not in the log'
printf '#!/no/such/shell\n' >"$hooks/start"
want 1 d start web 2>"$WORK/err"
grep -q 'start cannot be executed' "$WORK/err" || fail "$(cat "$WORK/err")"
rm "$hooks/start"
mkfifo -m 755 "$hooks/start"
want 1 d start web 2>"$WORK/err"
grep -q 'start cannot be executed' "$WORK/err" || fail "$(cat "$WORK/err")"

# One that hangs is killed with what it left; nobody else waits for it, and a kill does not.
hook start <<<'[ $DROVER_NAME = web ] || exit 0; sleep 1000 & sleep 1000'
d start web 2>"$WORK/err" &
starter=$!
until [[ $(d ls web -o state --no-header) == launching ]]; do pause; done
want 0 d start other --timeout 5s
want 5 wait "$starter"
grep -q 'start was killed at its deadline' "$WORK/err" || fail "$(cat "$WORK/err")"
same 'nothing is left' 0 "$(leaves)"
for point in start premount; do
    no_hooks
    hook "$point" <<<'[ $DROVER_NAME = web ] || exit 0; sleep 1000'
    d start web 2>/dev/null &
    starter=$!
    until [[ -n $(find "$V2/drover.$NODE" -path '*web.*/exec.*' -name cgroup.procs -exec cat {} + 2>/dev/null) ]]; do
        pause
    done
    began=$(date +%s%N)
    want 0 d kill web
    (($(date +%s%N) - began < 3000000000)) || fail "the kill waited for $point"
    want 4 wait "$starter"
    same 'nothing is left' 0 "$(leaves)"
done

# Stop hooks: in the guest before it is asked. One that fails leaves it as it was, whatever asked.
no_hooks
want 0 d start web other
hook stop <<<'echo stop $DROVER_GENERATION >>/told; [ ! -e /keep ]'
d exec web -- touch /keep
pid=$(d ls web -o pid --no-header)
for verb in stop reboot; do
    want 1 d "$verb" web -f json 2>"$WORK/err"
    expect 'why' '.error.status == "hook_failed" and (.error.text | contains("stop exited 1"))' <"$WORK/err"
    same "$verb leaves it" "running $pid" "$(d ls web -o state,pid --no-header | xargs)"
done
generation=$(d ls web -f json | jq ".[0].generation")
want 0 d exec web -- rm /keep
want 0 d reboot web --timeout 30s
want 0 d stop web --timeout 30s
want 0 d start web
same 'each once' "$(printf 'stop %s\n' "$generation" "$generation" "$generation" $((generation + 1)))" \
    "$(d exec web -- grep stop /told)"

# A node that goes down takes no for an answer from none.
want 0 d exec web -- touch /keep
want 0 d node shutdown --timeout 30s
same 'it stopped by itself' 'stopped operator_stop' "$(d ls web -o state,cause --no-header | xargs)"
same 'it was told' 'hook stop exited 1' "$(d history web -f jsonl -o type,detail |
    jq -r 'select(.type == "escalated") | .detail' | tail -n 1)"
want 0 d start web other
want 0 d exec web -- rm /keep

# And one that is busy with somebody else's stop is asked when that has ended, not killed.
hook stop <<<'until [ -e /go ]; do sleep 0.1; done'
want 0 d exec other -- touch /go
d stop web --timeout 30s &
stopper=$!
until [[ $(d ls web -o state --no-header) == stopping ]]; do pause; done
d node shutdown --timeout 60s >"$WORK/down" 2>&1 &
down=$!
until grep -q 'web: asked again when it is not busy: web is busy with stop' "$WORK/down"; do pause; done
want 0 d exec web -- touch /go
want 0 wait "$stopper"
want 0 wait "$down"
same 'both stopped by themselves' 'stopped operator_stop' "$(d ls -o state,cause --no-header | xargs -n 2 | sort -u)"
want 0 d start web other
want 0 d exec web -- rm /go

# In grace: a script that hangs is killed at its deadline, or the guest with it at the end of its grace.
hook stop <<<'sleep 1000'
want 0 d stop other --timeout 2s
same 'its end' operator_kill "$(d ls other -o cause --no-header)"
want 5 d stop web --timeout 60s 2>"$WORK/err"
grep -q 'stop was killed at its deadline' "$WORK/err" || fail "$(cat "$WORK/err")"
same 'it runs' running "$(d ls web -o state --no-header)"
d exec web -- ps >"$WORK/ps"
grep -q 'sleep 1000' "$WORK/ps" && fail 'what it left lives'
d stop web --timeout 60s 2>/dev/null &
stopper=$!
until [[ $(d ls web -o state --no-header) == stopping ]]; do pause; done
began=$(date +%s%N)
want 0 d kill web
(($(date +%s%N) - began < 3000000000)) || fail 'the kill waited for stop'
want 4 wait "$stopper"

# The node's and its own: the node's outside.
no_hooks
script "$WORK/own" <<<'echo own >>/order'
hook start <<<'echo node >>/order'
hook stop <<<'echo node >>/order'
want 0 d create mine --template busybox --hook "start=$WORK/own" --hook "stop=$WORK/own"
want 0 d start mine
want 0 d exec mine -- touch /keep
want 0 d stop mine --timeout 30s
no_hooks
script "$WORK/own" <<<'exit 0'
want 0 d start mine
same 'their order' 'node own own node' "$(d exec mine -- cat /order | xargs)"

# The agent dies under one: a start is over, a stop goes on with the next agent, its scripts anew.
hook start <<<'[ $DROVER_NAME = web ] || exit 0; sleep 1000'
d start web >/dev/null 2>&1 &
starter=$!
until [[ $(d ls web -o state --no-header) == launching ]]; do pause; done
node_kill KILL
wait "$starter" || true
rm "$hooks/start"
node_start --hooks-dir "$hooks"
want 0 d wait web --for stopped --timeout 20s
same 'nothing is left' 0 "$(leaves)"
want 0 d start web
hook stop <<<'[ $DROVER_NAME != web ] || [ -e /go ] || { touch /go; sleep 1000; }'
d stop web --timeout 60s >/dev/null 2>&1 &
stopper=$!
until d exec web -- test -e /go; do pause; done
node_kill KILL
wait "$stopper" || true
node_start --hooks-dir "$hooks"
want 0 d wait web --for stopped --timeout 30s
same 'its end' operator_stop "$(d ls web -o cause --no-header)"
want 0 d destroy --force web other mine >/dev/null
