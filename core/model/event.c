/* SPDX-License-Identifier: Apache-2.0 */
#include "event.h"

#include <string.h>

#include "ensure.h"

static const char *const state_names[CT_STATE_COUNT] = {
#define STATE_ROW(upper, lower) [CT_##upper] = #lower,
    CT_STATE_LIST(STATE_ROW)
#undef STATE_ROW
};

static const char *const type_names[EVENT_TYPE_COUNT] = {
#define TYPE_ROW(upper, lower) [EVENT_##upper] = #lower,
    EVENT_TYPE_LIST(TYPE_ROW)
#undef TYPE_ROW
};

const char *ct_state_name(enum ct_state state)
{
    ENSURE((unsigned)state < CT_STATE_COUNT);
    return state_names[state];
}

enum ct_state ct_state_find(const char *name)
{
    for (unsigned i = 1; i < CT_STATE_COUNT; i++)
        if (strcmp(state_names[i], name) == 0)
            return (enum ct_state)i;
    return CT_UNSET;
}

const char *event_type_name(enum event_type type)
{
    ENSURE((unsigned)type < EVENT_TYPE_COUNT);
    return type_names[type];
}

enum event_type event_type_find(const char *name)
{
    for (unsigned i = 1; i < EVENT_TYPE_COUNT; i++)
        if (strcmp(type_names[i], name) == 0)
            return (enum event_type)i;
    return EVENT_UNSET;
}
