/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_plan.h — the variable part of a LAUNCH or SPAWN: one packed block in a memfd.
 *
 * Shape    struct kp_header, then tables at the offsets it names, then strings. A string is an
 *          offset from the block's start to a NUL-terminated text; offset 0 means absent.
 * Units    offsets and sizes in octets; counts are entries.
 * Errors   kp_check() (keeper_plan.c) answers -EBADMSG for any offset, count or text out of bounds.
 * Owner    made by the agent (plan.c), read once by the keeper; nobody changes it after that.
 * Context  data only; the agent decides the layout of a guest here, the stage only carries it out.
 */
#ifndef DROVER_KEEPER_PLAN_H
#define DROVER_KEEPER_PLAN_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define KP_MAGIC 0x31504b44u /* "DKP1" */
#define KP_VERSION 1
#define KP_BYTES_MAX (256 * 1024)
#define KP_MOUNTS_MAX 160
#define KP_ARGS_MAX 1024
#define KP_RLIMITS_MAX 16
#define KP_CAPS_ALL UINT64_MAX

#define KP_GO_AT_ONCE (1u << 0) /* no GO is awaited; no netlink socket is handed out */
#define KP_USERNS (1u << 1)     /* launch: own user namespace of uid_base, uid_count */
#define KP_NEWNET (1u << 2)     /* launch: own network namespace, lo is set up */
#define KP_TTY (1u << 3) /* spawn: STDIN…STDERR are a new pty; its master goes in the record */
#define KP_JOIN_USER (1u << 4) /* spawn: namespaces of KW_FD_TARGET to join */
#define KP_JOIN_PID (1u << 5)
#define KP_JOIN_MNT (1u << 6)
#define KP_JOIN_NET (1u << 7)
#define KP_JOIN_UTS (1u << 8)
#define KP_JOIN_IPC (1u << 9)
#define KP_JOIN_CGROUP (1u << 10)
#define KP_JOIN_TIME (1u << 11)
#define KP_NEWTIME (1u << 12) /* launch: own time namespace; boot time and monotonic begin at 0 */
#define KP_FIND_IN_PATH (1u << 13) /* spawn: argv[0] without a slash is looked for in env's PATH */
#define KP_PTY (1u << 14)          /* launch: a console is allocated (always, but for tests) */
#define KP_PROBE_FILE (1u << 15)   /* spawn: execute nothing; end with 0 once argv[0] is there */
#define KP_PROBE_TCP (1u << 16)    /* … once port argv[0] of the loopback address accepts */
#define KP_RELAY                                                                                   \
    (1u                                                                                            \
     << 17) /* spawn: STDIN, STDOUT, STDERR are stream sockets, for a process between them and  \
                  the command's pipes. With KP_TTY the last brings sizes: uint16_t rows, columns */

/* One thing done below the new root, in order. `target` is relative to the root, resolved with
 * openat2(RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS); directories on its way are made if missing. */
enum kp_kind {
    KP_ATTACH = 1, /* attach fd_index (of the LAUNCH's descriptors, role MOUNT) at target; `flags`:
                      MOUNT_ATTR_* to set on it. is_file says what a missing target is made as */
    KP_TMPFS,      /* new tmpfs, options in `options`, MS_* in flags */
    KP_PROC,
    KP_SYSFS,
    KP_CGROUP2,
    KP_DEVPTS, /* newinstance,ptmxmode=0666,mode=0620,gid=5 */
    KP_MQUEUE,
    KP_CONSOLE, /* the pty slave over target (a file) */
    KP_MASK, /* /dev/null over a file, an empty read-only tmpfs over a directory; absent: skipped */
    KP_READONLY, /* bind on itself, read-only; absent: skipped */
    KP_SYMLINK,  /* text in `options`; kept if something is there */
    KP_MKDIR,    /* mode in flags; kept if it is there */
    KP_CGROUP1,  /* a v1 hierarchy, as `options` name it */
};

struct kp_mount {
    uint32_t kind;
    uint32_t target;  /* string */
    uint32_t options; /* string or 0 */
    int32_t fd_index; /* of the record's descriptors; -1: none */
    uint64_t flags;   /* MS_*, MOUNT_ATTR_* or a mode, as the kind says */
    uint32_t is_file;
    uint32_t is_optional; /* a failure is passed over (mqueue where the kernel has none) */
};

struct kp_rlimit {
    uint32_t resource; /* RLIMIT_* */
    uint32_t zero;
    uint64_t soft;
    uint64_t hard;
};

struct kp_header {
    uint32_t magic;
    uint16_t version;
    uint16_t zero;
    uint32_t size_bytes; /* of the whole block */
    uint32_t flags;      /* KP_* */
    uint32_t uid_base;   /* first host uid and gid of the range */
    uint32_t uid_count;
    uint32_t uid; /* spawn: ids inside the joined user namespace */
    uint32_t gid;
    uint32_t group_count; /* spawn: supplementary, uint32_t each at `groups` */
    uint32_t groups;
    uint64_t caps_keep; /* bounding set that remains, bit n = capability n */
    uint32_t mounts;    /* offset of struct kp_mount[mount_count] */
    uint32_t mount_count;
    uint32_t rlimits; /* offset of struct kp_rlimit[rlimit_count] */
    uint32_t rlimit_count;
    uint32_t candidates; /* launch: offset of uint32_t strings, paths of init to try in order */
    uint32_t candidate_count;
    uint32_t argv; /* offset of uint32_t strings; launch: argv[0] is replaced by the candidate's */
    uint32_t argv_count;
    uint32_t env;
    uint32_t env_count;
    uint32_t hostname; /* string or 0 */
    uint32_t cwd;      /* spawn: string, resolved after joining; 0: / */
    uint32_t seccomp;  /* offset of struct sock_filter[seccomp_count], 8-aligned; 0: none */
    uint32_t seccomp_count;
    int32_t oom_score_adj;
    uint32_t rows; /* of the pty, 0: 24 × 80 */
    uint32_t columns;
    uint32_t zero2;
};
static_assert(sizeof(struct kp_header) % 8 == 0, "tables follow aligned");

/* The string at an offset, or NULL for 0; the block has been checked. */
static inline const char *kp_string(const struct kp_header *plan, uint32_t offset)
{
    return offset == 0 ? NULL : (const char *)plan + offset;
}

/*
 * Check a block before anything in it is used.
 *   block  in  aligned to 8, size_bytes octets were read into it
 * Returns 0 or -EBADMSG.
 */
int kp_check(const void *block, size_t size_bytes);

#endif
