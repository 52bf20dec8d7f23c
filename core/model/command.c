/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include "effect.h"
#include "ensure.h"
#include "observation.h"

static const char *const verb_names[VERB_COUNT] = {
#define VERB_NAME(upper, lower) [VERB_##upper] = #lower,
    VERB_LIST(VERB_NAME)
#undef VERB_NAME
};

static const char *const family_names[FAMILY_COUNT] = {
#define FAMILY_NAME(upper, lower) [FAMILY_##upper] = #lower,
    FAMILY_LIST(FAMILY_NAME)
#undef FAMILY_NAME
};

static const char *const input_names[CT_INPUT_COUNT] = {
#define INPUT_NAME(upper, lower) [IN_##upper] = #lower,
    CT_INPUT_LIST(INPUT_NAME)
#undef INPUT_NAME
};

static const char *const effect_names[EFFECT_COUNT] = {
#define EFFECT_NAME(upper, lower) [EFFECT_##upper] = #lower,
    EFFECT_LIST(EFFECT_NAME)
#undef EFFECT_NAME
};

const char *verb_name(enum verb verb)
{
    ENSURE((unsigned)verb < VERB_COUNT);
    return verb_names[verb];
}

const char *family_name(enum family family)
{
    ENSURE((unsigned)family < FAMILY_COUNT);
    return family_names[family];
}

const char *ct_input_name(enum ct_input input)
{
    ENSURE((unsigned)input < CT_INPUT_COUNT);
    return input_names[input];
}

const char *effect_name(enum effect_kind kind)
{
    ENSURE((unsigned)kind < EFFECT_COUNT);
    return effect_names[kind];
}
