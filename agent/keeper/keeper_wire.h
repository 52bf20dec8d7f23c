/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper_wire.h — what agent and keeper say to each other on RUN/keeper.sock.
 *
 * Shape    SOCK_SEQPACKET; one record a packet: a fixed struct that begins with struct kw_header,
 *          with at most KW_FDS_MAX descriptors by SCM_RIGHTS, each named by a role in the struct.
 *          LAUNCH and SPAWN carry their variable part in a memfd (keeper_plan.h).
 * Units    *_ns CLOCK_MONOTONIC nanoseconds, *_wall_ns CLOCK_REALTIME; host byte order: the two
 *          ends are on one machine, of one build or its neighbour.
 * Errors   a record that does not fit its struct, version or phase is answered KW_REFUSED and
 *          changes nothing; its descriptors are closed.
 * Owner    the receiver owns the descriptors of a record as soon as it read it.
 * Context  data only; both ends include it. Source: unix(7), cmsg(3); SCM_MAX_FD is 253.
 */
#ifndef DROVER_KEEPER_WIRE_H
#define DROVER_KEEPER_WIRE_H

#include <assert.h>
#include <stdint.h>

#define KW_MAGIC 0x31574b44u /* "DKW1" */
#define KW_VERSION 1
#define KW_FDS_MAX 128
#define KW_CANDIDATES_MAX 8
#define KW_ENTRIES_MAX 16384 /* launches in the keeper's table, ended ones included */
#define KW_STAGES_MAX 64     /* launches between LAUNCH and the exec result */
#define KW_SPAWNS_MAX 1024
#define KW_NAME_BYTES 64
#define KW_REQUEST_BYTES 72
#define KW_NOTIFY_STATUS_BYTES 128
#define KW_BUILD_BYTES 48

enum kw_type {
    /* agent to keeper */
    KW_HELLO = 1,
    KW_LAUNCH,
    KW_GO,
    KW_ABORT,
    KW_SPAWN,
    KW_ACK,
    KW_ACK_SPAWN,
    KW_ADOPT,
    KW_REEXEC,
    KW_CONSOLE,  /* unknown to keepers before it: answered KW_REFUSED_TYPE */
    KW_EARLY_GO, /* likewise; then GO is refused before STAGED, and said again at it */
    /* keeper to agent */
    KW_WELCOME = 64,
    KW_RECORD,
    KW_SPAWN_RECORD,
    KW_SYNCED, /* every entry that WELCOME announced has been sent */
    KW_REFUSED,
    KW_REEXECED, /* first words of the new build; HELLO is expected next */
};

/* What a descriptor of a record is for. Zero ends the list early. */
enum kw_role {
    KW_FD_NONE = 0,
    /* LAUNCH */
    KW_FD_PLAN,   /* memfd, sealed against writing */
    KW_FD_CGROUP, /* v2 directory that init is cloned into */
    KW_FD_TASKS,  /* `tasks` of a v1 group, O_WRONLY; the child writes "0" */
    KW_FD_LOWER,  /* detached mount of a template; first is topmost */
    KW_FD_UPPER,  /* detached mount of the directory that holds upper/ and work/ */
    KW_FD_ROOT,   /* detached mount of a plain root directory, instead of the two above */
    KW_FD_MOUNT,  /* detached mount that a KP_ATTACH entry of the plan names by index */
    KW_FD_NOTIFY, /* bound AF_UNIX datagram socket on which the guest says READY=1 */
    KW_FD_RING,   /* memfd for the console ring, already sized */
    /* SPAWN, besides PLAN, CGROUP, TASKS */
    KW_FD_TARGET, /* pidfd whose namespaces the child joins */
    KW_FD_STDIN,
    KW_FD_STDOUT,
    KW_FD_STDERR,
    KW_FD_KILL, /* cgroup.kill of the leaf, O_WRONLY: written at the deadline or on agent loss */
    /* ADOPT, RECORD */
    KW_FD_PID, /* pidfd */
    /* RECORD, CONSOLE */
    KW_FD_PTY,     /* master of the console, for input and window size */
    KW_FD_OUTPUT,  /* eventfd: rises when the ring has grown */
    KW_FD_NETNS,   /* only at STAGED */
    KW_FD_NETLINK, /* route netlink socket opened inside; only at STAGED */
    KW_FD_MNTNS,   /* only at STAGED */
    /* REEXEC */
    KW_FD_BINARY,
    /* SPAWN: a sealed memfd that is executed instead of argv[0], which is its name then */
    KW_FD_PROGRAM,
};

