/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent.h — one node's agent: what its parts share, and the turn that binds them.
 *
 * Shape    struct agent is the whole; struct slot is what the agent holds of one container beside
 *          the model's struct ct, under the same index.
 * Units    *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME.
 * Errors   -errno and a fault at start; later failures are observations.
 * Owner    main(); everything here lives as long as the process.
 * Context  the loop's thread. Workers get copies (executor.h) and never see struct agent.
 */
#ifndef DROVER_AGENT_H
#define DROVER_AGENT_H

#include <uv.h>

#include "boot.h"
#include "cgroup.h"
#include "configs.h"
#include "console_rebind.h"
#include "devices.h"
#include "executor.h"
#include "group_bound.h"
#include "hold.h"
#include "hook_inside.h"
#include "hook_run.h"
#include "inbox.h"
#include "keeper_client.h"
#include "listing.h"
#include "local.h"
#include "node.h"
#include "options.h"
#include "publisher.h"
#include "readiness.h"
#include "record_seen.h"
#include "results.h"
#include "rootfs.h"
#include "store.h"
#include "streams.h"
#include "sysfilter.h"
#include "turn_core.h"
#include "upstream.h"

#define ORIGIN_UPSTREAM UINT64_MAX /* of a request; else a local client's id */

struct asking;

struct slot {
    struct octets config;              /* codec_encode_config(), heap; NULL: slot is free */
    bool is_config_new, is_config_bad; /* not yet in the store; cannot be read, `view` is empty */
    uint64_t revision;                 /* of it; the model's is ahead until slot_configure() */
    struct octets next; /* what it becomes by the SET that was accepted; NULL: none */
    uint32_t uid_base;  /* 0: privileged; how many there are: slot_uid_count() */
    struct config view; /* decoded once, in `arena`: labels and the like for answers */
    struct arena arena;
    /* What the last generation was made from, where a SET changed it since. LIMIT: an agent that
     * starts anew knows what is stored alone, and takes its guests for made from that. */
    bool is_made_other, is_ready_unknown; /* the latter: by such an agent; slot_ready() */
    struct config made;                   /* in `made_arena`; slot_made() */
    struct arena made_arena;

    uint64_t launch;     /* number at the keeper of the present generation; 0: none */
    uint64_t generation; /* that the launch is of */
    struct cgroup cgroup;
    bool has_cgroup, has_plan;
    bool is_leaf_taken; /* the group of its generation's name is another's: it is left alone */
    struct preparing *preparing;  /* NULL: none is under way */
    struct hold hold;             /* of the present generation */
    struct observation *held_end; /* of HOLD_OVER, heap; NULL: none */
    struct launch plan;           /* if has_plan */
    enum family family;
    int pty;                    /* master of the console; -1: none */
    int output;                 /* eventfd: the ring grew; -1: none */
    const struct kw_ring *ring; /* mapped; NULL: none */
    size_t ring_bytes;          /* of the mapping */
    struct cgroup_watch *watch; /* oom and frozen, while it lives */
    uint64_t oom_kills;         /* last reading */
    bool is_freezing, is_thawing, is_ready_on_exec;
    struct record_seen seen; /* of the keeper's records of this launch */
    bool has_lost_notify; /* its notify socket died with its keeper: it cannot be heard to say so */
    bool is_rebind_due;   /* a console anew waits for its turn */
    bool is_pty_old;      /* pty is of a keeper that died: to be handed over, not used */
    char candidates[KW_CANDIDATES_MAX][64]; /* of init, for the errnos that come back */
    size_t candidate_count;
    struct boot_times times;
    struct slot_hooks hooks;
    struct asking *asking;       /* to stop or reboot, until it goes down; NULL: none */
    bool is_asked;               /* and a way was taken */
    struct readiness *readiness; /* watches for a text, file or port; NULL: nothing to watch */
    uint64_t exec_number;        /* of exec leaves, grows over restarts of the agent too */
    uint64_t stale_below; /* exec leaves of lower numbers are of sessions that are lost; 0: none */
};

