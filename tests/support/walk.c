/* SPDX-License-Identifier: Apache-2.0 */
#include "walk.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void turn(struct walk *walk);

static bool chance(struct walk *walk, unsigned percent)
{
    return prng_below(&walk->prng, 100) < percent;
}

static uint32_t below(struct walk *walk, uint32_t bound)
{
    return (uint32_t)prng_below(&walk->prng, bound);
}

struct walk *walk_open(uint64_t seed)
{
    struct walk *walk = calloc(1, sizeof(*walk));

    if (walk != NULL)
        walk->node = calloc(1, sizeof(*walk->node));
    if (walk != NULL)
        walk->asked = calloc(WALK_COMMANDS, sizeof(*walk->asked));
    if (walk == NULL || walk->node == NULL || walk->asked == NULL)
        abort();
    walk->seed = walk->prng.state = seed;
    walk->now = (struct now){1000 * SECOND_NS, 1700000000 * SECOND_NS};
    node_init(walk->node, seed);
    return walk;
}

void walk_close(struct walk *walk)
{
    free(walk->asked);
    free(walk->node);
    free(walk);
}

/* ---- the keeper and its guests ---- */

static void launch(struct walk *walk, const struct effect *effect, const struct ct *ct)
{
    struct guest *guest = NULL;

    for (size_t i = 0; i < WALK_GUESTS && guest == NULL; i++)
        if (walk->guests[i].phase == GUEST_NONE)
            guest = &walk->guests[i];
    if (guest == NULL)
        walk_fail(walk, "ends pile up at the keeper", ct->name);
    *guest = (struct guest){.phase = GUEST_STAGED,
                            .generation = effect->generation,
                            .is_ready_on_exec = ct->is_ready_on_exec};
    memcpy(guest->uuid, ct->uuid, UUID_BYTES);
}

static void guest_boot(struct walk *walk, struct guest *guest)
{
    guest->phase = GUEST_LIVE;
    guest->booted_ns = walk->now.ns;
    guest->booted_wall_ns = walk->now.wall_ns;
}

static void guest_end(struct walk *walk, struct guest *guest, int status)
{
    if (guest->phase != GUEST_STAGED && guest->phase != GUEST_LIVE)
        return;
    guest->phase = guest->phase == GUEST_LIVE ? GUEST_ENDED : GUEST_FAILED;
    guest->status = status;
    guest->ended_ns = walk->now.ns;
    guest->ended_wall_ns = walk->now.wall_ns;
}

static void guest_ask(struct walk *walk, struct guest *guest, bool is_reboot)
{
    if (guest->phase != GUEST_LIVE || guest->is_frozen)
        return;
    if (walk->is_calm || chance(walk, 60))
        guest_end(walk, guest, is_reboot && chance(walk, 80) ? SIGHUP : SIGINT);
}

/* ---- effects ---- */

static void apply(struct walk *walk, const struct effect *effect)
{
    const struct ct *ct = node_get(walk->node, effect->ct);
    struct guest *guest = find_guest(walk, ct->uuid, effect->generation);

    check_effect(walk, effect);
    switch (effect->kind) {
    case EFFECT_MAKE:
    case EFFECT_PREPARE:
    case EFFECT_CLEAN:
    case EFFECT_REMOVE:
    case EFFECT_LIMIT:
        if (walk->job_count == WALK_JOBS)
            walk_fail(walk, "more works than containers", ct->name);
        walk->jobs[walk->job_count] = (struct job){.effect = *effect};
        memcpy(walk->jobs[walk->job_count++].uuid, ct->uuid, UUID_BYTES);
        return;
    case EFFECT_LAUNCH:
        launch(walk, effect, ct);
        return;
    case EFFECT_ASK:
        if (guest != NULL)
            guest_ask(walk, guest, effect->is_reboot);
        return;
    case EFFECT_KILL:
        if (guest != NULL && (walk->is_calm || chance(walk, 90)))
            guest_end(walk, guest, SIGKILL);
        return;
    case EFFECT_FREEZE:
    case EFFECT_THAW:
        if (guest != NULL)
            guest->freezer = effect->kind;
        return;
    case EFFECT_UNSET:
    case EFFECT_COUNT:
        break;
    }
    walk_fail(walk, "an effect that is none", ct->name);
}

/* ---- the store, and the agent's death ---- */

