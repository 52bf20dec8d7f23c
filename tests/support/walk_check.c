/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_moves(const struct ct *ct)
{
    uint32_t first = ct->move_count > CT_MOVES_KEPT ? ct->move_count - CT_MOVES_KEPT : 0;

    (void)fprintf(stderr, "  generation %llu, command %s (request %s), awaits %s\n",
                  (unsigned long long)ct->generation,
                  ct->has_command ? verb_name(ct->command.verb) : "none", ct->command.request,
                  effect_name(ct->awaited));
    for (uint32_t i = first; i < ct->move_count; i++) {
        const struct ct_move *move = &ct->moves[i % CT_MOVES_KEPT];

        (void)fprintf(stderr, "  at %llu ms: %s -> %s by %s\n",
                      (unsigned long long)(move->at_ns / 1000000), ct_state_name(move->from),
                      ct_state_name(move->to), ct_input_name(move->input));
    }
}

_Noreturn void walk_fail(const struct walk *walk, const char *promise, const char *name)
{
    (void)fprintf(stderr, "seed %llu, step %llu: %s: %s\n", (unsigned long long)walk->seed,
                  (unsigned long long)walk->step, name, promise);
    for (uint32_t i = 0; node_next(walk->node, &i); i++)
        if (strcmp(node_get(walk->node, i)->name, name) == 0)
            print_moves(node_get(walk->node, i));
    exit(1);
}

struct story *find_story(struct walk *walk, const uint8_t uuid[UUID_BYTES])
{
    for (size_t i = 0; i < WALK_NAMES * 4; i++)
        if (walk->stories[i].is_used && memcmp(walk->stories[i].uuid, uuid, UUID_BYTES) == 0)
            return &walk->stories[i];
    return NULL;
}

struct guest *find_guest(struct walk *walk, const uint8_t uuid[UUID_BYTES], uint64_t generation)
{
    for (size_t i = 0; i < WALK_GUESTS; i++)
        if (walk->guests[i].phase != GUEST_NONE && walk->guests[i].generation == generation &&
            memcmp(walk->guests[i].uuid, uuid, UUID_BYTES) == 0)
            return &walk->guests[i];
    return NULL;
}

static bool is_alive(const struct guest *guest)
{
    return guest->phase == GUEST_STAGED || guest->phase == GUEST_LIVE;
}

static bool has_live_guest(const struct walk *walk, const uint8_t uuid[UUID_BYTES])
{
    for (size_t i = 0; i < WALK_GUESTS; i++)
        if (is_alive(&walk->guests[i]) && memcmp(walk->guests[i].uuid, uuid, UUID_BYTES) == 0)
            return true;
    return false;
}

/* I3: an accepted command has one final receipt, another has that one answer. */
void check_receipts(struct walk *walk)
{
    for (size_t i = 0; i < walk->out.receipt_count; i++) {
        const struct ct_receipt *receipt = &walk->out.receipts[i];
        struct asked *asked = &walk->asked[strtoull(receipt->request, NULL, 10) % WALK_COMMANDS];

        if (strcmp(asked->request, receipt->request) != 0)
            walk_fail(walk, "a receipt for what was over long ago", receipt->request);
        if (receipt->phase != PHASE_ACCEPTED) {
            if (asked->finals++ > 0)
                walk_fail(walk, "a second final receipt", receipt->request);
        } else if (asked->is_accepted || asked->finals > 0) {
            walk_fail(walk, "accepted too late", receipt->request);
        } else {
            asked->is_accepted = true;
        }
        if (receipt->phase == PHASE_FAILED && receipt->fault.status == STATUS_UNSET)
            walk_fail(walk, "failed without a reason", receipt->request);
    }
}

static void check_created(struct walk *walk, const struct event *event)
{
    struct story *story = NULL;

    if (find_story(walk, event->uuid) != NULL)
        walk_fail(walk, "created twice", event->name);
    for (size_t i = 0; i < WALK_NAMES * 4 && story == NULL; i++)
        if (!walk->stories[i].is_used)
            story = &walk->stories[i];
    if (story == NULL)
        walk_fail(walk, "more containers than names", event->name);
    *story = (struct story){.is_used = true, .state = CT_STOPPED, .is_ended = true};
    memcpy(story->uuid, event->uuid, UUID_BYTES);
}

/* I4: a chain; each generation tells its cause once, where its last state with init is left. */
static void check_changed(struct walk *walk, const struct event *event)
{
    struct story *story = find_story(walk, event->uuid);

    if (story == NULL)
        walk_fail(walk, "changed before it was created", event->name);
    if (event->from != story->state)
        walk_fail(walk, "an event does not begin where the last one ended", event->name);
    if (event->to == CT_PREPARING) {
        if (event->generation != story->generation + 1)
            walk_fail(walk, "a generation was skipped or used twice", event->name);
        if (!story->is_ended)
            walk_fail(walk, "a generation began before the last one ended", event->name);
        story->is_ended = false;
    } else if (event->generation != story->generation) {
        walk_fail(walk, "an event of another generation", event->name);
    }
    if (event->cause != CAUSE_UNSET) {
        if (story->is_ended || event->to != CT_CLEANING)
            walk_fail(walk, "a cause where nothing ended", event->name);
        story->is_ended = true;
    }
    if ((event->to == CT_CLEANING || event->to == CT_STOPPED || event->to == CT_BACKOFF) &&
        !story->is_ended)
        walk_fail(walk, "an end without a cause", event->name);
    story->state = event->to;
    story->generation = event->generation;
}

