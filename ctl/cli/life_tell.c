/* SPDX-License-Identifier: Apache-2.0 */
#include "life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "rows.h"
#include "text.h"

static const struct column columns[] = {
    {"name", COLUMN_BOTH, 16},    {"id", COLUMN_BOTH, 36},      {"node", COLUMN_BOTH, 12},
    {"receipt", COLUMN_BOTH, 10}, {"state", COLUMN_BOTH, 10},   {"generation", COLUMN_BOTH, -10},
    {"pid", COLUMN_BOTH, -8},     {"request", COLUMN_BOTH, 36}, {NULL, COLUMN_BOTH, 0},
};

static const struct column set_columns[] = {
    {"name", COLUMN_BOTH, 16},        {"id", COLUMN_BOTH, 36},  {"node", COLUMN_BOTH, 12},
    {"receipt", COLUMN_BOTH, 10},     {"keys", COLUMN_BOTH, 0}, {"state", COLUMN_BOTH, 10},
    {"generation", COLUMN_BOTH, -10}, {"pid", COLUMN_BOTH, -8}, {"request", COLUMN_BOTH, 36},
    {NULL, COLUMN_BOTH, 0},
};

const char *life_phase_word(enum phase phase)
{
    static const char *const words[PHASE_COUNT] = {
        [PHASE_ACCEPTED] = "accepted",      [PHASE_DONE] = "done",
        [PHASE_UNCHANGED] = "unchanged",    [PHASE_FAILED] = "failed",
        [PHASE_SUPERSEDED] = "superseded",  [PHASE_NOT_SENT] = "not_sent",
        [PHASE_RESULT_UNKNOWN] = "unknown", [PHASE_QUEUED] = "queued"};

    return words[phase] == NULL ? "unknown" : words[phase];
}

static const char *node_of(const struct life_item *item)
{
    return item->heard_node != NULL ? item->heard_node : item->node;
}

static bool has_progress(const struct life *life)
{
    return life->count > 1 && isatty(STDERR_FILENO) == 1;
}

void life_clear_progress(const struct life *life)
{
    if (has_progress(life))
        (void)fputs("\r\033[K", stderr);
}

void life_tell_progress(const struct life *life)
{
    if (has_progress(life))
        (void)fprintf(stderr, "\r\033[K%zu of %zu", life->over, life->count);
}

static void say_keys(const struct life *life, uint64_t keys, const char *word)
{
    bool is_first = true;

    for (unsigned key = 1; key < SETTING_COUNT; key++) {
        if ((keys & SETTING_BIT(key)) == 0)
            continue;
        cli_say(life->cli, "%s%s", is_first ? "" : " ", setting_name((enum setting_key)key));
        is_first = false;
    }
    if (!is_first)
        cli_say(life->cli, " %s, ", word);
}

/* web: running, generation 2, pid 4711 (43 ms) */
static void tell_done(const struct life *life, const struct life_item *item)
{
    bool is_gone = life->shape.verb == VERB_DESTROY;
    bool is_made = life->shape.verb == VERB_CREATE && !life->shape.is_started;
    bool has_state = item->has_view && item->state != CT_UNSET;
    char took[32];

    cli_say(life->cli, "%s: ", item->name);
    if (item->phase != PHASE_DONE)
        cli_say(life->cli, "%s%s", life_phase_word(item->phase), has_state ? ", " : "");
    say_keys(life, item->applied, "applied");
    say_keys(life, item->at_next_start, "at_next_start");
    if (is_gone && item->phase == PHASE_DONE)
        cli_say(life->cli, "destroyed");
    else if (is_made && item->phase == PHASE_DONE)
        cli_say(life->cli, "created");
    else if (has_state)
        cli_say(life->cli, "%s", ct_state_name(item->state));
    else if (item->phase == PHASE_DONE)
        cli_say(life->cli, "done");
    if (item->has_view && item->generation > 0 && !is_gone)
        cli_say(life->cli, ", generation %llu", (unsigned long long)item->generation);
    if (item->has_view && item->pid > 0 && !is_gone)
        cli_say(life->cli, ", pid %d", item->pid);
    cli_say(life->cli, " (%s)\n", text_of_duration(item->took_ns, took));
}

/* Rows have a receipt of their own. For people, what is more than `failed` stands before the words:
 * "superseded: stop took its place". */
static void add_word(struct fault *fault, const struct life_item *item)
{
    const char *word = life_phase_word(item->phase);
    char text[FAULT_TEXT_BYTES];
    size_t length = strlen(item->name);
    bool is_named = strncmp(fault->text, item->name, length) == 0 && fault->text[length] == ':';

    if ((item->phase != PHASE_SUPERSEDED && item->phase != PHASE_NOT_SENT &&
         item->phase != PHASE_RESULT_UNKNOWN) ||
        strstr(fault->text, word) != NULL)
        return;
    memcpy(text, fault->text, sizeof(text));
    (void)snprintf(fault->text, sizeof(fault->text), "%s: %.*s", word,
                   (int)(sizeof(text) - strlen(word) - 3),
                   is_named ? text + length + 1 + strspn(text + length + 1, " ") : text);
}