static void commit(struct walk *walk)
{
    uint32_t index;

    while (node_take_dirty(walk->node, &index)) {
        walk->rows[index] = *node_get(walk->node, index);
        if (index >= walk->rows_end)
            walk->rows_end = index + 1;
    }
    for (size_t i = 0; i < WALK_GUESTS; i++) { /* what is durable is acknowledged */
        struct guest *guest = &walk->guests[i];
        bool is_open = false;

        if (guest->phase != GUEST_ENDED && guest->phase != GUEST_FAILED)
            continue;
        for (uint32_t row = 0; row < walk->rows_end && !is_open; row++)
            is_open = walk->rows[row].is_used && walk->rows[row].is_open &&
                      walk->rows[row].generation == guest->generation &&
                      memcmp(walk->rows[row].uuid, guest->uuid, UUID_BYTES) == 0;
        if (!is_open)
            guest->phase = GUEST_NONE;
    }
}

static void fill_from_guest(struct guest *guest, struct ct_found *found)
{
    found->is_launching = guest->phase == GUEST_STAGED;
    found->is_live = guest->phase == GUEST_LIVE;
    found->is_staged = guest->phase == GUEST_LIVE || guest->phase == GUEST_ENDED;
    found->has_ended = guest->phase == GUEST_ENDED || guest->phase == GUEST_FAILED;
    found->is_frozen = guest->phase == GUEST_LIVE && guest->is_frozen;
    found->is_ready = guest->is_ready;
    found->is_ready_on_exec = guest->is_ready_on_exec;
    found->pid = found->is_live ? 4711 : 0;
    found->booted_ns = guest->booted_ns;
    if (found->is_staged)
        found->started_wall_ns = guest->booted_wall_ns;
    found->ended = (struct observation){.at_ns = guest->ended_ns,
                                        .at_wall_ns = guest->ended_wall_ns,
                                        .has_status = guest->phase == GUEST_ENDED,
                                        .wait_status = guest->status};
    if (guest->phase == GUEST_FAILED)
        fault_set(&found->ended.fault, STATUS_INTERRUPTED, 0, "its start was interrupted");
    guest->freezer = EFFECT_UNSET;
    guest->is_boot_told = found->is_staged;
    guest->is_ready_told = guest->is_ready;
    guest->is_end_told = found->has_ended;
}

static void adopt(struct walk *walk, const struct ct *row)
{
    struct ct_found found = {
        .policy = row->policy,
        .revision = row->revision,
        .late_keys = row->late_keys,
        .state = row->state,
        .generation = row->generation,
        .is_wanted = row->is_wanted,
        .is_restart_owed = row->is_restart_owed,
        .created_wall_ns = row->created_wall_ns,
        .started_wall_ns = row->started_wall_ns,
        .ended_wall_ns = row->ended_wall_ns,
        .cause = row->cause,
        .has_status = row->has_status,
        .wait_status = row->wait_status,
        .has_command = row->has_command,
        .is_ready_on_exec = row->is_ready_on_exec,
    };
    struct guest *guest = find_guest(walk, row->uuid, row->generation);

    memcpy(found.uuid, row->uuid, UUID_BYTES);
    memcpy(found.name, row->name, NAME_BYTES);
    if (row->has_command) { /* as much of it as a row keeps */
        found.command.verb = ct_row_verb(row);
        found.command.wait = WAIT_FOR_READY;
        memcpy(found.command.request, row->command.request, REQUEST_ID_BYTES);
        memcpy(found.command.container, row->name, NAME_BYTES);
    }
    if (guest != NULL)
        fill_from_guest(guest, &found);
    uint32_t index = node_adopt(walk->node, &found, &walk->now, &walk->out);
    walk->rows[index] = *row; /* until a change of it is committed */
    walk->rows_end = index + 1;
}

/* The agent is killed and started again; what was not committed never was. */
static void die(struct walk *walk)
{
    struct ct *rows = malloc(walk->rows_end * sizeof(*rows));
    uint32_t count = walk->rows_end;

    if (rows == NULL)
        abort();
    memcpy(rows, walk->rows, count * sizeof(*rows));
    walk->deaths++;
    walk->out.effect_count = walk->out.event_count = walk->out.receipt_count = 0;
    memset(walk->node, 0, sizeof(*walk->node));
    memset(walk->rows, 0, count * sizeof(*walk->rows));
    walk->rows_end = 0;
    walk->job_count = 0;
    node_init(walk->node, prng_next(&walk->prng));
    for (size_t i = 0; i < WALK_GUESTS; i++)
        if (walk->guests[i].phase == GUEST_STAGED && chance(walk, 50))
            guest_end(walk, &walk->guests[i], 0); /* the keeper ends what was not yet at GO */
    for (uint32_t i = 0; i < count; i++)
        if (rows[i].is_used)
            adopt(walk, &rows[i]);
    turn(walk);
    free(rows);
}

