/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks.h"

#include "ensure.h"

const char *hook_point_name(enum hook_point point)
{
    static const char *const names[HOOK_POINT_COUNT] = {
#define HOOK_POINT_NAME(upper, lower) [HOOK_##upper] = #lower,
        HOOK_POINT_LIST(HOOK_POINT_NAME)
#undef HOOK_POINT_NAME
    };

    ENSURE((unsigned)point < HOOK_POINT_COUNT);
    return names[point];
}

void hook_walk_begin(struct hook_walk *walk, uint32_t there, bool is_down)
{
    *walk =
        (struct hook_walk){.left = there & (is_down ? HOOKS_DOWN : HOOKS_UP), .is_down = is_down};
}

bool hook_walk_next(struct hook_walk *walk, enum hook_point *ret_point)
{
    for (unsigned point = 0; point < HOOK_POINT_COUNT; point++)
        if ((walk->left & HOOK_BIT(point)) != 0) {
            walk->left &= ~HOOK_BIT(point);
            *ret_point = (enum hook_point)point;
            return true;
        }
    return false;
}

static void fail(struct hook_walk *walk, const char *name, struct hook_end end, const char *said)
{
    const char *colon = said[0] == '\0' ? "" : ": ";
    struct fault fault = {0};

    switch (end.kind) {
    case HOOK_EXITED:
        fault_set(&fault, STATUS_HOOK_FAILED, 0, "hook %s exited %d%s%s", name, (int64_t)end.code,
                  colon, said);
        break;
    case HOOK_SIGNALLED:
        fault_set(&fault, STATUS_HOOK_FAILED, 0, "hook %s was killed by signal %d%s%s", name,
                  (int64_t)end.code, colon, said);
        break;
    case HOOK_UNABLE:
        fault_set(&fault, STATUS_HOOK_FAILED, end.code, "hook %s cannot be executed", name);
        break;
    case HOOK_LATE:
        fault_set(&fault, STATUS_TIMEOUT, 0, "hook %s was killed at its deadline%s%s", name, colon,
                  said);
        break;
    case HOOK_LOST:
        fault_set(&fault, STATUS_HOOK_FAILED, end.code, "hook %s ended without a word", name);
        break;
    }
    if (!walk->has_failed)
        walk->fault = fault;
    walk->has_failed = true;
    if (!walk->is_down)
        walk->left = 0;
}

void hook_walk_note(struct hook_walk *walk, enum hook_point point, struct hook_end end,
                    const char *said)
{
    bool is_mounting = (HOOK_BIT(point) & HOOKS_UP) != 0;

    if (end.kind == HOOK_EXITED && end.code == 0)
        return;
    if (end.kind == HOOK_EXITED && end.code == HOOK_SKIP && is_mounting) {
        walk->is_root_skipped = true;
        return;
    }
    fail(walk, hook_point_name(point), end, said);
    if (end.kind == HOOK_LOST)
        walk->left = 0; /* there is nobody to run the rest */
}