/* Which of them take the stop. */
static void name_keys(struct fault *fault, uint64_t keys)
{
    for (unsigned key = 1; key < SETTING_COUNT; key++) {
        size_t length = strlen(fault->text);

        if ((keys & SETTING_BIT(key)) != 0)
            (void)snprintf(fault->text + length, sizeof(fault->text) - length, "%s%s",
                           strchr(fault->text, '(') == NULL ? " (" : ", ",
                           setting_name((enum setting_key)key));
    }
    size_t length = strlen(fault->text);
    (void)snprintf(fault->text + length, sizeof(fault->text) - length, ")");
}

void life_tell_item(const struct life *life, const struct life_item *item)
{
    life_clear_progress(life);
    if (life_exit_code(item) == 0) {
        tell_done(life, item);
        return;
    }
    struct fault fault = item->fault;
    if (fault.status == STATUS_UNSET)
        fault_set(&fault, item->phase == PHASE_SUPERSEDED ? STATUS_SUPERSEDED : STATUS_FAILED, 0,
                  "%s", life_phase_word(item->phase));
    if (life->cli->format == FORMAT_TABLE)
        add_word(&fault, item);
    if (item->at_next_start != 0)
        name_keys(&fault, item->at_next_start);
    (void)cli_fail(life->cli, &fault, item->name, node_of(item));
}

void life_tell_lost(const struct life *life)
{
    if (life->cli->format != FORMAT_TABLE)
        return;
    for (size_t i = 0; i < life->count; i++)
        (void)fprintf(stderr, "        %s: %s\n", life->items[i].name,
                      life_phase_word(life->items[i].phase));
}

static json_t *keys_of(const struct life_item *item)
{
    json_t *keys = json_object();

    for (unsigned key = 1; key < SETTING_COUNT; key++) {
        bool is_later = (item->at_next_start & SETTING_BIT(key)) != 0;

        if (is_later || (item->applied & SETTING_BIT(key)) != 0)
            (void)json_object_set_new(keys, setting_name((enum setting_key)key),
                                      json_string(is_later ? "at_next_start" : "applied"));
    }
    return keys;
}

static json_t *row_of(const struct life *life, const struct life_item *item)
{
    bool is_gone = life->shape.verb == VERB_DESTROY && item->phase == PHASE_DONE;
    json_t *row = json_pack("{s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:s}", "name", item->name, "id",
                            row_uuid(item->uuid), "node", row_text(node_of(item)), "receipt",
                            life_phase_word(item->phase), "state", json_null(), "generation",
                            json_null(), "pid", json_null(), "request", item->request);

    /* One that failed has none: its receipt names those for which it was refused, and what it may
     * have stored all the same, where its restart failed, is told by `show`. */
    if (life->shape.verb == VERB_SET)
        (void)json_object_set_new(row, "keys",
                                  life_exit_code(item) == 0 ? keys_of(item) : json_object());
    if (!item->has_view)
        return row;
    if (item->state != CT_UNSET && !is_gone) /* what was destroyed is in no state */
        (void)json_object_set_new(row, "state", json_string(ct_state_name(item->state)));
    (void)json_object_set_new(row, "generation", json_integer((json_int_t)item->generation));
    if (item->pid != 0)
        (void)json_object_set_new(row, "pid", json_integer(item->pid));
    return row;
}

int life_tell_end(struct life *life)
{
    struct render render;
    size_t failed = 0;
    char took[32];

    bool is_told = life->own != NULL && life->own->on_end != NULL;
    if (is_told)
        life->own->on_end(life->own->context, life);
    if (life->cli->format != FORMAT_TABLE) {
        if (is_told)
            return 0;
        bool is_set = life->shape.verb == VERB_SET;
        int code = cli_render(life->cli, &render, is_set ? set_columns : columns);
        if (code != 0)
            return code;
        for (size_t i = 0; i < life->count; i++)
            render_add(&render, row_of(life, &life->items[i]));
        return cli_render_end(life->cli, &render, 0);
    }
    if (life->count < 2)
        return 0;
    for (size_t i = 0; i < life->count; i++)
        failed += life_exit_code(&life->items[i]) != 0;
    (void)fprintf(stderr, "%s: %zu done, %zu not, in %s\n", life->cli->verb->name,
                  life->count - failed, failed,
                  text_of_duration(clock_monotonic_ns() - life->began_ns, took));
    return 0;
}