/* One turn's outputs, in the agent's order; it may die before, between and after. */
static void turn(struct walk *walk)
{
    static struct effect waiting[OUT_MAX];
    size_t waiting_count = 0;
    bool is_last = walk->is_mortal && !walk->is_calm && below(walk, 500) == 0;
    unsigned when = is_last ? below(walk, 2) : 2;

    for (size_t i = 0; i < walk->out.effect_count; i++) {
        if (walk->out.effects[i].waits_commit)
            waiting[waiting_count++] = walk->out.effects[i];
        else
            apply(walk, &walk->out.effects[i]);
    }
    if (when == 0) {
        die(walk);
        return;
    }
    check_receipts(walk);
    check_events(walk);
    commit(walk);
    walk->out.effect_count = walk->out.event_count = walk->out.receipt_count = 0;
    if (when == 1) {
        die(walk);
        return;
    }
    for (size_t i = 0; i < waiting_count; i++)
        apply(walk, &waiting[i]);
    node_check(walk->node);
    check_rest(walk);
}

static void note_most(struct walk *walk)
{
    size_t counts[] = {walk->out.effect_count, walk->out.event_count, walk->out.receipt_count};

    for (size_t i = 0; i < 3; i++)
        if (counts[i] > walk->most_per_step)
            walk->most_per_step = counts[i];
}

static void feed(struct walk *walk, const struct input *input)
{
    node_step(walk->node, input, &walk->now, &walk->out);
    note_most(walk);
    turn(walk);
    while (node_tick(walk->node, &walk->now, &walk->out)) {
        note_most(walk);
        turn(walk);
    }
}

static void see(struct walk *walk, const struct observation *seen)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = *seen};

    memcpy(walk->last_uuid[walk->last_count % 16], node_get(walk->node, seen->ct)->uuid,
           UUID_BYTES);
    walk->last[walk->last_count++ % 16] = *seen;
    feed(walk, &input);
}

/* ---- things that happen ---- */

static void give_command(struct walk *walk)
{
    static const enum verb verbs[] = {
        VERB_CREATE, VERB_CREATE, VERB_START,  VERB_START, VERB_START,   VERB_STOP, VERB_STOP,
        VERB_KILL,   VERB_REBOOT, VERB_FREEZE, VERB_THAW,  VERB_DESTROY, VERB_SET,  VERB_SET};
    struct input input = {.kind = INPUT_COMMAND};
    struct ct_command *command = &input.command;
    struct asked *asked = &walk->asked[walk->asked_count % WALK_COMMANDS];

    (void)snprintf(command->request, REQUEST_ID_BYTES, "%llu",
                   (unsigned long long)walk->asked_count++);
    *asked = (struct asked){0};
    memcpy(asked->request, command->request, REQUEST_ID_BYTES);
    command->verb = verbs[below(walk, sizeof(verbs) / sizeof(verbs[0]))];
    (void)snprintf(command->container, NAME_BYTES, "c%u", below(walk, WALK_NAMES));
    command->wait = chance(walk, 30) ? WAIT_FOR_EXEC : WAIT_FOR_READY;
    command->grace_ns = chance(walk, 50) ? (1 + below(walk, 30)) * SECOND_NS : 0;
    command->is_forced = chance(walk, 40);
    command->is_started = chance(walk, 50);
    command->policy = (struct ct_policy){.restart = (enum restart_on)below(walk, RESTART_COUNT),
                                         .is_reboot_denied = chance(walk, 10),
                                         .grace_ns = chance(walk, 50) ? 10 * SECOND_NS : 0};
    const struct ct *ct = node_find(walk->node, command->container);
    if (command->verb == VERB_SET)
        command->set = (struct ct_set){.keys = 7,
                                       .stop_keys = chance(walk, 40) ? 2 : 0,
                                       .limit_keys = chance(walk, 60) ? 1 : 0,
                                       .when = (enum set_when)below(walk, SET_WHEN_COUNT),
                                       .base = ct != NULL && chance(walk, 95) ? ct->revision : 1};
    walk->uuids++;
    memcpy(command->uuid, &walk->uuids, sizeof(walk->uuids));
    feed(walk, &input);
}

static const enum ct_input answers[EFFECT_COUNT][2] = {
    [EFFECT_MAKE] = {IN_MADE, IN_MAKE_FAILED},
    [EFFECT_PREPARE] = {IN_PREPARED, IN_PREPARE_FAILED},
    [EFFECT_CLEAN] = {IN_CLEANED_STOP, IN_CLEAN_FAILED},
    [EFFECT_REMOVE] = {IN_REMOVED, IN_REMOVE_FAILED},
    [EFFECT_LIMIT] = {IN_LIMITED, IN_LIMIT_FAILED},
};

