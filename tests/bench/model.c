/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-model CONTAINERS STEPS — how many inputs a second the model takes on one core.
 *
 * A world that never fails answers each effect at once; guests reboot, halt and crash, operators
 * start, freeze, thaw, stop and kill them, all from one seed. Deadlines, admission and the list of
 * rows to write are in the loop, as in a turn of the agent. Prints `per_s`, `steps`.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ensure.h"
#include "measure.h"
#include "node.h"
#include "prng.h"

#define QUEUE 8192 /* answers under way; a power of two */

struct bench {
    struct node *node;
    struct out out;
    struct now now;
    struct prng prng;
    struct observation *answers; /* a ring */
    uint32_t first;
    uint32_t count;
    uint64_t steps;
    uint64_t requests;
};

static void answer(struct bench *bench, const struct effect *effect, enum ct_input kind)
{
    ENSURE(bench->count < QUEUE);
    bench->answers[(bench->first + bench->count++) % QUEUE] =
        (struct observation){.kind = kind,
                             .ct = effect->ct,
                             .generation = effect->generation,
                             .pid = 4711,
                             .at_ns = bench->now.ns,
                             .at_wall_ns = bench->now.wall_ns,
                             .has_status = kind == IN_ENDED,
                             .wait_status = SIGKILL};
}

static void obey(struct bench *bench, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_MAKE:
        answer(bench, effect, IN_MADE);
        return;
    case EFFECT_PREPARE:
        answer(bench, effect, IN_PREPARED);
        return;
    case EFFECT_LAUNCH:
        answer(bench, effect, IN_BOOTED);
        answer(bench, effect, IN_READY);
        return;
    case EFFECT_ASK:
    case EFFECT_KILL:
        answer(bench, effect, IN_ENDED);
        return;
    case EFFECT_CLEAN:
        answer(bench, effect, IN_CLEANED_STOP);
        return;
    case EFFECT_REMOVE:
        answer(bench, effect, IN_REMOVED);
        return;
    case EFFECT_FREEZE:
        answer(bench, effect, IN_FROZEN);
        return;
    case EFFECT_THAW:
        answer(bench, effect, IN_THAWED);
        return;
    case EFFECT_LIMIT:
        answer(bench, effect, IN_LIMITED);
        return;
    case EFFECT_UNSET:
    case EFFECT_COUNT:
        break;
    }
    ENSURE(false);
}

static void step(struct bench *bench, const struct input *input)
{
    uint32_t index;
    bool is_more = true;

    bench->now.ns += 1000;
    bench->now.wall_ns += 1000;
    node_step(bench->node, input, &bench->now, &bench->out);
    bench->steps++;
    while (is_more) {
        is_more = node_tick(bench->node, &bench->now, &bench->out);
        for (size_t i = 0; i < bench->out.effect_count; i++)
            obey(bench, &bench->out.effects[i]);
        bench->out.effect_count = bench->out.event_count = bench->out.receipt_count = 0;
    }
    while (node_take_dirty(bench->node, &index))
        ;
}

static void settle(struct bench *bench)
{
    while (bench->count > 0) {
        struct input input = {.kind = INPUT_OBSERVATION,
                              .observation = bench->answers[bench->first]};

        bench->first = (bench->first + 1) % QUEUE;
        bench->count--;
        step(bench, &input);
    }
}

static void command(struct bench *bench, unsigned container, enum verb verb)
{
    struct input input = {.kind = INPUT_COMMAND,
                          .command = {.verb = verb,
                                      .wait = WAIT_FOR_READY,
                                      .policy = {.restart = RESTART_ON_FAILURE}}};

    (void)snprintf(input.command.request, REQUEST_ID_BYTES, "r%llu",
                   (unsigned long long)++bench->requests);
    (void)snprintf(input.command.container, NAME_BYTES, "c-%u", container);
    memcpy(input.command.uuid, &container, sizeof(container));
    input.command.uuid[15] = 1;
    step(bench, &input);
}

/* What a guest does by itself: an end with this status. */
static void end(struct bench *bench, uint32_t index, int wait_status)
{
    const struct ct *ct = node_get(bench->node, index);
    struct input input = {.kind = INPUT_OBSERVATION,
                          .observation = {.kind = IN_ENDED,
                                          .ct = index,
                                          .generation = ct->generation,
                                          .at_ns = bench->now.ns,
                                          .at_wall_ns = bench->now.wall_ns,
                                          .has_status = true,
                                          .wait_status = wait_status}};

    if (ct->has_init)
        step(bench, &input);
}

static void live(struct bench *bench, unsigned containers)
{
    static const enum verb verbs[] = {VERB_START,  VERB_START,  VERB_STOP, VERB_KILL,
                                      VERB_REBOOT, VERB_FREEZE, VERB_THAW};
    static const int statuses[] = {SIGHUP, SIGHUP, SIGINT, 1 << 8, SIGSEGV};
    uint32_t which = (uint32_t)prng_below(&bench->prng, containers);

    if (prng_below(&bench->prng, 3) != 0)
        command(bench, which, verbs[prng_below(&bench->prng, sizeof(verbs) / sizeof(verbs[0]))]);
    else
        end(bench, which,
            statuses[prng_below(&bench->prng, sizeof(statuses) / sizeof(statuses[0]))]);
    bench->now.ns += SECOND_NS / 50;
    bench->now.wall_ns += SECOND_NS / 50;
}

int main(int argc, char **argv)
{
    struct bench bench = {.prng = {.state = 1}, .now = {1000 * SECOND_NS, 1700000000 * SECOND_NS}};

    if (argc != 3)
        return 2;
    unsigned containers = measure_count(argv[1], CT_MAX);
    unsigned steps = measure_count(argv[2], 1000000000);
    bench.node = calloc(1, sizeof(*bench.node));
    bench.answers = calloc(QUEUE, sizeof(*bench.answers));
    ENSURE(bench.node != NULL);
    ENSURE(bench.answers != NULL);
    node_init(bench.node, 1);
    for (unsigned i = 0; i < containers; i++) {
        command(&bench, i, VERB_CREATE);
        settle(&bench);
    }

    bench.steps = 0;
    uint64_t began_ns = clock_monotonic_ns();
    while (bench.steps < steps) {
        live(&bench, containers);
        settle(&bench);
    }
    uint64_t took_ns = clock_monotonic_ns() - began_ns;
    measure_print("per_s", (double)bench.steps * 1e9 / (double)took_ns);
    measure_print("steps", (double)bench.steps);
    free(bench.answers);
    free(bench.node);
    return 0;
}
