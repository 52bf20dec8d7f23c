/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h — one made-up world, all from one seed: what happens next, in which order, what fails.
 *
 * Shape    struct sim is the whole: virtual time, a heap of what is to happen, and its inhabitants:
 *          kernel, keeper, agent, wire, controller, operators. Each event is handed to the one
 *          function of its kind; one such event is one turn, and checks.c looks after each.
 * Units    virtual nanoseconds; *_ns CLOCK_MONOTONIC, *_wall_ns CLOCK_REALTIME, which may jump.
 * Errors   a broken promise ends the process with exit code 1 and one line that names checker, seed
 *          and turn.
 * Owner    run.c; one at a time.
 * Context  one thread; no clock, no system call but for memory and output.
 */
#ifndef DROVER_SIM_H
#define DROVER_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"
#include "prng.h"

#define MS_NS UINT64_C(1000000)
#define US_NS UINT64_C(1000)
#define NAMES_MAX 12 /* containers that operators know by name: c0 … */
#define DISK_NODE "node"
#define DISK_CTL "ctl"

/* What may happen next; `life` is the number of the process that it happens to: later lives do not
 * hear of what was meant for earlier ones. */
#define HAPPENING_LIST(X)                                                                          \
    X(NOTHING, nothing)                                                                            \
    X(AGENT_START, agent_start)                                                                    \
    X(AGENT_TURN, agent_turn)         /* its loop wakes up */                                      \
    X(AGENT_COMMIT, agent_commit)     /* the store's writer commits what was posted */             \
    X(AGENT_TOLD, agent_told)         /* the loop hears of that commit */                          \
    X(AGENT_WORK, agent_work)         /* a worker goes on with effect `arg` */                     \
    X(AGENT_HOOK, agent_hook)         /* the stop hooks of slot `arg` are over */                  \
    X(AGENT_RECORD, agent_record)     /* a packet of the keeper is read */                         \
    X(AGENT_UPSTREAM, agent_upstream) /* session timers, events that have room */                  \
    X(KEEPER_TURN, keeper_turn)                                                                    \
    X(FREEZER, freezer) /* leaf `arg` is as its cgroup.freeze says */                              \
    X(GUEST, guest)     /* process `arg` does what it does next */                                 \
    X(PACKET, packet)   /* packet `arg` of the wire arrives */                                     \
    X(CTL_START, ctl_start)                                                                        \
    X(CTL_TURN, ctl_turn)                                                                          \
    X(CTL_COMMIT, ctl_commit)                                                                      \
    X(CTL_TOLD, ctl_told)                                                                          \
    X(OPERATOR, operator)                                                                          \
    X(FAULT, fault)

enum happening {
#define HAPPENING_ENUM(upper, lower) HAPPENING_##upper,
    HAPPENING_LIST(HAPPENING_ENUM)
#undef HAPPENING_ENUM
        HAPPENING_COUNT
};
const char *happening_name(enum happening happening);

struct due {
    uint64_t at_ns;
    uint64_t order; /* of those at one time: drawn by lot */
    enum happening happening;
    uint32_t life;
    uint32_t arg;
};

#define DUE_MAX 4096

struct kernel;
struct proc;
struct keeper;
struct agent;
struct wire;
struct ctl;
struct operators;
struct faults;
struct checks;
struct table;

struct sim {
    uint64_t seed;
    struct prng prng;
    struct now now;
    int64_t wall_offset_ns; /* of CLOCK_REALTIME to the virtual clock: it jumps */
    uint64_t turn;
    bool is_calm;    /* no more faults, no more commands; what is broken works */
    bool is_traced;  /* a line a turn on stdout */
    uint64_t hash;   /* of all that happened: the same for the same seed */
    struct due *due; /* a heap */
    uint32_t due_count;

    struct kernel *kernel;
    struct keeper *keeper;
    struct agent *agent;
    struct wire *wire;
    struct ctl *ctl;
    struct operators *operators;
    struct faults *faults;
    struct checks *checks;
};

/* ---- schedule.c ---- */

void sim_at(struct sim *sim, uint64_t at_ns, enum happening happening, uint32_t life, uint32_t arg);
void sim_after(struct sim *sim, uint64_t delay_ns, enum happening happening, uint32_t life,
               uint32_t arg);
/* One turn. False: nothing will ever happen again. */
bool sim_step(struct sim *sim);
void sim_set_time(struct sim *sim, uint64_t ns);

/* Draws. */
uint64_t sim_below(struct sim *sim, uint64_t bound);
bool sim_chance(struct sim *sim, unsigned permille);
uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most);
/* Mostly short, now and then long, seldom very long: what disks, workers and guests are like. */
uint64_t sim_delay(struct sim *sim, uint64_t usual_ns);

/* Into the hash; what tells two runs apart. */
void sim_note(struct sim *sim, uint64_t value);
void sim_note_text(struct sim *sim, const char *text);
/* Into the trace; costs nothing unless it is on. */
#define sim_trace(sim, ...)                                                                        \
    do {                                                                                           \
        if ((sim)->is_traced)                                                                      \
            sim_say(sim, __VA_ARGS__);                                                             \
    } while (0)
void sim_say(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A promise is broken: prints `sim: CHECKER seed=S turn=T: …` and ends the process with 1. */
_Noreturn void sim_fail(struct sim *sim, const char *checker, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- life.c: one seed from its beginning to its end ---- */

struct sim_options {
    uint64_t turns;
    bool is_traced;
    bool is_sync_noop; /* disks lie about what they synced: it must be noticed */
};

/* Returns the turns that it took; the hash of what happened goes to ret_hash. */
uint64_t sim_run(uint64_t seed, const struct sim_options *options, uint64_t *ret_hash);

#endif