static void answer_job(struct walk *walk)
{
    if (walk->job_count == 0)
        return;
    size_t at = below(walk, (uint32_t)walk->job_count);
    struct job job = walk->jobs[at];
    bool is_failed = !walk->is_calm && chance(walk, 15);
    struct observation seen = {.kind = answers[job.effect.kind][is_failed],
                               .ct = job.effect.ct,
                               .generation = job.effect.generation,
                               .is_ready_on_exec = chance(walk, 50)};
    struct story *story = find_story(walk, job.uuid);

    walk->jobs[at] = walk->jobs[--walk->job_count];
    if (is_failed)
        fault_set(&seen.fault, STATUS_FAILED, 5, "%s", effect_name(job.effect.kind));
    if (seen.kind == IN_PREPARED && story != NULL)
        story->prepared = job.effect.generation;
    if (seen.kind == IN_CLEANED_STOP) { /* it killed whatever was left */
        struct guest *guest = find_guest(walk, job.uuid, job.effect.generation);

        if (guest != NULL)
            guest_end(walk, guest, SIGKILL);
    }
    see(walk, &seen);
}

static const struct ct *ct_of(struct walk *walk, const struct guest *guest)
{
    for (uint32_t i = 0; node_next(walk->node, &i); i++)
        if (memcmp(node_get(walk->node, i)->uuid, guest->uuid, UUID_BYTES) == 0)
            return node_get(walk->node, i);
    return NULL;
}

/* One thing that the keeper or the freezer knows and the agent does not; in any order. */
static void tell(struct walk *walk, struct guest *guest, unsigned which)
{
    const struct ct *ct = ct_of(walk, guest);
    struct observation seen = {.generation = guest->generation};

    if (ct == NULL)
        return;
    seen.ct = ct->index;
    if (which == 0 && !guest->is_boot_told &&
        (guest->phase == GUEST_LIVE || guest->phase == GUEST_ENDED)) {
        guest->is_boot_told = true;
        seen.kind = IN_BOOTED;
        seen.pid = 4711;
        seen.at_ns = guest->booted_ns;
        seen.at_wall_ns = guest->booted_wall_ns;
    } else if (which == 1 && guest->is_ready && !guest->is_ready_told) {
        guest->is_ready_told = true;
        seen.kind = IN_READY;
    } else if (which == 2 && !guest->is_end_told &&
               (guest->phase == GUEST_ENDED || guest->phase == GUEST_FAILED)) {
        guest->is_end_told = true;
        seen.kind = guest->phase == GUEST_ENDED ? IN_ENDED : IN_LAUNCH_FAILED;
        seen.has_status = guest->phase == GUEST_ENDED;
        seen.wait_status = guest->status;
        seen.at_ns = guest->ended_ns;
        seen.at_wall_ns = guest->ended_wall_ns;
        if (guest->phase == GUEST_FAILED)
            fault_set(&seen.fault, chance(walk, 20) ? STATUS_INTERRUPTED : STATUS_FAILED, 0, "no");
    } else if (which == 3 && guest->freezer != EFFECT_UNSET && guest->phase == GUEST_LIVE) {
        guest->is_frozen = guest->freezer == EFFECT_FREEZE;
        guest->freezer = EFFECT_UNSET;
        seen.kind = guest->is_frozen ? IN_FROZEN : IN_THAWED;
    }
    if (seen.kind != IN_UNSET)
        see(walk, &seen);
}

static struct guest *pick_guest(struct walk *walk)
{
    uint32_t first = below(walk, WALK_GUESTS);

    for (uint32_t i = 0; i < WALK_GUESTS; i++)
        if (walk->guests[(first + i) % WALK_GUESTS].phase != GUEST_NONE)
            return &walk->guests[(first + i) % WALK_GUESTS];
    return NULL;
}

static void guest_lives(struct walk *walk)
{
    static const int ends[] = {SIGHUP, SIGINT, 0, 7 << 8, SIGSEGV | 0x80, SIGKILL};
    struct guest *guest = pick_guest(walk);

    if (guest == NULL)
        return;
    if (guest->phase == GUEST_STAGED && chance(walk, 60)) {
        if (chance(walk, 85))
            guest_boot(walk, guest);
        else
            guest_end(walk, guest, 0);
    } else if (guest->phase == GUEST_LIVE && chance(walk, 30)) {
        guest->is_ready = true;
    } else if (guest->phase == GUEST_LIVE && !guest->is_frozen && chance(walk, 8)) {
        guest_end(walk, guest, ends[below(walk, sizeof(ends) / sizeof(ends[0]))]);
    }
    tell(walk, guest, below(walk, 4));
}

