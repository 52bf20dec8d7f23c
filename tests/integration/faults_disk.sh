#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a state directory without a free block. Whatever is asked then ends in a clear error or is
# done; the agent goes on, or ends in words; what guests do by themselves is not lost; nothing half made
# is left; and with room again all goes on. The directory is a small ext4 in a mount namespace of this
# test's own, filled to the last block before each step.
#   faults_disk.sh BUILD
if [[ -z ${DROVER_TEST_MOUNTS:-} ]]; then
    DROVER_TEST_MOUNTS=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"

mkdir "$WORK/state"
truncate -s 64M "$WORK/disk"
mkfs.ext4 -q -m 0 -O ^has_journal "$WORK/disk"
if ! mount -o loop "$WORK/disk" "$WORK/state"; then
    echo "skipped: no loop device for a small file system"
    exit 77
fi
trap 'code=$?; set +e; node_kill KILL; umount "$WORK/state"; (exit "$code"); cleanup' EXIT
rmdir "$WORK/state/lost+found"
chmod 700 "$WORK/state"

# To the last block: large writes first, then small ones until a file gets none.
fill() {
    local turn
    dd if=/dev/zero of="$WORK/state/filler" bs=64K 2>/dev/null || true
    for turn in $(seq 100); do
        dd if=/dev/zero of="$WORK/state/filler.$turn" bs=4K 2>/dev/null || true
        sync -f "$WORK/state"
        [[ -s $WORK/state/filler.$turn ]] || return 0
    done
    fail "the disk does not fill"
}

agent_lives() { grep -q '^State:.[^ZX]' "/proc/$AGENT_PID/status" 2>/dev/null; }

# The log of node.db has its room from the agent's start on: what fits in it is committed.
fresh() {
    node_kill TERM
    rm -f "$WORK/state"/filler*
    node_start
}

# With room again: what is there is whole, and the node takes orders.
recover() {
    rm -f "$WORK/state"/filler*
    if ! agent_lives; then
        tail -n 2 "$WORK/agent.log" | grep -E '^drover-agent: .*(full|No space)' ||
            fail "$1: the agent ended without a word of the disk"
        AGENT_PID=''
        node_start
    fi
    at_rest
    # check_world looks for mounts below $WORK: the disk is one, and this test's.
    check_ledger
    same "$1: directories" "$(jq -r '.[].id' "$WORK/ls" | sort)" "$(ls "$WORK/state/containers")"
    same "$1: unfinished templates" '' "$(find "$WORK/state/templates" -maxdepth 1 -name '.import-*')"
}

# The agent finds out by itself that there is room.
room_is_found() {
    local end=$((SECONDS + 20))
    until d stop c-2 >/dev/null 2>"$WORK/out"; do
        ((SECONDS < end)) || fail "still refused with room: $(cat "$WORK/out")"
    done
}

# step CODES COMMAND…: on the full disk, then with room.
step() {
    local codes=$1 code=0
    shift
    fresh
    fill
    d "$@" >"$WORK/out" 2>&1 || code=$?
    printf '%s: %s, %s\n' "$*" "$code" "$(head -n 1 "$WORK/out")"
    [[ " $codes " == *" $code "* ]] || fail "$*: exit $code, not $codes: $(cat "$WORK/out")"
    ((code == 0 || code == 10)) || grep -qiE 'full|no space' "$WORK/out" || fail "$*: no word of the disk"
    recover "$*"
}

node_start
template trivial
want 0 d create c-1 --template trivial --start >/dev/null
want 0 d create c-2 --template trivial >/dev/null

step '0 1 7 10' create c-3 --template trivial
d destroy --force c-3 >/dev/null 2>&1 || true
step '1 7' template import other "$WORK/roots/trivial"
step '0 1 7 10' start c-2
want 0 d start c-2 >/dev/null
step '0 7 10' freeze c-2
d thaw c-2 >/dev/null 2>&1 || true
step '0 1 7 10' reboot c-2
want 0 d start c-2 >/dev/null
step '0 7 10' stop c-2
want 0 d start c-2 >/dev/null
step '0 7 10' kill c-2
want 0 d start c-2 >/dev/null

# What guests do by themselves is told, by this agent or by the next.
for word in reboot halt; do
    fresh
    before=$(d ls c-2 -f json | jq '.[0].generation')
    fill
    d exec c-2 -- /sbin/init "$word" >/dev/null 2>&1 || true
    recover "$word"
    d wait c-2 --for "event=guest_$word" --since 2000-01-01T00:00:00Z --timeout 20s >/dev/null ||
        fail "the guest's own $word is not told"
    printf 'guest_%s of generation %s is told\n' "$word" "$before"
    want 0 d start c-2 >/dev/null
done

# Until the log must be moved and nothing can be: orders are refused in words, what a guest does by itself
# is told all the same, and with room again orders are taken.
rm -f "$WORK/state"/filler*
# shellcheck disable=SC2086 # two words
seq -f 'c-1%03g' 200 | xargs -P 2 -I{} "$BUILD/drover" $TO create {} --template trivial >/dev/null
fresh
fill
code=0
for ((n = 0; n < 600 && code == 0; n++)); do
    d stop 'c-1???' >/dev/null 2>"$WORK/out" || code=$?
done
printf 'after %s orders: %s, %s\n' "$((200 * n))" "$code" "$(head -n 1 "$WORK/out")"
same 'an order that cannot be kept' 7 "$code"
grep -qi 'full' "$WORK/out" || fail "no word of the disk: $(cat "$WORK/out")"
agent_lives || fail "the agent refused and ended"
d exec c-1 -- /sbin/init reboot >/dev/null 2>&1 || true
d wait c-1 --for generation=2 --timeout 20s >/dev/null || fail "no reboot is told by an agent whose disk is full"
same 'a guest that reboots meanwhile' guest_reboot \
    "$(d history c-1 -f jsonl | jq -r 'select(.cause != null) | .cause' | tail -n 1)"
recover 'a full log'
room_is_found
want 0 d stop c-2 >/dev/null
want 0 d start c-2 >/dev/null

# An agent that starts without room says so, and starts with room.
node_kill TERM
fill
code=0
"$BUILD/test.support.daemon_start" "$WORK/agent.log" "$BUILD/drover-agent" --state-dir "$WORK/state" \
    --run-dir "$WORK/run" --node "$NODE" >"$WORK/pid" || code=$?
if ((code == 0)); then
    AGENT_PID=$(cat "$WORK/pid")
    echo "it starts on a full disk"
else
    tail -n 3 "$WORK/agent.log" | grep -E 'full|No space' || fail "the agent does not say why it cannot start"
fi
rm -f "$WORK/state"/filler*
[[ -n $AGENT_PID ]] || node_start
at_rest
check_ledger
room_is_found
want 0 d destroy --force --all >/dev/null
echo ok
