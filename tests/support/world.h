/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h — a node, its clock and all that it said, for tests of the model.
 *
 * Shape    struct world holds one node; each input is followed by the ticks that are due and by
 *          node_check(). What came out is kept until world_forget().
 * Units    *_ns of a clock that only world_pass() moves.
 * Errors   what cannot be is a failed assertion of cmocka.
 * Owner    the test.
 * Context  one thread.
 */
#ifndef DROVER_WORLD_H
#define DROVER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node.h"

#define WORLD_KEPT 4096

/* Wait statuses as waitpid(2) gives them. */
#define EXITED(code) ((code) << 8)
#define KILLED(signal) (signal)

struct world {
    struct node *node;
    struct now now;
    struct out out;
    unsigned requests; /* numbers the request ids */
    struct effect effects[WORLD_KEPT];
    struct event events[WORLD_KEPT];
    struct ct_receipt receipts[WORLD_KEPT];
    size_t effect_count, event_count, receipt_count;
    size_t most_per_step; /* effects, events or receipts that one input made */
};

struct world *world_open(void);
void world_close(struct world *world);
void world_forget(struct world *world);

/* Give a whole command; its request id is made up where it has none. Returns the first answer. */
const struct ct_receipt *world_command(struct world *world, const struct ct_command *command);
/* The same of a plain verb; returns the phase of the first answer. */
enum phase world_order(struct world *world, enum verb verb, const char *name);
/* … and asserts of it phase and status. The container's name is "web". */
void assert_answer(struct world *world, enum verb verb, enum phase phase, enum status status);
/* An observation of the present generation, and a whole one as it is. */
void world_see(struct world *world, uint32_t ct, enum ct_input kind);
void world_observe(struct world *world, const struct observation *seen);
/* Let time pass; what becomes due on the way happens at its own time. */
void world_pass(struct world *world, uint64_t ns);
uint32_t world_adopt(struct world *world, const struct ct_found *found);

/* Shortcuts through a life, each asserting that it came to pass. */
uint32_t world_make(struct world *world, const char *name, const struct ct_policy *policy);
void world_launch(struct world *world, uint32_t ct); /* from preparing to launching */
void world_boot(struct world *world, uint32_t ct);   /* from preparing to running */
uint32_t world_run(struct world *world, const char *name, const struct ct_policy *policy);
void world_end(struct world *world, uint32_t ct, int wait_status);

const struct ct *world_ct(const struct world *world, uint32_t ct);
/* Of the effects, events and receipts kept: the last of its kind, or NULL. */
const struct effect *world_effect(const struct world *world, enum effect_kind kind);
const struct event *world_event(const struct world *world, enum event_type type);
const struct ct_receipt *world_final(const struct world *world, const char *request);
size_t world_count_effects(const struct world *world, enum effect_kind kind);
/* The last command's request id. */
const char *world_request(struct world *world);
/* The one `changed` event that carries a cause; NULL: none. */
const struct event *world_end_event(const struct world *world);

#define assert_state(world, ct, wanted)                                                            \
    assert_string_equal(ct_state_name(world_ct(world, ct)->state), ct_state_name(wanted))
#define assert_cause(world, wanted)                                                                \
    assert_string_equal(cause_name(world_end_event(world)->cause), cause_name(wanted))

#endif
