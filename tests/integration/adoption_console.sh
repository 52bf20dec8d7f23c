#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a keeper that is killed takes the consoles of all its guests with it, and they must get new
# ones while they run: with user namespace or without, systemd's and busybox's, frozen ones too, whether
# an agent lived on and still held the old pty or not. A shell at each console is spoken with before and
# after; what a guest put there itself stays its own.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"

keeper_pid() { cat "$V2/drover.$NODE/keeper/cgroup.procs"; }

# asks NAME TYPED PATTERN: what is typed at the console is answered there, in its log.
asks() {
    local code=0
    # shellcheck disable=SC2094 # two programs of one name
    (
        printf '%s\r' "$2"
        timeout 20 grep -m 1 -E "$3" < <(d logs --follow "$1") >/dev/null || touch "$WORK/unanswered"
        printf '\r~.'
    ) | d console "$1" >"$WORK/console" 2>"$WORK/words" || code=$?
    ((code == 0)) || fail "console of $1 ends with $code: $(cat "$WORK/words")"
    [[ ! -e $WORK/unanswered ]] || fail "$1 does not answer '$2': $(d logs "$1" | tail -n 5)"
}

# The binding follows the event by a turn of the keeper and a helper, the log by the keeper's word of it,
# which nothing tells outside.
has_console() {
    local end=$((SECONDS + 20))
    "$BUILD/test.support.await_end" --console "$(d ls "$1" -f json | jq '.[0].pid')" ||
        fail "$1 has no console: $(tail -n 3 "$WORK/agent.log")"
    until d logs "$1" >/dev/null; do
        ((SECONDS < end)) || fail "$1 has no log: $(tail -n 3 "$WORK/agent.log")"
    done
    want 0 d exec "$1" -- /bin/sh -c ': <>/dev/console'
}

# prompts NAME: a getty is at the console. One that was hung up comes again by itself, unless both daemons
# were away for so long that its systemd gave it up: then an operator starts it.
prompts() {
    d exec "$1" -- /bin/sh -c 'systemctl -q is-failed console-getty || exit 0
        systemctl reset-failed console-getty; systemctl start console-getty'
    local log words=''
    exec {log}< <(d logs --follow "$1")
    until [[ $words == *login ]]; do # a prompt has no end of line
        read -rt 30 -d : -u "$log" words || fail "no getty at the console of $1: $(d logs "$1" | tail -n 5)"
    done
    exec {log}<&-
}

# What covers /dev/console inside, as the kernel counts it.
covers() { d exec "$1" -- /bin/sh -c 'grep -c " /dev/console " /proc/self/mountinfo'; }

since() { d events -f jsonl | tail -n 1 | jq .seq; }

# lost SINCE NAME…: each of them lost its console once.
lost() {
    local seq=$1
    shift
    same 'console_lost' "$(printf '%s\n' "$@" | sort)" \
        "$(d events --since "$seq" -f jsonl | jq -r 'select(.type == "console_lost") | .name' | sort)"
}

node_start
template busybox
template debian
want 0 d create bb --template busybox --memory 64M
want 0 d create bb-priv --template busybox --memory 64M --privileged
want 0 d create own --template busybox --memory 64M
want 0 d create ice --template busybox --memory 64M
want 0 d create sd --template debian --memory 1G --pids 1024
want 0 d start --all --timeout 120s
want 0 d freeze ice
# One that made a console of its own.
want 0 d exec own -- /bin/sh -c 'umount -l /dev/console; rm /dev/console; mkfifo /dev/console'
guests=(bb bb-priv ice own sd)
pids() { d ls -f json | jq -r '.[] | "\(.name) \(.generation) \(.pid) \(.state)"' | sort; }
pids >"$WORK/pids"

asks bb 'echo A$((40 + 1))' A41
asks bb-priv 'echo A$((40 + 1))' A41
prompts sd
asks sd $'\r' 'login:'
same 'a console' 1 "$(covers bb)"

echo '--- the keeper is killed, and the agent still holds the masters'
seq=$(since)
mkfifo "$WORK/follow"
exec {follow}<>"$WORK/follow"
d logs --follow bb 1>&"$follow" 2>"$WORK/follow.words" &
follower=$!
read -rt 20 -n 1 -u "$follow" || fail 'a follower shows nothing'
shell=$(d exec bb -- /bin/pidof sh)
kill -KILL "$(keeper_pid)"
want 0 d wait sd --for event=console_lost --since "$seq" --timeout 30s
code=0
wait "$follower" || code=$?
((code != 0)) && grep -q 'lost with its keeper' "$WORK/follow.words" || fail "a follower of a lost ring ends with $code"
for name in bb bb-priv sd; do has_console "$name"; done
lost "$seq" "${guests[@]}"
asks bb 'echo B$((40 + 2))' B42
asks bb-priv 'echo B$((40 + 2))' B42
asks sd $'\r' 'login:'
same 'the shell at the console lived on' "$shell" "$(d exec bb -- /bin/pidof sh)"
same 'nothing was bound twice' 1 "$(covers bb)"

