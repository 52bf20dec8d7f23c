/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world *world_open(void)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    world->node = calloc(1, sizeof(*world->node));
    assert_non_null(world->node);
    node_init(world->node, 42);
    world->now = (struct now){.ns = 1000 * SECOND_NS, .wall_ns = 1700000000 * SECOND_NS};
    return world;
}

void world_close(struct world *world)
{
    free(world->node);
    free(world);
}

void world_forget(struct world *world)
{
    world->effect_count = world->event_count = world->receipt_count = 0;
}

static void keep(struct world *world)
{
    struct out *out = &world->out;

    if (out->effect_count > world->most_per_step)
        world->most_per_step = out->effect_count;
    if (out->event_count > world->most_per_step)
        world->most_per_step = out->event_count;
    if (out->receipt_count > world->most_per_step)
        world->most_per_step = out->receipt_count;
    assert_true(world->effect_count + out->effect_count <= WORLD_KEPT);
    assert_true(world->event_count + out->event_count <= WORLD_KEPT);
    assert_true(world->receipt_count + out->receipt_count <= WORLD_KEPT);
    for (size_t i = 0; i < out->effect_count; i++)
        world->effects[world->effect_count++] = out->effects[i];
    for (size_t i = 0; i < out->event_count; i++)
        world->events[world->event_count++] = out->events[i];
    for (size_t i = 0; i < out->receipt_count; i++)
        world->receipts[world->receipt_count++] = out->receipts[i];
    out->effect_count = out->event_count = out->receipt_count = 0;
    for (uint32_t index; node_take_dirty(world->node, &index);)
        ; /* each is "written" at once, so that freed slots are given away again */
    node_check(world->node);
}

static void tick(struct world *world)
{
    while (node_tick(world->node, &world->now, &world->out))
        keep(world);
}

static void step(struct world *world, const struct input *input)
{
    node_step(world->node, input, &world->now, &world->out);
    keep(world);
    tick(world);
}

const struct ct_receipt *world_command(struct world *world, const struct ct_command *command)
{
    struct input input = {.kind = INPUT_COMMAND, .command = *command};
    size_t before = world->receipt_count;

    world->requests++;
    if (command->request[0] == '\0')
        (void)snprintf(input.command.request, REQUEST_ID_BYTES, "r%u", world->requests);
    step(world, &input);
    for (size_t i = before; i < world->receipt_count; i++)
        if (strcmp(world->receipts[i].request, input.command.request) == 0)
            return &world->receipts[i];
    fail_msg("command %s was not answered", input.command.request);
    return NULL;
}

enum phase world_order(struct world *world, enum verb verb, const char *name)
{
    struct ct_command command = {.verb = verb, .wait = WAIT_FOR_READY};

    (void)snprintf(command.container, NAME_BYTES, "%s", name);
    return world_command(world, &command)->phase;
}

void assert_answer(struct world *world, enum verb verb, enum phase phase, enum status status)
{
    struct ct_command command = {.verb = verb, .container = "web", .wait = WAIT_FOR_READY};
    const struct ct_receipt *receipt = world_command(world, &command);

    if (receipt->phase != phase || receipt->fault.status != status)
        fail_msg("%s: phase %d, %s", verb_name(verb), receipt->phase,
                 status_name(receipt->fault.status));
}

void world_see(struct world *world, uint32_t ct, enum ct_input kind)
{
    struct observation seen = {
        .kind = kind, .ct = ct, .generation = world_ct(world, ct)->generation};

    if (kind == IN_BOOTED) {
        seen.pid = 4711;
        seen.at_ns = world->now.ns;
        seen.at_wall_ns = world->now.wall_ns;
    }
    if (kind == IN_MAKE_FAILED || kind == IN_PREPARE_FAILED || kind == IN_LAUNCH_FAILED ||
        kind == IN_CLEAN_FAILED || kind == IN_REMOVE_FAILED || kind == IN_FREEZE_FAILED)
        fault_set(&seen.fault, STATUS_FAILED, 5, "%s failed", ct_input_name(kind));
    world_observe(world, &seen);
}

void world_observe(struct world *world, const struct observation *seen)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = *seen};

    step(world, &input);
}

