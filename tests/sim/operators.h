/* SPDX-License-Identifier: Apache-2.0 */
/*
 * operators.h — people and programs that ask: on the node's socket, and through the controller.
 *
 * Shape    struct demand is one command under its request id: asked until its end is heard, now and
 *          then again after it, and sometimes with another command under the same id.
 * Units    counts.
 * Errors   a receipt that contradicts an earlier one breaks I3.
 * Owner    struct sim.
 * Context  HAPPENING_OPERATOR.
 */
#ifndef DROVER_SIM_OPERATORS_H
#define DROVER_SIM_OPERATORS_H

#include "message.h"
#include "sim.h"

#define ASKED_MAX 1024 /* a ring: the oldest are asked no more */

struct demand {
    char request[REQUEST_ID_BYTES];
    enum verb verb;
    uint32_t name;
    uint64_t lot; /* decides the rest of the command: the same each time it is asked */
    bool is_local;
    bool is_accepted;
    bool has_intent; /* durable: it was accepted, whoever heard of that */
    bool is_refused; /* `final` is a refusal: it may be done yet */
    bool is_reset;   /* node.db was put back to before it: all may be done again */
    enum phase final;
    enum status status;
    uint64_t asked_ns; /* last */
    uint64_t intent_ns;
    uint32_t intent_life;   /* of the agent that took it */
    uint64_t failed_ns;     /* when what it ordered failed; 0: it has not */
    uint64_t reached_ns;    /* when the freezer was where it was to be; 0: it was not */
    enum ct_state taken_in; /* of the container, as it was accepted */
    uint64_t taken_generation;
};

struct operators {
    struct demand asked[ASKED_MAX];
    uint64_t count;
    uint64_t open_first; /* all before it have ended */
};

void operators_open(struct sim *sim);
/* HAPPENING_OPERATOR: one of them does something. */
void operators_act(struct sim *sim);
/* Somebody is impatient with a container that is on its way down by itself. */
void operators_poke(struct sim *sim, const char *name);
/* Somebody gives this command, now. */
void operators_order(struct sim *sim, const char *name, enum verb verb);
/* A receipt arrives. */
void operators_hear(struct sim *sim, const char *request, enum phase phase, enum status status);
enum wait_for operators_wait(const struct demand *asked);
struct demand *operators_find(struct sim *sim, const char *request);
/* node.db was put back: what was accepted after the copy was made may be unknown now. */
void operators_restored(struct sim *sim);
/* In calm: whatever has no end yet is asked again. True: nothing is open. */
bool operators_are_content(struct sim *sim);

#endif
