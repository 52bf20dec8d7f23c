/* SPDX-License-Identifier: Apache-2.0 */
/* What happens next: a heap of times, with lots drawn for what is due at once. */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ensure.h"
#include "handlers.h"

const char *happening_name(enum happening happening)
{
    static const char *const names[HAPPENING_COUNT] = {
#define HAPPENING_NAME(upper, lower) [HAPPENING_##upper] = #lower,
        HAPPENING_LIST(HAPPENING_NAME)
#undef HAPPENING_NAME
    };

    return (unsigned)happening < HAPPENING_COUNT ? names[happening] : "?";
}

/* ---- the heap ---- */

static bool is_before(const struct due *a, const struct due *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_at(struct sim *sim, uint64_t at_ns, enum happening happening, uint32_t life, uint32_t arg)
{
    uint32_t at = sim->due_count++;
    struct due due = {at_ns, prng_next(&sim->prng), happening, life, arg};

    ENSURE(sim->due_count <= DUE_MAX);
    while (at > 0 && is_before(&due, &sim->due[(at - 1) / 2])) {
        sim->due[at] = sim->due[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->due[at] = due;
}

void sim_after(struct sim *sim, uint64_t delay_ns, enum happening happening, uint32_t life,
               uint32_t arg)
{
    sim_at(sim, sim->now.ns + delay_ns, happening, life, arg);
}

static struct due take(struct sim *sim)
{
    struct due first = sim->due[0];
    struct due last = sim->due[--sim->due_count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= sim->due_count)
            break;
        if (child + 1 < sim->due_count && is_before(&sim->due[child + 1], &sim->due[child]))
            child++;
        if (is_before(&last, &sim->due[child]))
            break;
        sim->due[at] = sim->due[child];
        at = child;
    }
    if (sim->due_count > 0)
        sim->due[at] = last;
    return first;
}

void sim_set_time(struct sim *sim, uint64_t ns)
{
    ENSURE(ns >= sim->now.ns);
    sim->now.ns = ns;
    sim->now.wall_ns = (uint64_t)((int64_t)ns + sim->wall_offset_ns);
}

bool sim_step(struct sim *sim)
{
    if (sim->due_count == 0)
        return false;
    struct due due = take(sim);

    sim_set_time(sim, due.at_ns > sim->now.ns ? due.at_ns : sim->now.ns);
    if (!handlers_is_current(sim, &due))
        return true;
    sim->turn++;
    sim_note(sim, due.at_ns);
    sim_note(sim, ((uint64_t)due.happening << 32) + due.arg);
    sim_trace(sim, "%s %" PRIu32, happening_name(due.happening), due.arg);
    handlers_run(sim, &due);
    return true;
}

/* ---- draws ---- */

uint64_t sim_below(struct sim *sim, uint64_t bound)
{
    return prng_below(&sim->prng, bound);
}

bool sim_chance(struct sim *sim, unsigned permille)
{
    return prng_below(&sim->prng, 1000) < permille;
}

uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most)
{
    return least + prng_below(&sim->prng, most - least + 1);
}

uint64_t sim_delay(struct sim *sim, uint64_t usual_ns)
{
    uint64_t lot = sim_below(sim, 100);
    uint64_t times = lot < 80 ? 1 : lot < 97 ? 10 : 100;

    return usual_ns / 4 + sim_below(sim, usual_ns * times + 1);
}

/* ---- what is told of it ---- */

/* FNV-1a by eight octets. */
void sim_note(struct sim *sim, uint64_t value)
{
    sim->hash = (sim->hash ^ value) * UINT64_C(0x100000001b3);
    sim->hash ^= sim->hash >> 29;
}

void sim_note_text(struct sim *sim, const char *text)
{
    for (; *text != '\0'; text++)
        sim_note(sim, (uint8_t)*text);
}

void sim_say(struct sim *sim, const char *format, ...)
{
    va_list args;

    (void)printf("%8" PRIu64 " %12.6f ", sim->turn, (double)sim->now.ns / 1e9);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
}

void sim_fail(struct sim *sim, const char *checker, const char *format, ...)
{
    va_list args;

    (void)fflush(stdout);
    (void)fprintf(stderr, "sim: %s seed=%" PRIu64 " turn=%" PRIu64 ": ", checker, sim->seed,
                  sim->turn);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\nreproduce: tests/sim/run --seed=%" PRIu64 " --trace\n", sim->seed);
    exit(1);
}