static void oom(struct walk *walk)
{
    struct guest *guest = pick_guest(walk);
    const struct ct *ct = guest == NULL ? NULL : ct_of(walk, guest);

    if (ct == NULL)
        return;
    see(walk, &(struct observation){
                  .kind = IN_OOM, .ct = ct->index, .generation = guest->generation, .count = 1});
}

static void pass(struct walk *walk, uint64_t ns)
{
    walk->now.ns += ns;
    walk->now.wall_ns += ns;
    while (node_tick(walk->node, &walk->now, &walk->out)) {
        note_most(walk);
        turn(walk);
    }
}

static void say_nonsense(struct walk *walk)
{
    static const enum ct_input kinds[] = {IN_BOOTED, IN_READY,  IN_ENDED,         IN_LAUNCH_FAILED,
                                          IN_FROZEN, IN_THAWED, IN_FREEZE_FAILED, IN_OOM};
    const struct ct *ct = node_get(walk->node, below(walk, WALK_NAMES));
    struct observation seen = {.kind = kinds[below(walk, 8)], .ct = ct->index};

    seen.generation = ct->generation - (ct->generation > 0 && chance(walk, 30));
    seen.has_status = chance(walk, 80);
    seen.wait_status = (int)below(walk, 1 << 16);
    fault_set(&seen.fault, STATUS_FAILED, 0, "nonsense");
    see(walk, &seen);
}

/* Said again as it was. Only a level is not: it is read anew each time. */
static void say_again(struct walk *walk)
{
    uint32_t at = below(walk, 16);
    struct observation seen = walk->last[at];
    const struct ct *ct = node_get(walk->node, seen.ct);

    if (seen.kind == IN_UNSET || seen.kind == IN_FROZEN || seen.kind == IN_THAWED ||
        memcmp(walk->last_uuid[at], ct->uuid, UUID_BYTES) != 0)
        return;
    for (size_t i = 0; i < walk->job_count; i++)
        if (walk->jobs[i].effect.ct == seen.ct)
            return; /* it would stand for the answer that is to come */
    see(walk, &seen);
}

void walk_step(struct walk *walk)
{
    uint32_t what = below(walk, 1000);

    walk->step++;
    if (what < 180)
        give_command(walk);
    else if (what < 500)
        answer_job(walk);
    else if (what < 850)
        guest_lives(walk);
    else if (what < 860)
        oom(walk);
    else if (what < 880)
        say_again(walk);
    else if (what < 900 && walk->is_wild)
        say_nonsense(walk);
    else if (what < 999)
        pass(walk, below(walk, 3000) * UINT64_C(1000000));
    else
        pass(walk, below(walk, 900) * SECOND_NS);
}

#define SETTLE_NS_MAX (12 * 3600 * SECOND_NS)

static void calm_guest(struct walk *walk, struct guest *guest)
{
    const struct ct *ct = ct_of(walk, guest);

    if (guest->phase == GUEST_STAGED)
        guest_boot(walk, guest);
    if (guest->phase == GUEST_LIVE)
        guest->is_ready = true;
    if (guest->phase == GUEST_LIVE && (ct == NULL || ct->generation != guest->generation))
        guest_end(walk, guest, SIGKILL); /* what a wild world made the agent forget */
    for (unsigned which = 0; which < 4 && guest->phase != GUEST_NONE; which++)
        tell(walk, guest, which);
}

void walk_settle(struct walk *walk)
{
    uint64_t end_ns = walk->now.ns + SETTLE_NS_MAX;

    walk->is_calm = true;
    for (;;) {
        while (walk->job_count > 0)
            answer_job(walk);
        for (size_t i = 0; i < WALK_GUESTS; i++)
            if (walk->guests[i].phase != GUEST_NONE)
                calm_guest(walk, &walk->guests[i]);
        if (walk->job_count > 0)
            continue;
        uint64_t next_ns = node_next_deadline(walk->node);
        if (next_ns == 0)
            break;
        if (next_ns > end_ns)
            walk_fail(walk, "does not come to rest",
                      node_get(walk->node, walk->node->deadlines.heap[0])->name);
        pass(walk, next_ns > walk->now.ns ? next_ns - walk->now.ns : 0);
    }
    check_settled(walk);
}
