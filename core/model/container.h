/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h — one system container's life on this node, as data and one rule table.
 *
 * Shape    struct ct sits in a slot of struct node for ever and never moves. ct_step() looks up
 *          ct_rules[state][input] and carries the rule's action out into effects, events, receipts.
 * Units    *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME; a deadline of 0 is not set.
 * Errors   none: each (state, input) has a rule; the answer is a verdict.
 * Owner    node.c. Callers borrow `const struct ct *` until the next node_step().
 * Context  pure; the thread that owns the node.
 */
#ifndef DROVER_CONTAINER_H
#define DROVER_CONTAINER_H

#include "effect.h"
#include "observation.h"
#include "restart.h"

#define CT_MOVES_KEPT 8

enum verdict {
    VERDICT_UNSET,
    VERDICT_MOVE,      /* to the rule's next state, with its action */
    VERDICT_ACT,       /* the action, without a move */
    VERDICT_IGNORE,    /* true, late or of no consequence here */
    VERDICT_UNCHANGED, /* a command that is fulfilled already */
    VERDICT_REJECT,    /* a command that this state cannot obey: wrong_state */
    VERDICT_BUG        /* only our own code can cause it, and must not */
};

enum ct_action {
    ACT_NONE,
    ACT_CREATED, /* announce it; start it if create said so */
    ACT_FORGET,  /* the slot is free again */
    ACT_LATE,    /* give up waiting for a disk; the command ends */
    ACT_JOIN,    /* the command waits for what is under way */
    ACT_START_AFTER,
    ACT_QUEUE, /* a new generation asks for admission */
    ACT_PREPARE,
    ACT_UNQUEUE, /* before or while it is prepared; PREPARE_FAILED or PREPARED follows */
    ACT_LAUNCH,
    ACT_LAUNCH_LATE,
    ACT_BOOTED,     /* init runs */
    ACT_NOTE_READY, /* readiness was heard of first; BOOTED brings it up again */
    ACT_READY,
    ACT_NOTE_BOOT,     /* init runs, though its end was ordered meanwhile */
    ACT_NOTE_BOOT_ASK, /* … and it may now be asked to stop */
    ACT_ASK,           /* it to stop or reboot, with a grace of its own */
    ACT_THAW_ASK,
    ACT_UNASKED,  /* take the order back; the command ends */
    ACT_ESCALATE, /* ask in the next way */
    ACT_GRACE_OVER,
    ACT_BOOT_LATE,
    ACT_KEEP, /* not ready in time, and to go on: the command ends */
    ACT_KILL,
    ACT_END,     /* close the generation with its cause; clean up */
    ACT_SETTLE,  /* at rest: the command ends */
    ACT_BACKOFF, /* wait before the next boot */
    ACT_AGAIN,   /* the next generation, by itself */
    ACT_STUCK,   /* say what it waits for, arm the retry */
    ACT_RETRY,
    ACT_NOTE_FAULT, /* what it waits for now */
    ACT_GIVE_UP,    /* the command ends; the retries go on */
    ACT_REMOVE,
    ACT_REMOVED,
    ACT_REMOVE_FAILED,
    ACT_REMOVE_LATER, /* of one that was never announced: nobody else will ask for it */
    ACT_FREEZE,
    ACT_THAW,
    ACT_FREEZER_LATE, /* undo; the command ends */
    ACT_CONFIGURE,    /* the configuration is the new one; the command ends */
    ACT_LIMIT,        /* write the new limits first */
    ACT_LIMITED,
    ACT_LIMIT_FAILED,
    ACT_LIMIT_LATE, /* the command ends; what was ordered goes on */
    ACT_CLEAN,      /* what had to wait for the limits to be written */
    ACT_FINISH,     /* the command is done */
    ACT_FAIL,       /* the command failed with the observation's fault */
    ACT_OOM,
    ACT_COUNT
};

struct ct_rule {
    enum verdict verdict;
    enum ct_state next; /* of MOVE */
    enum ct_action action;
};
extern const struct ct_rule ct_rules[CT_STATE_COUNT][CT_INPUT_COUNT];

/* What follows when nothing is left of the ended generation. */
enum ct_after { AFTER_STOP, AFTER_AGAIN, AFTER_WAIT, AFTER_DESTROY };

struct ct_move {
    enum ct_state from, to;
    enum ct_input input;
    uint64_t at_ns;
};

