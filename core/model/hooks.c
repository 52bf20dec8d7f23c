/* SPDX-License-Identifier: Apache-2.0 */
#include "hooks.h"

#include <string.h>

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

enum hook_point hook_point_find(const char *name)
{
    unsigned point = 0;

    while (point < HOOK_POINT_COUNT && strcmp(hook_point_name((enum hook_point)point), name) != 0)
        point++;
    return (enum hook_point)point;
}

void hook_walk_begin(struct hook_walk *walk, uint32_t there, uint32_t own, uint32_t way)
{
    *walk = (struct hook_walk){.left = there & way, .left_own = own & way, .way = way};
}

static bool take(struct hook_walk *walk, unsigned point, bool is_own)
{
    uint32_t *left = is_own ? &walk->left_own : &walk->left;

    if ((*left & HOOK_BIT(point)) == 0)
        return false;
    *left &= ~HOOK_BIT(point);
    walk->point = (enum hook_point)point;
    walk->is_own = is_own;
    return true;
}

bool hook_walk_next(struct hook_walk *walk)
{
    bool is_own_first = (walk->way & (HOOKS_STOP | HOOKS_DOWN)) != 0;

    for (unsigned point = 0; point < HOOK_POINT_COUNT; point++)
        if (take(walk, point, is_own_first) || take(walk, point, !is_own_first))
            return true;
    return false;
}

bool hook_walk_is_over(const struct hook_walk *walk)
{
    return (walk->left | walk->left_own) == 0;
}

static void end_walk(struct hook_walk *walk)
{
    walk->left = walk->left_own = 0;
}

static void fail(struct hook_walk *walk, struct hook_end end, const char *said)
{
    const char *name = hook_point_name(walk->point);
    const char *own = walk->is_own ? "of its own, " : "";
    const char *colon = said[0] == '\0' ? "" : ": ";
    struct fault fault = {0};

    switch (end.kind) {
    case HOOK_EXITED:
        fault_set(&fault, STATUS_HOOK_FAILED, 0, "hook %s%s exited %d%s%s", own, name,
                  (int64_t)end.code, colon, said);
        break;
    case HOOK_SIGNALLED:
        fault_set(&fault, STATUS_HOOK_FAILED, 0, "hook %s%s was killed by signal %d%s%s", own, name,
                  (int64_t)end.code, colon, said);
        break;
    case HOOK_UNABLE:
        fault_set(&fault, STATUS_HOOK_FAILED, end.code, "hook %s%s cannot be executed", own, name);
        break;
    case HOOK_LATE:
        fault_set(&fault, STATUS_TIMEOUT, 0, "hook %s%s was killed at its deadline%s%s", own, name,
                  colon, said);
        break;
    case HOOK_LOST:
        fault_set(&fault, STATUS_HOOK_FAILED, end.code, "hook %s%s ended without a word", own,
                  name);
        break;
    }
    if (!walk->has_failed)
        walk->fault = fault;
    walk->has_failed = true;
    if (walk->way != HOOKS_DOWN)
        end_walk(walk);
}

void hook_walk_note(struct hook_walk *walk, struct hook_end end, const char *said)
{
    bool is_mounting = (HOOK_BIT(walk->point) & HOOKS_UP) != 0;

    if (end.kind == HOOK_EXITED && end.code == 0)
        return;
    if (end.kind == HOOK_EXITED && end.code == HOOK_SKIP && is_mounting) {
        walk->is_root_skipped = true;
        return;
    }
    fail(walk, end, said);
    if (end.kind == HOOK_LOST)
        end_walk(walk); /* there is nobody to run the rest */
}
