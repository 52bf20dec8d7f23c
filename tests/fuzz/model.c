/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: what the node decides, with whatever commands, observations and deaths of the agent
 * come in whatever order. The made-up world of tests/support/walk.c, with its checkers, is driven
 * by the input instead of a seed: each choice it makes is the next octet. node_check() looks on
 * each turn.
 */
#include "fuzz.h"
#include "walk.h"

#define STEPS_MAX 400
#define DEATHS_MAX 20 /* each is a deeper call of the walk's */

static struct script script;
static struct walk *walk;
static bool is_scripted;

uint64_t __wrap_prng_below(struct prng *prng, uint64_t bound);
uint64_t __real_prng_below(struct prng *prng, uint64_t bound);

/* The model's own draws, a restart's jitter, come from there as well. */
uint64_t __wrap_prng_below(struct prng *prng, uint64_t bound)
{
    if (walk->deaths > DEATHS_MAX)
        walk->is_mortal = false;
    if (!is_scripted || script.left == 0)
        return __real_prng_below(prng, bound);
    return (bound > UINT8_MAX ? script_short(&script) : script_octet(&script)) % bound;
}

static void look_for_canary(void)
{
    for (uint32_t i = 0; node_next(walk->node, &i); i++)
        CANARY(node_get(walk->node, i)->state == CT_FROZEN &&
               node_get(walk->node, i)->generation >= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    script = (struct script){data, size_bytes};
    walk = walk_open(1);
    uint8_t flags = script_octet(&script);

    walk->is_wild = (flags & 1) != 0;
    walk->is_mortal = (flags & 2) != 0 && !walk->is_wild;
    is_scripted = true;
    for (unsigned step = 0; step < STEPS_MAX && script.left > 0; step++) {
        walk_step(walk);
        node_check(walk->node);
        look_for_canary();
    }
    is_scripted = false;
    walk_settle(walk);
    PROMISE(walk->most_per_step <= CT_OUT_PER_STEP);
    walk_close(walk);
    return 0;
}
