#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: what keeper and stage ask of the kernel may be refused at any place. A life of one container
# is traced (start, exec, console, stop) to learn which system calls they make and how often; then each
# call is refused once, while a witness runs beside. It must end in a clear error or go on; the witness
# keeps its process; nothing is left; and the next life, with nothing refused, is whole.
#   faults_syscalls.sh BUILD [COUNT|all [SEED]]
#   faults_syscalls.sh BUILD one CALL NUMBER
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"
# shellcheck source=checks.sh
. "$(dirname "$0")/checks.sh"
# shellcheck source=tracing.sh
. "$(dirname "$0")/tracing.sh"

COUNT=${2:-40} SEED=${3:-1}

# The word of each command is its exit code; none of them may hang.
life() {
    local code=0
    D_SECONDS=20 d start c-2 >>"$WORK/client.log" 2>&1 || code=$?
    codes="start=$code"
    if ((code == 0)); then
        D_SECONDS=20 d exec c-2 -- /sbin/init return 7 >>"$WORK/client.log" 2>&1 || code=$?
        codes+=" exec=$code" code=0
        D_SECONDS=20 d exec -t c-2 -- /sbin/init return 7 >>"$WORK/client.log" 2>&1 || code=$?
        codes+=" tty=$code"
    fi
    code=0
    D_SECONDS=20 d stop --timeout 1s c-2 >>"$WORK/client.log" 2>&1 || code=$?
    codes+=" stop=$code"
}

# A call that may fail in more than one way fails in the way that is met.
error_of() {
    case $1 in
        open* | socket* | dup* | pipe* | memfd_create | eventfd2 | epoll_create1 | accept4) echo EMFILE ;;
        clone* | fork) echo EAGAIN ;;
        mmap | mremap | munmap | brk | setrlimit | prlimit64) echo ENOMEM ;;
        mount | umount2 | move_mount | mount_setattr | fsopen | fsmount | fsconfig | pivot_root | setns | \
            unshare | chown* | fchown* | lchown | set* | prctl | seccomp | capset) echo EPERM ;;
        write | pwrite64 | ftruncate | mkdir* | symlink* | mknod*) echo ENOSPC ;;
        *) echo EIO ;;
    esac
}

cleanup_tracer() { [[ -z $tracer ]] || kill -INT "$tracer" 2>/dev/null; }
trap 'code=$?; set +e; cleanup_tracer; (exit "$code"); cleanup' EXIT
mkfifo "$WORK/never" # to wait for a moment: nobody writes it

node_start
template trivial
want 0 d create c-1 --template trivial --start >/dev/null
want 0 d create c-2 --template trivial >/dev/null
witness=$(d ls c-1 -f json | jq '.[0].pid')

trace -o "$WORK/trace"
life
untrace
same 'a life that is only watched' 'start=0 exec=7 tty=7 stop=0' "$codes"
# close(2) always closes, whatever it answers: a refused one that did not is no kernel's.
# "PID call(…": the highest count of one process, for each call; guests' own calls are among them.
awk '$2 ~ /^[a-z_0-9]+\(/ { sub(/\(.*/, "", $2); n[$1 " " $2]++ }
    END { for (k in n) { split(k, a, " "); if (n[k] > most[a[2]]) most[a[2]] = n[k] }
          for (c in most) for (i = 1; i <= most[c]; i++) print c, i }' "$WORK/trace" |
    grep -v -E '^(exit|exit_group|rt_sigreturn|restart_syscall|execve|close) ' | sort >"$WORK/calls"
total=$(wc -l <"$WORK/calls")
((total > 200)) || fail "only $total calls were seen: $(tail -n 3 "$WORK/strace.err")"
if [[ $COUNT == one ]]; then
    echo "$3 $4" >"$WORK/calls"
elif [[ $COUNT != all ]]; then
    # Not by head(1): it ends before what it reads from, which then dies of SIGPIPE, and so do we.
    awk -v seed="$SEED" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' "$WORK/calls" | sort | cut -f2 |
        sed -n "1,${COUNT}p" | sort >"$WORK/some"
    mv "$WORK/some" "$WORK/calls"
fi
echo "$(wc -l <"$WORK/calls") of $total calls are refused in turn"

while read -r call number <&3; do
    keeper=$(keeper_pid)
    trace -o "${TRACE:-/dev/null}" -e trace="$call" -e inject="$call:error=$(error_of "$call"):when=$number"
    life
    untrace
    printf '%s %s: %s\n' "$call" "$number" "$codes"
    [[ ! $codes =~ =124 ]] || fail "$call $number: a command hangs: $codes"
    # It may end by what its keeper met, in words; its service manager starts another.
    if ! grep -q '^State:.[^ZX]' "/proc/$AGENT_PID/status"; then
        tail -n 3 "$WORK/agent.log" | grep '^drover-agent: .*keeper' || fail "$call $number: the agent ended"
        AGENT_PID=''
        node_start
    fi
    code=0
    life
    same "$call $number: the life after it" 'start=0 exec=7 tty=7 stop=0' "$codes"
    same "$call $number: the witness" "$witness" "$(d ls c-1 -f json | jq '.[0].pid')"
    check_world >/dev/null
done 3<"$WORK/calls"
check_ledger
echo ok
