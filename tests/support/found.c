/* SPDX-License-Identifier: Apache-2.0 */
#include "found.h"

struct ct_found row_of(enum ct_state state)
{
    struct ct_found found = {.name = "web",
                             .uuid = {1, 2, 3},
                             .state = state,
                             .generation = 3,
                             .created_wall_ns = 1,
                             .started_wall_ns = 10,
                             .ended_wall_ns = 20,
                             .cause = CAUSE_EXITED};

    if (state == CT_UNSET)
        found.generation = 0;
    if (state == CT_PREPARING || state == CT_LAUNCHING || ct_state_has_init(state)) {
        found.cause = CAUSE_UNSET;
        found.is_wanted = true;
    }
    if (state == CT_BOOTING || state == CT_RUNNING || state == CT_FROZEN)
        found.started_wall_ns = 30; /* of the present generation */
    return found;
}

struct ct_found live_of(enum ct_state state)
{
    struct ct_found found = row_of(state);

    found.is_live = found.is_staged = true;
    found.pid = 4711;
    found.booted_ns = 5;
    found.started_wall_ns = 30;
    return found;
}

struct ct_found ended_of(enum ct_state state, int wait_status)
{
    struct ct_found found = row_of(state);

    found.has_ended = found.is_staged = true;
    found.started_wall_ns = 30;
    found.booted_ns = 5;
    found.ended = (struct observation){.has_status = true,
                                       .wait_status = wait_status,
                                       .at_ns = 77 * SECOND_NS,
                                       .at_wall_ns = 88 * SECOND_NS};
    return found;
}

void give(struct ct_found *found, enum verb verb)
{
    found->has_command = true;
    found->command = (struct ct_command){
        .verb = verb, .request = "req", .container = "web", .wait = WAIT_FOR_READY};
    if (verb == VERB_STOP || verb == VERB_KILL || verb == VERB_DESTROY)
        found->is_wanted = false;
}

const struct ct_receipt *result(const struct world *world)
{
    return world_final(world, "req");
}
