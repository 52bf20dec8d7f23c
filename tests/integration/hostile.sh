#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# At stake: a guest's root is nobody outside. Every way out that tests/support/hostile.c knows is tried
# from inside, with the masks of /proc and /sys in place and with each taken off first, in a guest of the
# defaults and in a privileged one; each must meet the errno that is written here, and nothing of the host
# or of a neighbour may have changed.
# shellcheck source=harness.sh
. "$(dirname "$0")/harness.sh"
# shellcheck source=tracing.sh
. "$(dirname "$0")/tracing.sh"

# What each way out meets, in the order of hostile.c: for a guest of the defaults, and where a privileged
# one meets something else. A|B: what kernels of different builds say.
cat >"$WORK/expected" <<'END'
init_module      EPERM
finit_module     EPERM
delete_module    EPERM
kexec            EPERM
kexec_32         EPERM
sysrq            EACCES|ENOENT
core_pattern     EACCES
panic            EACCES
drop_caches      EACCES
file_max         EACCES
host_setting     EACCES|EROFS|ENOENT
kernel_log       EPERM
kmsg             EACCES
kcore            EACCES|ENOENT
clock            EPERM
settimeofday     EPERM
swap             EPERM
accounting       EPERM
bpf              EPERM
perf             EPERM
userfaultfd      EPERM
io_uring         ENOSYS
realtime         EPERM
raise_limit      EPERM
oom_score        EACCES
unknown_call     ENOSYS
x32              ENOSYS
mem              EPERM
kmsg_node        EPERM
disk             EPERM
tun              ENOENT
fuse             ENOENT
tty              ENOENT
ext4             EPERM|ENODEV
debugfs          EPERM|ENODEV
securityfs       EPERM|ENODEV
host_file        ENOENT
chroot           ENOENT
unmount_root     EINVAL
handle           EPERM
unmapped_owner   EINVAL
unmapped_id      EINVAL
read_only_bind   EROFS
descendants      EACCES
depth            EACCES
freeze           EACCES
release_agent    EACCES|ENOENT|ENODEV|EPERM
notify_on_release EACCES|ENODEV|EPERM
memory_limit     EACCES|ENODEV|EPERM
pids_limit       EACCES|ENODEV|EPERM
devices_list     EACCES|ENODEV|EPERM
v1_group         EACCES|ENODEV|EPERM
ptrace           EPERM
process_memory   EPERM
keyring          ENOSYS
request_key      ENOSYS
vsock            EAFNOSUPPORT
alg              EAFNOSUPPORT
tipc             EAFNOSUPPORT
abstract_socket  ECONNREFUSED
END

# met NAME FILE: FILE, what hostile printed, is as expected line by line.
met() {
    awk -v who="$1" '
        NR == FNR { wanted[$1] = $2; order[++n] = $1; next }
        { got[$1] = $2 }
        END {
            for (i = 1; i <= n; i++) {
                name = order[i]
                if (got[name] !~ "^(" wanted[name] ")$") {
                    print "FAILED: " who ": " name " met " (name in got ? got[name] : "nothing") ", not " wanted[name]
                    bad = 1
                }
            }
            exit bad
        }' "$WORK/expected" "$2" >&2
}

node_start
template busybox
mkdir "$WORK/shown" && echo kept >"$WORK/shown/file"
MARK=$WORK/mark
echo host >"$MARK"
# Somebody of the host listens on an abstract name.
socat "ABSTRACT-LISTEN:$MARK,fork" /dev/null &

guest() {
    local name=$1
    shift
    want 0 d create "$name" --template busybox --memory 64M --swap 0 --pids 64 \
        --bind "$BUILD/test.support.hostile:/hostile:ro" --bind "$WORK/shown:/bound:ro" "$@" >/dev/null
    want 0 d start "$name" >/dev/null
}
guest evil
guest neighbour

# What must be the same before and after.
witness() {
    local file
    for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/panic_on_oops /proc/sys/fs/file-max \
        /proc/sys/kernel/hostname /sys/kernel/mm/transparent_hugepage/enabled; do
        [[ ! -e $file ]] || echo "$file: $(cat "$file")"
    done
    echo "mounts: $(grep -c "$NODE" /proc/self/mountinfo) $(grep -c "$WORK" /proc/self/mountinfo)"
    echo "swaps: $(wc -l </proc/swaps)"
    cat "$MARK" "$WORK/shown/file"
    ls -lA "$WORK/shown"
    d exec neighbour -- /bin/sh -c 'wc -l </proc/self/mountinfo; hostname
        cat /proc/sys/kernel/msgmax; ls /dev /bound'
    d ls neighbour -f json | jq '.[0] | .pid, .generation, .state'
    cat "$V2/drover.$NODE/neighbour.1/cgroup.freeze" "$V2/drover.$NODE/neighbour.1/cgroup.max.descendants"
}
witness >"$WORK/before"