for round in 3 4; do
    echo '--- both are killed: the ptys die'
    seq=$(since)
    kill -KILL "$(keeper_pid)"
    node_kill KILL
    node_start
    for name in bb bb-priv sd; do has_console "$name"; done
    lost "$seq" "${guests[@]}"
    asks bb "echo C\$((40 + $round))" "C4$round"
    asks bb-priv "echo C\$((40 + $round))" "C4$round"
    prompts sd
    asks sd $'\r' 'login:'
    same 'whose the terminal is' '0 5' "$(d exec bb -- /bin/stat -c '%u %g' /dev/console)"
    same 'what covers it' "$(covers bb-priv)" "$(covers bb)"
    echo "    $(covers bb) over /dev/console, $(covers sd) in sd"
done
want 0 d thaw ice
has_console ice
asks ice 'echo D$((40 + 5))' D45
same "a guest's own console" fifo "$(d exec own -- /bin/sh -c 'test -p /dev/console && echo fifo')"
grep -q 'own: no new console after its keeper died: its /dev/console cannot be replaced' "$WORK/agent.log" ||
    fail 'no word of the console that stays as it is'

echo '--- the agent is killed before the helper was through, and after'
seq=$(since)
kill -KILL "$(keeper_pid)"
node_kill KILL
node_start
node_kill KILL
node_start
for name in bb bb-priv sd; do has_console "$name"; done
asks bb 'echo E$((40 + 6))' E46
# An agent that comes to a keeper with adopted guests finds their consoles where they are.
node_kill TERM
node_start
asks bb 'echo F$((40 + 7))' F47
same 'guests' "$(sed 's/frozen$/running/' "$WORK/pids")" "$(pids)"

echo '--- a new build takes on adopted guests and their consoles'
mkdir "$WORK/bin"
cp "$BUILD/drover-agent" "$WORK/bin/drover-agent"
cp "$BUILD/test.support.drover-keeper-next" "$WORK/bin/drover-keeper"
keeper=$(keeper_pid)
node_kill KILL
AGENT_PID=$("$BUILD/test.support.daemon_start" "$WORK/agent.log" "$WORK/bin/drover-agent" \
    --state-dir "$WORK/state" --run-dir "$WORK/run" --node "$NODE")
grep -q 'the keeper is of this build now' "$WORK/agent.log" || fail 'the keeper was not replaced'
same 'the keeper' "$keeper" "$(keeper_pid)"
asks bb 'echo G$((40 + 8))' G48
same 'guests over a re-exec' "$(sed 's/frozen$/running/' "$WORK/pids")" "$(pids)"

# A systemd whose notify socket died with its keeper has the time to shut down all the same.
want 0 d exec sd -- /bin/sh -c 'cat >/etc/systemd/system/slow.service <<END
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c "sleep 12; touch /root/slept"
END
systemctl start slow.service'
want 0 d stop sd --timeout 60s
d ls sd -f json | expect 'stopped by itself' '.[0].cause == "operator_stop"'
want 0 d start sd --timeout 60s
want 0 d exec sd -- /usr/bin/test -e /root/slept

# And one that boots cannot be heard to be ready: it is not killed at its boot's deadline for that.
want 0 d exec sd -- /bin/sh -c 'cat >/etc/systemd/system/slow-boot.service <<END
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sleep 3600
[Install]
WantedBy=multi-user.target
END
systemctl enable -q slow-boot.service'
for who in keeper both; do
    want 0 d kill sd
    want 0 d start sd --wait exec
    d ls sd -f json | expect 'it boots' '.[0].state == "booting"'
    kill -KILL "$(keeper_pid)"
    [[ $who == keeper ]] || { node_kill KILL && node_start; }
    want 0 d wait sd --for running --timeout 20s
done
want 0 d kill --all --timeout 60s >/dev/null
! grep -n 'always hold\|ERROR: \|runtime error' "$WORK/agent.log" || fail 'the agent broke off'
echo "ok"