void check_events(struct walk *walk)
{
    for (size_t i = 0; i < walk->out.event_count; i++) {
        const struct event *event = &walk->out.events[i];
        struct story *story;

        if (event->type == EVENT_CREATED)
            check_created(walk, event);
        if (event->type == EVENT_CHANGED)
            check_changed(walk, event);
        if (event->type != EVENT_DESTROYED)
            continue;
        story = find_story(walk, event->uuid);
        if (story == NULL)
            walk_fail(walk, "destroyed twice", event->name);
        story->is_used = false;
    }
}

void check_effect(struct walk *walk, const struct effect *effect)
{
    const struct ct *ct = node_get(walk->node, effect->ct);

    for (size_t i = 0; i < walk->job_count; i++)
        if (memcmp(walk->jobs[i].uuid, ct->uuid, UUID_BYTES) == 0 &&
            (effect->kind == EFFECT_MAKE || effect->kind == EFFECT_PREPARE ||
             effect->kind == EFFECT_LAUNCH || effect->kind == EFFECT_CLEAN ||
             effect->kind == EFFECT_REMOVE || effect->kind == EFFECT_LIMIT))
            walk_fail(walk, "ordered while an order before it is not answered", ct->name);
    if (walk->is_wild)
        return;
    if (effect->kind == EFFECT_REMOVE && has_live_guest(walk, ct->uuid))
        walk_fail(walk, "removed under a live guest", ct->name);
    if (effect->kind != EFFECT_LAUNCH)
        return;
    if (has_live_guest(walk, ct->uuid))
        walk_fail(walk, "a second init (I1)", ct->name);
    struct story *story = find_story(walk, ct->uuid);
    if (story == NULL || story->prepared != effect->generation)
        walk_fail(walk, "launched before its limits are in force (I9)", ct->name);
}

/* Boots in the world: being prepared or staged, but for those that hang (I7). */
static void check_in_flight(struct walk *walk)
{
    unsigned count = 0;

    for (size_t i = 0; i < walk->job_count; i++)
        if (walk->jobs[i].effect.kind == EFFECT_PREPARE &&
            node_get(walk->node, walk->jobs[i].effect.ct)->state != CT_STUCK)
            count++;
    for (uint32_t i = 0; node_next(walk->node, &i); i++) {
        const struct ct *ct = node_get(walk->node, i);
        const struct guest *guest = find_guest(walk, ct->uuid, ct->generation);

        if (guest != NULL && guest->phase == GUEST_STAGED && ct->state != CT_STUCK)
            count++;
    }
    if (count > BOOTS_IN_FLIGHT_MAX)
        walk_fail(walk, "more boots in flight than admitted (I7)", "node");
}

void check_rest(struct walk *walk)
{
    for (uint32_t i = 0; node_next(walk->node, &i); i++) {
        const struct ct *ct = node_get(walk->node, i);

        if (ct->state != CT_STOPPED && ct->state != CT_BACKOFF)
            continue;
        if (!walk->is_wild && has_live_guest(walk, ct->uuid))
            walk_fail(walk, "at rest with a live guest (I2)", ct->name);
        if (ct->has_command && ct->state == CT_STOPPED)
            walk_fail(walk, "at rest with a command in progress (I3)", ct->name);
    }
    if (!walk->is_wild)
        check_in_flight(walk);
}

void check_settled(struct walk *walk)
{
    for (uint32_t i = 0; node_next(walk->node, &i); i++) {
        const struct ct *ct = node_get(walk->node, i);
        bool is_up = ct->state == CT_RUNNING || ct->state == CT_FROZEN;

        if (!is_up && ct->state != CT_STOPPED)
            walk_fail(walk, ct_state_name(ct->state), ct->name);
        if (ct->is_wanted != is_up)
            walk_fail(walk, "desired is not observed", ct->name);
        if (ct->is_restart_owed)
            walk_fail(walk, "a restart that is owed for ever", ct->name);
        if (!walk->is_wild && is_up != has_live_guest(walk, ct->uuid))
            walk_fail(walk, "observed is not the world", ct->name);
        if (ct->has_command)
            walk_fail(walk, "a command without an end", ct->name);
    }
    for (size_t i = 0; i < WALK_COMMANDS; i++)
        if (walk->asked[i].is_accepted && walk->asked[i].finals != 1)
            walk_fail(walk, "accepted, and never ended", walk->asked[i].request);
}
