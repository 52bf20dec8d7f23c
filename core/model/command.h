/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h — what an operator asks of one container, as the model sees it.
 *
 * Shape    struct ct_command is whole in itself: no pointer.
 * Units    *_ns nanoseconds.
 * Errors   none; the verdict comes from node_step().
 * Owner    whoever holds the copy.
 * Context  pure. Numbers of enums are on the wire and in databases: append only.
 */
#ifndef DROVER_COMMAND_H
#define DROVER_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "fault.h"

#define VERB_LIST(X)                                                                               \
    X(UNSET, unset)                                                                                \
    X(CREATE, create)                                                                              \
    X(START, start)                                                                                \
    X(STOP, stop)                                                                                  \
    X(KILL, kill)                                                                                  \
    X(REBOOT, reboot)                                                                              \
    X(FREEZE, freeze)                                                                              \
    X(THAW, thaw)                                                                                  \
    X(DESTROY, destroy)                                                                            \
    X(SET, set)

enum verb {
#define VERB_ENUM(upper, lower) VERB_##upper,
    VERB_LIST(VERB_ENUM)
#undef VERB_ENUM
        VERB_COUNT
};
const char *verb_name(enum verb verb);

/* Numbers are on the wire and in databases: append only. */
enum ready {
    READY_UNSET,
    READY_AUTO,
    READY_EXEC,
    READY_NOTIFY,
    READY_CONSOLE, /* a text on its console */
    READY_FILE,    /* a path that is there */
    READY_TCP,     /* a port that accepts */
    READY_COUNT
};

/* Who PID 1 is: decides arguments, environment, readiness and how it is asked to stop. Numbers are
 * on the wire and in databases: append only. */
#define FAMILY_LIST(X)                                                                             \
    X(UNKNOWN, unknown)                                                                            \
    X(SYSTEMD, systemd)                                                                            \
    X(SYSVINIT, sysvinit)                                                                          \
    X(OPENRC, openrc)                                                                              \
    X(BUSYBOX, busybox)                                                                            \
    X(RUNIT, runit)

enum family {
#define FAMILY_ENUM(upper, lower) FAMILY_##upper,
    FAMILY_LIST(FAMILY_ENUM)
#undef FAMILY_ENUM
        FAMILY_COUNT
};
const char *family_name(enum family family);

enum restart_on { RESTART_UNSET, RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_COUNT };
enum node_lost { NODE_LOST_UNSET, NODE_LOST_REPORT, NODE_LOST_RESTART, NODE_LOST_COUNT };
enum autostart {
    AUTOSTART_UNSET,   /* as DEFAULT */
    AUTOSTART_DEFAULT, /* if it ran before the machine went down */
    AUTOSTART_YES,
    AUTOSTART_NO,
    AUTOSTART_DISABLED, /* nor by a command, but with force */
    AUTOSTART_COUNT
};
/* What the node's boot has to do with a container that does not run. */
enum ct_boot {
    CT_BOOT_NONE,
    CT_BOOT_DUE,  /* its turn comes at the boot that is under way */
    CT_BOOT_NEXT, /* it ran, and was ended for a shutdown: it boots when the node does */
    CT_BOOT_COUNT
};
/* What becomes of keys of a SET that cannot change under a guest that runs. */
enum set_when { SET_UNSET, SET_AT_ONCE, SET_NEXT_START, SET_RESTART, SET_WHEN_COUNT };
enum wait_for { WAIT_FOR_UNSET, WAIT_FOR_READY, WAIT_FOR_EXEC, WAIT_FOR_ACCEPTED, WAIT_FOR_COUNT };

/* How far a command came. ACCEPTED alone is not final. */
enum phase {
    PHASE_UNSET,
    PHASE_ACCEPTED,
    PHASE_DONE,
    PHASE_UNCHANGED,
    PHASE_FAILED,
    PHASE_SUPERSEDED,
    PHASE_NOT_SENT,
    PHASE_RESULT_UNKNOWN,
    PHASE_QUEUED,
    PHASE_COUNT
};

/* What the model must know of a container's configuration. */
struct ct_policy {
    enum restart_on restart;
    bool is_reboot_denied;
    bool is_start_disabled; /* a command to start it needs force */
    enum autostart autostart;
    uint32_t order; /* at the node's boot: higher ones first */
    uint64_t grace_ns;
    uint64_t ready_ns;  /* for it to be ready, from its init on; 0: BOOT_DEADLINE_NS */
    bool is_ready_kept; /* not ready by then: the command ends, and the guest goes on */
};

/* A SET, as far as it is decided here: sets of bits, one a key of the configuration. */
struct ct_set {
    uint64_t keys;       /* that it names */
    uint64_t stop_keys;  /* of these, what differs and takes a stop */
    uint64_t limit_keys; /* …, what differs and is written to a living cgroup */
    bool is_same;        /* nothing differs */
    enum set_when when;  /* UNSET is AT_ONCE: what takes a stop is refused */
    uint64_t base;       /* the revision that it was worked out from */
    uint64_t asked_base; /* … that whoever asked had in mind; 0: any */
};

struct ct_command {
    char request[REQUEST_ID_BYTES];
    uint64_t origin; /* who hears the receipts; the model only carries it */
    uint64_t hash;   /* of the whole command, for repeated request ids; carried likewise */
    enum verb verb;
    char container[NAME_BYTES]; /* name, or uuid as text */
    enum wait_for wait;         /* START, REBOOT, CREATE with is_started */
    uint64_t grace_ns;          /* STOP, REBOOT; 0: the container's */
    bool is_forced;             /* DESTROY, START */
    bool is_for_shutdown;       /* STOP, KILL: what runs boots again with the node */
    uint8_t uuid[UUID_BYTES];   /* CREATE: of the new one */
    struct ct_policy policy;    /* CREATE, SET */
    bool is_started;            /* CREATE: then as START */
    struct ct_set set;          /* SET */
};

/* One word of an answer to a command. */
struct ct_receipt {
    char request[REQUEST_ID_BYTES];
    uint64_t origin;
    uint64_t hash;
    enum verb verb;
    enum phase phase;
    struct fault fault;
    bool has_ct;
    uint32_t ct; /* index of the container it was about */
    /* Keys of a SET: what is in force, and what will be. Of one that failed the latter are those
     * that take a stop. */
    uint64_t applied;
    uint64_t at_next_start;
};

#endif