d exec evil -- /hostile escapes "$MARK" >"$WORK/masked"
met 'with masks' "$WORK/masked"
d exec evil -- /hostile unmask >"$WORK/unmask"
[[ -s $WORK/unmask ]] || fail "nothing was masked"
same 'masks that stay' '' "$(grep stays "$WORK/unmask" || true)"
d exec evil -- /hostile escapes "$MARK" >"$WORK/unmasked"
met 'without masks' "$WORK/unmasked"
echo "$(wc -l <"$WORK/masked") ways out, $(grep -c off "$WORK/unmask") masks"

# What is taken apart inside is the guest's own loss: it boots again with all of it in place.
d exec evil -- /bin/sh -c 'umount -l /dev/console /dev/pts /sys/fs/cgroup /sys /run; mount -t tmpfs none /etc
    mount -t tmpfs none /proc; hostname gone; mount -t tmpfs none /' || true
want 0 d kill evil
want 0 d start evil
d exec evil -- /hostile escapes "$MARK" >"$WORK/again"
met 'after it tore all down' "$WORK/again"
witness >"$WORK/after"
same 'the host and the neighbour' "$(cat "$WORK/before")" "$(cat "$WORK/after")"

# A setuid file of the guest's root is root's on the host's disk; nobody else of the host gets there.
d exec evil -- /bin/sh -c 'cp /bin/busybox /su && chmod 4755 /su'
file=$(find "$WORK/state/containers" -name su -type f)
same 'a setuid file' '0 4755' "$(stat -c '%u %a' "$file")"
want 1 setpriv --reuid 65534 --regid 65534 --clear-groups test -e "$file"
same 'the state directory' '0 700' "$(stat -c '%u %a' "$WORK/state")"

# watched NAME COUNT FILE: NAME looks at COUNT helpers before they become commands. The host sends one
# command after another, and each execve(2) takes 100 ms more, so that it does not hang on luck that the
# guest sees them.
watched() {
    local watcher
    d exec "$1" -- /hostile helpers "$2" >"$3" &
    watcher=$!
    trace -qq -o /dev/null -e trace=execve -e inject=execve:delay_enter=100000
    for ((i = 0; i < 400; i++)); do
        kill -0 "$watcher" 2>/dev/null || break
        d exec "$1" -- /bin/true
    done
    wait "$watcher" || fail "no helper was seen in $i commands"
    untrace
}
watched evil 3 "$WORK/helpers"
echo "helpers seen in $i commands; what could be opened: $(sort "$WORK/helpers" | uniq -c | tr -s ' ' | paste -sd,)"
same 'what could be got at' '' "$(grep -E 'done' "$WORK/helpers" || true)"
same 'tries' 27 "$(wc -l <"$WORK/helpers")"

# A privileged guest's root is the host's, and still has its list of calls and devices.
guest trusted --privileged
d exec trusted -- /hostile escapes "$MARK" >"$WORK/privileged"
filtered='init_|finit_|delete_|kexec|kernel_log|clock|settimeofday|swap|acc|bpf|perf|userf|io_u|unknown|x32'
inside='mem |disk|kmsg_node|handle|ptrace|process_m|key|request|vsock|alg|tipc|host_file|chroot|abstract'
grep -Ev "^($filtered|$inside)" "$WORK/expected" >"$WORK/drop"
grep -vxFf "$WORK/drop" "$WORK/expected" >"$WORK/kept" && mv "$WORK/kept" "$WORK/expected"
met 'privileged' "$WORK/privileged"
# It may look at a helper of the host, and not write to what that runs from.
watched trusted 1 "$WORK/trusted"
grep -q '^exe 0 done' "$WORK/trusted" || fail "the privileged guest saw no helper: $(<"$WORK/trusted")"
grep -qE '^exe (ETXTBSY|EPERM|EACCES)$' "$WORK/trusted" || fail "the helper's program was opened: $(<"$WORK/trusted")"
want 0 d stop --all --timeout 60s >/dev/null
echo ok