struct ct {
    bool is_used;
    bool is_announced; /* `created` was told: others may see it */
    uint32_t index;
    uint8_t uuid[UUID_BYTES];
    char name[NAME_BYTES];
    struct ct_policy policy;

    enum ct_state state;
    uint64_t state_since_ns;
    uint64_t deadline_ns;
    uint64_t step_ns;
    uint64_t generation;      /* 0: never started */
    uint64_t spent;           /* of its name, up to here: the next generation is beyond both */
    bool is_open;             /* the generation has begun and has no end yet */
    bool is_in_flight;        /* counts for admission: admitted, and neither init nor an end yet */
    enum effect_kind awaited; /* MAKE, PREPARE, CLEAN, REMOVE, LIMIT: out, and not answered */
    bool has_init;            /* init was executed and has not ended */
    bool is_boot_unseen;      /* nobody is left who saw that, and its row does not say it either */
    bool is_ready, is_ready_on_exec;
    bool is_automatic; /* nobody asked for this generation: a guest's reboot or the policy did */
    pid_t pid;
    uint64_t booted_ns;
    uint64_t created_wall_ns;
    uint64_t started_wall_ns;
    uint64_t ended_wall_ns;
    enum cause cause; /* of the last end; UNSET while one is open */
    bool has_status;
    int wait_status;

    enum order order; /* evidence of why this generation ends */
    bool is_kill_sent;
    uint64_t oom_until_ns; /* until when kills for memory explain a SIGKILL; 0: none were seen */
    uint64_t oom_kills;    /* told of, of this generation */
    uint32_t stop_step;
    uint64_t grace_ns; /* of the stop or reboot in progress */
    uint32_t retries;  /* of STUCK */
    enum ct_after after;
    uint64_t wait_ns; /* of AFTER_WAIT */
    struct restart restart;
    struct fault fault; /* of the last failed effect of this generation */

    uint64_t revision;  /* of its configuration, from 1 */
    uint64_t late_keys; /* that its open generation was made without */
    uint64_t limit_ns;  /* when LIMIT is late; 0: nobody waits for it */
    bool has_set;       /* a SET was accepted and has not taken force yet: */
    struct ct_set set;
    struct ct_policy set_policy;

    bool is_wanted;       /* an operator started it and neither he nor the guest ended it */
    enum ct_boot boot;    /* what the node's boot has to do with it */
    bool is_restart_owed; /* the next generation is decided and not yet begun */
    bool is_dirty;        /* differs from what the store has */
    bool is_listed;       /* in the node's list of those */
    bool is_queued;       /* waits for admission */

    bool has_command; /* at most one mutating command at a time */
    struct ct_command command;

    struct ct_move moves[CT_MOVES_KEPT]; /* a ring, for post-mortems */
    uint32_t move_count;
};

/* Time of a turn, equal for all its inputs. */
struct now {
    uint64_t ns;
    uint64_t wall_ns;
};

/*
 * Advance one container by one input.
 *   ct           in/out  slot in use; untouched unless the verdict is MOVE or ACT
 *   observation  in      borrowed; for commands only its kind counts (ct->command is set)
 *   out          append  at most CT_OUT_PER_STEP of each; room is a precondition
 * Returns the verdict. Never fails, allocates, blocks or logs.
 */
enum verdict ct_step(struct ct *ct, const struct observation *observation, const struct now *now,
                     struct out *out);

/* End the command in progress with one final receipt (and a `result` event). */
void ct_finish(struct ct *ct, enum phase phase, const struct fault *fault, const struct now *now,
               struct out *out);

/* Which CLEANED_* an observation CLEANED_STOP is for this container. */
enum ct_input ct_cleaned_input(const struct ct *ct);

/* How long it may take to be ready. */
static inline uint64_t ct_ready_ns(const struct ct *ct)
{
    return ct->policy.ready_ns != 0 ? ct->policy.ready_ns : BOOT_DEADLINE_NS;
}
/* What a row keeps of the command in progress: a SET that boots it again is a reboot by then. */
enum verb ct_row_verb(const struct ct *ct);

/* States in which an init may be alive. */
bool ct_state_has_init(enum ct_state state);
/* States that must have a deadline or a retry (I6). */
bool ct_state_waits(enum ct_state state);

#endif
