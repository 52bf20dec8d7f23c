/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h — the one object of the daemon, and what its parts do for each other.
 *
 * Shape    struct keeper is static in main.c and passed around; parts are named by their file.
 * Units    *_ns CLOCK_MONOTONIC; 0 for a deadline that does not exist. -1 is the empty descriptor.
 * Errors   -errno, or an enum kw_refusal where a record of the agent is answered (0: accepted).
 * Owner    the keeper; descriptors of a record belong to its handler once it sets them to -1.
 * Context  single-threaded; nothing blocks, nothing allocates after the start.
 */
#ifndef DROVER_KEEPER_H
#define DROVER_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "child.h"
#include "keeper_plan.h"
#include "keeper_wire.h"
#include "table.h"

#define KEEPER_HIERARCHIES_MAX 16
#define KEEPER_CGROUP_BYTES 256
#define KEEPER_FIRST_AGENT_NS (UINT64_C(10) * 1000000000)
#define KEEPER_CHECK_NS (UINT64_C(5) * 1000000000)
#define KEEPER_RETRY_NS (UINT64_C(100) * 1000000)  /* after a shortage that makes no event */
#define KEEPER_STATUS_NS (UINT64_C(250) * 1000000) /* a flood of STATUS= is told as its last */

struct launch_stage {
    uint32_t slot; /* of its entry */
    bool is_used;
    bool is_told;  /* netns, netlink, mntns were sent */
    bool is_quiet; /* its agent said KW_EARLY_GO */
    struct birth birth;
    struct cargo cargo; /* lent too */
    struct lent lent;
    int staged[3]; /* netns, netlink, mntns, until they are sent */
    uint64_t deadline_ns;
};

struct spawn {
    uint64_t number; /* 0: free */
    uint64_t change;
    uint32_t phase; /* enum kw_phase; 0: free */
    pid_t pid;      /* 0: reaped */
    int32_t exec_errno;
    uint32_t failed_step;
    int32_t wait_status;
    int pidfd;
    int pty;
    int kill; /* cgroup.kill of its leaf */
    struct birth birth;
    uint64_t deadline_ns;
    bool is_unsent;
    bool is_pid_sent;
    bool is_timed_out;
    bool is_orphan; /* its agent is gone: nobody is told, it is only reaped */
    /* Behind what an older build's table has of it. */
    _Alignas(8) pid_t relay; /* stands between the command and the agent; 0: none, or reaped */
};

enum agent_phase {
    AGENT_NONE = 0,
    AGENT_NEW, /* HELLO is expected */
    AGENT_GREETED,
};

struct keeper {
    int epoll;
    int listen;
    int agent;
    int signals;
    int timer;
    int pid_ns; /* our own, to come back from a guest's */
    int hierarchies[KEEPER_HIERARCHIES_MAX];
    uint32_t hierarchy_count;
    char cgroup[KEEPER_CGROUP_BYTES]; /* below each hierarchy's root, without slashes at its ends */
    uint64_t started_ns;
    uint64_t launch_last;    /* highest number ever seen */
    uint64_t first_agent_ns; /* until then a keeper without work waits; 0: one has been here */
    uint64_t retry_ns;
    uint64_t status_ns;  /* held STATUS= are told then; 0: none is held */
    bool is_timer_stale; /* a deadline changed */
    bool is_reap_owed;   /* the kernel would not tell who ended: asked again soon */
    bool is_ending;      /* SIGTERM was heard */

    enum agent_phase agent_phase;
    uint32_t agent_events; /* as epoll knows them */
    bool is_blocked;       /* its socket took no more; wait for EPOLLOUT */
    bool is_broken;        /* it cannot be written to; its end is still to be read */
    bool is_go_early;      /* it said KW_EARLY_GO */
    uint64_t staged_told;  /* the launch that is excepted from it */
    bool has_reexeced;     /* to be sent, in this order */
    bool has_welcome;
    bool has_refused; /* while it stands, nothing is read */
    bool has_synced;
    struct kw_refused refused;
    int32_t refusal_error; /* errno that goes with the refusal being made */

    pid_t check_pid; /* the new build's table check; 0: none */
    int binary;      /* sealed copy of the new build */
    uint64_t check_deadline_ns;

    struct launch_stage stages[KW_STAGES_MAX];
    uint32_t spawn_high; /* slots from here on are free */
    struct spawn spawns[KW_SPAWNS_MAX];
    struct table table;
};

/* loop.c ------------------------------------------------------------------------------------- */

enum watch_kind {
    WATCH_LISTEN = 1,
    WATCH_AGENT,
    WATCH_SIGNALS,
    WATCH_TIMER,
    WATCH_PTY, /* these four name an entry */
    WATCH_NOTIFY,
    WATCH_STAGE,
    WATCH_ADOPTED,
    WATCH_SPAWN, /* a spawn's report socket */
};

/* Make what the loop needs beside the listening socket. */
int loop_init(struct keeper *k);

/* Serve until there is nothing left to keep. */
void loop_run(struct keeper *k);

int watch_add(struct keeper *k, enum watch_kind kind, int fd, uint32_t slot, uint64_t number);

/* Close a watched descriptor. Closing alone is not enough: a stage child or the agent may hold the
 * same description, and epoll would go on reporting it. */