struct agent {
    uv_loop_t loop;
    uv_prepare_t turn;
    uv_async_t again;
    uv_timer_t timer, watchdog; /* watchdog: the service manager's; started only if it asks */
    uv_poll_t signals;
    int signal_fd;
    const struct options *options;
    int run_lock, state_lock;

    struct node *node;
    struct slot *slots; /* CT_MAX */
    struct inbox inbox;
    struct turn_core core;
    uint64_t started_wall_ns;
    bool is_ending;
    bool is_adopted;          /* rows and keeper's table are one; records are news from now on */
    uint32_t adopted_unsaved; /* turns of the adoption that are not committed yet */
    struct stray *strays;     /* guests that node.db does not know */
    struct held_record *held; /* the keeper's table until then */

    struct console_rebinds rebinds;
    struct hook_run *hook_runs; /* that are under way */

    struct rootfs rootfs;
    struct sysfilters sysfilters;
    struct cgroups cgroups;
    struct group_bound group_bound;
    struct devices devices;
    struct store *store;
    struct executor executor;
    struct keeper_client keeper;
    struct results results;
    uint32_t recall_count; /* commands that wait for node.db */
    struct configs configs;
    struct publisher publisher;
    struct streams streams;
    struct listings listings;
    struct local_server local;
    struct upstream upstream;
};

/* agent.c */
int agent_open(struct agent *agent, const struct options *options, struct fault *fault);
void agent_run(struct agent *agent);
void agent_close(struct agent *agent);
void agent_wake(struct agent *agent); /* there is something in the inbox; any loop callback */
const struct ct *agent_find(struct agent *agent, const char *container, struct fault *fault);
/* What cannot be made durable any more ends the agent; the keeper keeps the guests. */
_Noreturn void agent_die(const struct fault *fault);

/* adopt.c: a turn was committed; the last of the adoption's ends what is kept of another boot. */
void adopt_on_committed(struct agent *agent);

/* turn.c */
int turn_open(struct agent *agent); /* once node and results are there */
void turn_run(struct agent *agent);
/* What is in `core.out` goes to the store, and what may go before its commit goes. */
void turn_finish(struct agent *agent, const struct now *now);
void turn_on_committed(struct store *store, void *context);

/* effects.c: perform what the model ordered. */
void effects_apply(struct agent *agent, const struct effect *effect);
void limits_of_config(const struct config *config, struct cgroup_limits *ret_limits);

/* requests.c: commands and queries of local clients and upstream. */
void requests_take_command(struct agent *agent, uint64_t origin, const struct command *command);
/* Its request id was looked up in node.db too. */
void requests_take_recalled(struct agent *agent, uint64_t origin, const struct command *command);
void requests_take_query(struct agent *agent, uint64_t origin, const struct query *query);
void requests_send(struct agent *agent, uint64_t origin, const struct message *message);
void requests_answer_receipt(struct agent *agent, const struct ct_receipt *receipt);

/* views.c */
void view_container(const struct agent *agent, uint32_t index, struct container_view *ret_view);
void view_fault(const struct agent *agent, const struct fault *fault, const char *container,
                struct fault_view *ret_view);

/* adopt.c: rows, keeper's records and cgroups, brought together at start. */
int adopt_all(struct agent *agent, struct fault *fault);
void adopt_drop_held(struct agent *agent); /* nothing of it is believed or acknowledged */
void adopt_hold_record(struct agent *agent, const struct kw_record *record, int *fds,
                       const uint8_t *roles);

/* keeper_records.c: the keeper's words as observations. */
void keeper_records_on_record(struct keeper_client *client, const struct kw_header *header,
                              int *fds, const uint8_t *roles);
void keeper_records_on_lost(struct keeper_client *client);
uint64_t keeper_records_number(struct agent *agent, uint32_t index); /* of a new launch */
/* One of those that adopt.c held back. */
void keeper_records_feed(struct agent *agent, const struct kw_record *record, int *fds);
void keeper_records_fault(const struct slot *slot, const struct kw_record *record,
                          struct fault *ret_fault);

/* stop.c */
void stop_ask(struct agent *agent, const struct effect *effect);

#endif