void world_pass(struct world *world, uint64_t ns)
{
    uint64_t until_ns = world->now.ns + ns;

    for (;;) {
        uint64_t next_ns = node_next_deadline(world->node);

        if (next_ns == 0 || next_ns > until_ns)
            break;
        if (next_ns > world->now.ns) {
            world->now.wall_ns += next_ns - world->now.ns;
            world->now.ns = next_ns;
        }
        tick(world);
    }
    world->now.wall_ns += until_ns - world->now.ns;
    world->now.ns = until_ns;
}

uint32_t world_adopt(struct world *world, const struct ct_found *found)
{
    uint32_t index = node_adopt(world->node, found, &world->now, &world->out);

    keep(world);
    tick(world);
    return index;
}

/* ---- shortcuts ---- */

uint32_t world_make(struct world *world, const char *name, const struct ct_policy *policy)
{
    struct ct_command command = {.verb = VERB_CREATE};

    (void)snprintf(command.container, NAME_BYTES, "%s", name);
    if (policy != NULL)
        command.policy = *policy;
    for (size_t i = 0; i < UUID_BYTES && name[i] != '\0'; i++)
        command.uuid[i] = (uint8_t)name[i];
    const struct ct_receipt *receipt = world_command(world, &command);
    assert_int_equal(receipt->phase, PHASE_ACCEPTED);
    uint32_t ct = receipt->ct;
    world_see(world, ct, IN_MADE);
    assert_state(world, ct, CT_STOPPED);
    return ct;
}

void world_launch(struct world *world, uint32_t ct)
{
    assert_state(world, ct, CT_PREPARING);
    world_see(world, ct, IN_PREPARED);
    assert_state(world, ct, CT_LAUNCHING);
}

void world_boot(struct world *world, uint32_t ct)
{
    world_launch(world, ct);
    world_see(world, ct, IN_BOOTED);
    assert_state(world, ct, CT_BOOTING);
    world_see(world, ct, IN_READY);
    assert_state(world, ct, CT_RUNNING);
}

uint32_t world_run(struct world *world, const char *name, const struct ct_policy *policy)
{
    uint32_t ct = world_make(world, name, policy);

    assert_int_equal(world_order(world, VERB_START, name), PHASE_ACCEPTED);
    world_boot(world, ct);
    world_forget(world);
    return ct;
}

void world_end(struct world *world, uint32_t ct, int wait_status)
{
    struct observation seen = {.kind = IN_ENDED,
                               .ct = ct,
                               .generation = world_ct(world, ct)->generation,
                               .has_status = true,
                               .wait_status = wait_status,
                               .at_ns = world->now.ns,
                               .at_wall_ns = world->now.wall_ns};

    world_observe(world, &seen);
}

/* ---- looking ---- */

const struct ct *world_ct(const struct world *world, uint32_t ct)
{
    return node_get(world->node, ct);
}

const struct effect *world_effect(const struct world *world, enum effect_kind kind)
{
    for (size_t i = world->effect_count; i-- > 0;)
        if (world->effects[i].kind == kind)
            return &world->effects[i];
    return NULL;
}

const struct event *world_event(const struct world *world, enum event_type type)
{
    for (size_t i = world->event_count; i-- > 0;)
        if (world->events[i].type == type)
            return &world->events[i];
    return NULL;
}

const struct ct_receipt *world_final(const struct world *world, const char *request)
{
    for (size_t i = world->receipt_count; i-- > 0;)
        if (strcmp(world->receipts[i].request, request) == 0 &&
            world->receipts[i].phase != PHASE_ACCEPTED)
            return &world->receipts[i];
    return NULL;
}

size_t world_count_effects(const struct world *world, enum effect_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < world->effect_count; i++)
        count += world->effects[i].kind == kind;
    return count;
}

const char *world_request(struct world *world)
{
    static char request[REQUEST_ID_BYTES];

    (void)snprintf(request, sizeof(request), "r%u", world->requests);
    return request;
}

const struct event *world_end_event(const struct world *world)
{
    const struct event *end = NULL;

    for (size_t i = 0; i < world->event_count; i++) {
        if (world->events[i].cause == CAUSE_UNSET)
            continue;
        assert_null(end); /* one end tells its cause once */
        end = &world->events[i];
    }
    assert_non_null(end);
    return end;
}