void watch_close(struct keeper *k, int *fd);

/* home.c ------------------------------------------------------------------------------------- */

/* Execute a sealed copy of ourselves, once; returns where that is withheld. */
void home_seal(char **argv);

/* A mount namespace that holds nothing of the host. */
int home_enter_namespace(void);

int home_enter_cgroups(const struct keeper *k);
void home_leave_cgroups(const struct keeper *k);

/* The v2 group of helpers that belong to no guest's: who reads ours finds us alone, as the one that
 * is to be ended or looked at. -errno: they stay in ours. */
int home_open_helpers(const struct keeper *k);

/* Sealed copy of an executable; returns the descriptor. */
int home_copy_binary(int fd);

/* receive.c ---------------------------------------------------------------------------------- */

void receive_listen(struct keeper *k, bool is_wanted);
void receive_accept(struct keeper *k);
void receive_records(struct keeper *k, uint32_t events);

/* send.c ------------------------------------------------------------------------------------- */

/* Send what the agent has not heard, as far as its socket takes it. */
void send_all(struct keeper *k);

void send_refused(struct keeper *k, uint64_t number, uint32_t type, enum kw_refusal reason,
                  int32_t error);

/* launch.c ----------------------------------------------------------------------------------- */

enum kw_refusal launch_begin(struct keeper *k, const struct kw_launch *record, struct cargo *cargo);
enum kw_refusal launch_go(struct keeper *k, uint64_t launch);
enum kw_refusal launch_abort(struct keeper *k, uint64_t launch);

/* Kill a launch that has not executed anything; it ends as FAILED with these. */
void launch_fail(struct keeper *k, struct entry *entry, enum kw_step step, int error);

/* Read what its stage said. is_dead: and says no more. */
void launch_reports(struct keeper *k, struct entry *entry, bool is_dead);
void launch_agent_lost(struct keeper *k);
void launch_deadlines(struct keeper *k, uint64_t now_ns);

/* The stage of an entry is over. */
void launch_close_stage(struct keeper *k, struct entry *entry);

enum kw_refusal launch_ack(struct keeper *k, const struct kw_ack *ack);

/* adopt.c ------------------------------------------------------------------------------------ */

enum kw_refusal adopt_begin(struct keeper *k, const struct kw_adopt *record, struct cargo *cargo);
enum kw_refusal adopt_console(struct keeper *k, const struct kw_console *record,
                              struct cargo *cargo);

/* spawn.c ------------------------------------------------------------------------------------ */

enum kw_refusal spawn_begin(struct keeper *k, const struct kw_spawn *record, struct cargo *cargo);
/* The helper that binds an entry's console in its guest. plan: KP_JOIN_*. */
enum kw_refusal spawn_rebind(struct keeper *k, const struct kw_console *record,
                             const struct entry *entry, const struct kp_header *plan);
enum kw_refusal spawn_ack(struct keeper *k, const struct kw_ack *ack);
struct spawn *spawn_find(struct keeper *k, uint64_t number);
/* By its command's, or its relay's. */
struct spawn *spawn_find_pid(struct keeper *k, pid_t pid);
void spawn_reports(struct keeper *k, struct spawn *spawn);
void spawn_reaped(struct keeper *k, struct spawn *spawn, pid_t pid, int wait_status);
void spawn_agent_lost(struct keeper *k);
void spawn_deadlines(struct keeper *k, uint64_t now_ns);
bool spawn_is_any(const struct keeper *k, bool only_staging);

/* reap.c ------------------------------------------------------------------------------------- */

/* Collect every child that has ended. */
void reap_all(struct keeper *k);
void reap_adopted(struct keeper *k, struct entry *entry);

/* The end of a launch that never had a child. */
void reap_never_born(struct keeper *k, struct entry *entry);

/* console.c ---------------------------------------------------------------------------------- */

/* A pty for a launch; its slave belongs to the guest's root. */
int console_open(struct entry *entry, const struct kp_header *plan);

/* One that its guest has already, by its master. -ENOTTY: it is none. */
int console_take(struct entry *entry, int master_consumed);

/* Check and blank the ring. -EBADF, -EINVAL: it cannot serve. */
int console_open_ring(struct entry *entry);

/* Move what the guest wrote into the ring, at most one turn's share, or all of it. Returns false if
 * the master can never be read again. */
bool console_drain(struct entry *entry, bool is_all);

/* notify.c ----------------------------------------------------------------------------------- */

/* The kernel lets nobody send descriptors there, where it can. */
void notify_refuse_rights(int notify);
void notify_drain(struct keeper *k, struct entry *entry, bool is_all);
void notify_deadlines(struct keeper *k, uint64_t now_ns);

/* closer.c. Descriptors that a guest sent are closed by a process of their own; taken over. */
void closer_give(struct keeper *k, const int *fds, size_t count);

/* reexec.c ----------------------------------------------------------------------------------- */

enum kw_refusal reexec_begin(struct keeper *k, struct cargo *cargo);
void reexec_checked(struct keeper *k, int wait_status);

/* Exit status of --check-table. */
int reexec_check_table(int fd);

/* Become the keeper that wrote this table. */
int reexec_resume(struct keeper *k, int fd);

#endif
