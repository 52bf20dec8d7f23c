/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ensure.h"

#define NAME_ROOM 96

static struct ct_rule written; /* what stood where one was changed */
static const struct ct_rule *changed;

enum field { FIELD_VERDICT, FIELD_NEXT, FIELD_ACTION, FIELDS };

static const char *const field_names[FIELDS] = {"verdict", "next", "action"};

static const char *const verdict_names[] = {
    [VERDICT_UNSET] = "unset",   [VERDICT_MOVE] = "move",           [VERDICT_ACT] = "act",
    [VERDICT_IGNORE] = "ignore", [VERDICT_UNCHANGED] = "unchanged", [VERDICT_REJECT] = "reject",
    [VERDICT_BUG] = "bug",
};

/*
 * What moves or acts is ignored; what is ignored moves, to rest where it is not at rest; a refusal
 * says that all is well already, and the other way round. A command that is taken and needs nothing
 * more is refused: to ignore it would be the same.
 */
static struct ct_rule other_verdict(enum ct_state state, const struct ct_rule *rule)
{
    struct ct_rule other = *rule;

    switch (rule->verdict) {
    case VERDICT_ACT:
        if (rule->action == ACT_NONE)
            return (struct ct_rule){.verdict = VERDICT_REJECT};
        return (struct ct_rule){.verdict = VERDICT_IGNORE};
    case VERDICT_MOVE:
        return (struct ct_rule){.verdict = VERDICT_IGNORE};
    case VERDICT_IGNORE:
        other.verdict = VERDICT_MOVE;
        other.next = state == CT_STOPPED ? CT_RUNNING : CT_STOPPED;
        break;
    case VERDICT_UNCHANGED:
        other.verdict = VERDICT_REJECT;
        break;
    case VERDICT_REJECT:
        other.verdict = VERDICT_UNCHANGED;
        break;
    case VERDICT_UNSET:
    case VERDICT_BUG:
        break;
    }
    return other;
}

/* The next one of its enum, round its end; the same rule where there is nothing to change. */
static struct ct_rule mutate(enum ct_state state, const struct ct_rule *rule, enum field field)
{
    struct ct_rule other = *rule;

    if (rule->verdict == VERDICT_BUG)
        return other;
    switch (field) {
    case FIELD_VERDICT:
        return other_verdict(state, rule);
    case FIELD_NEXT:
        if (rule->verdict == VERDICT_MOVE)
            other.next = rule->next + 1 < CT_STATE_COUNT ? rule->next + 1 : CT_STOPPED;
        break;
    case FIELD_ACTION:
        if (rule->verdict == VERDICT_MOVE || rule->verdict == VERDICT_ACT)
            other.action = rule->action + 1 < ACT_COUNT ? rule->action + 1 : ACT_NONE;
        break;
    case FIELDS:
        ENSURE(false);
    }
    return other;
}

static bool is_same(const struct ct_rule *a, const struct ct_rule *b)
{
    return a->verdict == b->verdict && a->next == b->next && a->action == b->action;
}

static void format(enum ct_state state, enum ct_input input, enum field field, char *ret_text)
{
    (void)snprintf(ret_text, NAME_ROOM, "%s,%s,%s", ct_state_name(state), ct_input_name(input),
                   field_names[field]);
}

/* Is there a mutation of this number? Numbers count all fields of all cells. */
#define MUTATIONS_MAX (CT_STATE_COUNT * CT_INPUT_COUNT * FIELDS)

static bool find(unsigned number, enum ct_state *ret_state, enum ct_input *ret_input,
                 enum field *ret_field)
{
    enum ct_state state = (enum ct_state)(number / FIELDS / CT_INPUT_COUNT);
    enum ct_input input = (enum ct_input)(number / FIELDS % CT_INPUT_COUNT);
    struct ct_rule other = mutate(state, &ct_rules[state][input], (enum field)(number % FIELDS));

    *ret_state = state;
    *ret_input = input;
    *ret_field = (enum field)(number % FIELDS);
    return !is_same(&other, &ct_rules[state][input]);
}

static void print_rule(FILE *stream, const struct ct_rule *rule)
{
    (void)fprintf(stream, "%s", verdict_names[rule->verdict]);
    if (rule->verdict == VERDICT_MOVE)
        (void)fprintf(stream, " to %s", ct_state_name(rule->next));
    if (rule->verdict == VERDICT_MOVE || rule->verdict == VERDICT_ACT)
        (void)fprintf(stream, " action %d", (int)rule->action);
}

void cells_list(FILE *stream)
{
    for (unsigned number = 0; number < MUTATIONS_MAX; number++) {
        enum ct_state state;
        enum ct_input input;
        enum field field;
        char text[NAME_ROOM];
        if (!find(number, &state, &input, &field))
            continue;
        struct ct_rule other = mutate(state, &ct_rules[state][input], field);
        format(state, input, field, text);
        (void)fprintf(stream, "%s\t", text);
        print_rule(stream, &ct_rules[state][input]);
        (void)fprintf(stream, " becomes ");
        print_rule(stream, &other);
        (void)fprintf(stream, "\n");
    }
}

static void write_rule(enum ct_state state, enum ct_input input, const struct ct_rule *rule)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)&ct_rules[state][input] & ~(page_bytes - 1);
    uintptr_t to = (uintptr_t)(&ct_rules[state][input] + 1);
    int result = mprotect((void *)from, to - from, PROT_READ | PROT_WRITE);

    ENSURE(result == 0);
    changed = &ct_rules[state][input];
    written = *changed;
    memcpy((void *)(uintptr_t)&ct_rules[state][input], rule, sizeof(*rule));
}

const struct ct_rule *cells_rule(enum ct_state state, enum ct_input input)
{
    const struct ct_rule *rule = &ct_rules[state][input];

    return rule == changed ? &written : rule;
}

bool cells_mutate(const char *mutation)
{
    for (unsigned number = 0; number < MUTATIONS_MAX; number++) {
        enum ct_state state;
        enum ct_input input;
        enum field field;
        char text[NAME_ROOM];
        if (!find(number, &state, &input, &field))
            continue;
        format(state, input, field, text);
        if (strcmp(text, mutation) != 0)
            continue;
        struct ct_rule other = mutate(state, &ct_rules[state][input], field);
        write_rule(state, input, &other);
        return true;
    }
    return false;
}