#define KW_FD_IDMAP 0x80u /* or-ed to a mount's role: map it with the child's user namespace */

struct kw_header {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t size_bytes; /* of the whole struct */
    uint32_t fd_count;
};
static_assert(sizeof(struct kw_header) == 16, "wire");

/* Who a launch is for; the keeper only keeps it and says it again. */
struct kw_labels {
    uint8_t uuid[16];
    uint64_t generation;
    char name[KW_NAME_BYTES];
    char request[KW_REQUEST_BYTES]; /* NUL-terminated; empty: no command stood behind it */
};
static_assert(sizeof(struct kw_labels) == 160, "wire");

struct kw_hello {
    struct kw_header header;
    char build[KW_BUILD_BYTES];
};

struct kw_welcome {
    struct kw_header header;
    char build[KW_BUILD_BYTES];
    int32_t pid;
    uint32_t entries;     /* records that follow before SYNCED */
    uint64_t started_ns;  /* of the keeper, kept over a re-exec */
    uint64_t launch_last; /* highest launch number ever seen: new ones go above it */
};

/* fds: PLAN, CGROUP, TASKS…, LOWER…+UPPER or ROOT, MOUNT…, NOTIFY?, RING */
struct kw_launch {
    struct kw_header header;
    uint64_t launch; /* number chosen by the agent, grows for ever */
    struct kw_labels labels;
    uint64_t stage_deadline_ns; /* CLOCK_MONOTONIC; a stage that is late is killed */
    uint8_t roles[KW_FDS_MAX];  /* enum kw_role | KW_FD_IDMAP, one per descriptor */
};

/* From here on launches of this connection are held without a word: GO may come at any time after
 * LAUNCH, STAGED is neither a phase nor told, and none of its descriptors are made. */
struct kw_early_go {
    struct kw_header header;
    uint64_t but; /* one that is told STAGED all the same, and takes GO after it; 0: none */
};

struct kw_go { /* GO and ABORT */
    struct kw_header header;
    uint64_t launch;
};

/* fds: PLAN, TARGET?, CGROUP?, TASKS…, STDIN, STDOUT, STDERR, KILL?, PROGRAM? */
struct kw_spawn {
    struct kw_header header;
    uint64_t spawn;       /* number chosen by the agent, grows for ever */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */
    uint8_t roles[KW_FDS_MAX];
};

/* Clears the dirty mark of an entry if nothing newer than `change` exists. */
struct kw_ack {
    struct kw_header header;
    uint64_t launch; /* or spawn, for ACK_SPAWN */
    uint64_t generation;
    uint64_t change;
};

/* A guest of a keeper that died: watched by pidfd, its status can never be known. fds: PID */
struct kw_adopt {
    struct kw_header header;
    uint64_t launch;
    struct kw_labels labels;
    uint8_t roles[KW_FDS_MAX];
};

/*
 * A console for a guest whose keeper died, with its pty: the launch's next record brings the new
 * one, and a helper in the guest's mount namespace binds it over /dev/console, where the dead one
 * is still. The helper is told of as the spawn. Harmless where all that is so already.
 * fds: RING, and PTY if the agent still holds the old master: then nothing dies.
 */
struct kw_console {
    struct kw_header header;
    uint64_t spawn;       /* number chosen by the agent, as SPAWN's */
    uint64_t launch;      /* an adopted one */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, of the helper */
    uint32_t uid_base;    /* of the guest's user namespace; 0: it has none */
    uint32_t uid_count;
    uint8_t roles[KW_FDS_MAX];
};

struct kw_reexec { /* fds: BINARY */
    struct kw_header header;
    uint8_t roles[KW_FDS_MAX];
};

enum kw_phase {
    KW_PHASE_UNSET = 0,
    KW_PHASE_STAGING,  /* cloned, not yet ready for GO */
    KW_PHASE_STAGED,   /* waits for GO or ABORT */
    KW_PHASE_BOOTED,   /* an init candidate was executed */
    KW_PHASE_FAILED,   /* ended before any exec succeeded; final */
    KW_PHASE_ENDED,    /* PID 1 ended and was reaped; final */
    KW_PHASE_DRAINING, /* spawn: ended, its status is known; its relay still passes on */
};

/* Where a launch stopped; names are told to operators, so only append. */
#define KW_STEP_LIST(X)                                                                            \
    X(NONE, none)                                                                                  \
    X(CLONE, clone)                                                                                \
    X(IDMAP, idmap)                                                                                \
    X(LIMITS, limits)                                                                              \
    X(CGROUP, cgroup)                                                                              \
    X(NAMESPACES, namespaces)                                                                      \
    X(ROOT, root)                                                                                  \
    X(MOUNTS, mounts)                                                                              \
    X(PIVOT, pivot)                                                                                \
    X(NETWORK, network)                                                                            \
    X(IDS, ids)                                                                                    \
    X(CAPABILITIES, capabilities)                                                                  \
    X(SECCOMP, seccomp)                                                                            \
    X(GO, go)                                                                                      \
    X(EXEC, exec)                                                                                  \
    X(DEADLINE, deadline)                                                                          \
    X(ABORTED, aborted)                                                                            \
    X(CWD, cwd)

enum kw_step {
#define KW_STEP_ENUM(upper, lower) KW_STEP_##upper,
    KW_STEP_LIST(KW_STEP_ENUM)
#undef KW_STEP_ENUM
        KW_STEP_COUNT
};

/* Everything known of one launch, always whole: the last record replaces those before it. */
struct kw_record {
    struct kw_header header;
    uint64_t launch;
    struct kw_labels labels;
    uint64_t change; /* grows with each change of this entry */
    uint32_t phase;  /* enum kw_phase */
    int32_t pid;     /* host's; 0 when reaped */
    uint32_t is_adopted;
    uint32_t failed_step;                       /* enum kw_step, for FAILED */
    int32_t failed_errno;                       /* 0: the child died without a word (killed, OOM) */
    int32_t failed_detail;                      /* index of the plan's mount entry, for MOUNTS */
    uint32_t candidate_count;                   /* candidates tried so far */
    int32_t candidate_errno[KW_CANDIDATES_MAX]; /* 0: this one was executed */
    uint32_t is_status_known;
    int32_t wait_status;  /* as waitpid(2) gives it; valid when is_status_known */
    uint32_t is_ready;    /* READY=1 was heard */
    uint32_t is_stopping; /* STOPPING=1 was heard */
    uint64_t received_ns; /* LAUNCH read */
    uint64_t cloned_ns;
    uint64_t outside_ns; /* id maps, limits, idmapped mounts done */
    uint64_t staged_ns;
    uint64_t go_ns;
    uint64_t exec_ns; /* exec result read */
    uint64_t ready_ns;
    uint64_t ended_ns;
    uint64_t ended_wall_ns;
    uint64_t console_dropped; /* octets not put into the ring because its budget was spent */
    char notify_status[KW_NOTIFY_STATUS_BYTES]; /* last STATUS=, cut, control bytes as '?' */
    uint8_t roles[8]; /* PID, PTY, RING, OUTPUT once a connection; NETNS… at STAGED */
};

struct kw_spawn_record {
    struct kw_header header;
    uint64_t spawn;
    uint64_t change;
    uint32_t phase; /* STAGING, BOOTED (executed), FAILED, ENDED */
    int32_t pid;
    int32_t exec_errno;   /* for FAILED */
    uint32_t failed_step; /* enum kw_step, for FAILED */
    uint32_t is_timed_out;
    int32_t wait_status;
    uint8_t roles[8]; /* PID once executed; PTY when the plan asked for a terminal */
};

enum kw_refusal {
    KW_REFUSED_MALFORMED = 1, /* size, magic, roles, a plan that does not parse */
    KW_REFUSED_VERSION,
    KW_REFUSED_TYPE,
    KW_REFUSED_UNKNOWN,   /* no such launch or spawn */
    KW_REFUSED_DUPLICATE, /* a number that was used before */
    KW_REFUSED_PHASE,     /* GO before STAGED, ACK of an entry that lives… */
    KW_REFUSED_FULL,      /* table, stages or spawns */
    KW_REFUSED_BINARY,    /* REEXEC: the new build's table check said no, or stages are in flight */
};

struct kw_refused {
    struct kw_header header;
    uint64_t number; /* launch or spawn that was asked for; 0: unknown */
    uint32_t type;   /* of the refused record, as read */
    uint32_t reason; /* enum kw_refusal */
    int32_t error;   /* errno, or 0 */
    uint32_t zero;
};

/* The console ring, in the memfd KW_FD_RING: this header in its first page, then the octets. The
 * keeper alone writes; a reader copies, then looks at `written` again to know what was overrun. */
struct kw_ring {
    uint32_t magic;      /* KW_MAGIC */
    uint32_t size_bytes; /* of the data part, a power of two */
    uint64_t written;    /* octets ever written; position in data is written % size_bytes */
};
#define KW_RING_DATA_OFFSET 4096
#define KW_RING_DEFAULT_BYTES 65536

#endif
