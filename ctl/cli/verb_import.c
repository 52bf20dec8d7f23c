/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import: containers as OpenVZ or LXC had them, made by the same command as `create`, and a report
 * on each of their parameters.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_read.h"
#include "ensure.h"
#include "import.h"
#include "life.h"
#include "rows.h"

typedef int (*import_fn)(struct import *import, const struct import_source *source,
                         const struct import_disk *disk, struct fault *fault);

/* One file and the container that it becomes. */
struct imported {
    const char *path;
    struct import import;
    struct options options;
    struct config_read config;
    bool is_wrong;       /* no container can be made of it: the person was told */
    const char *receipt; /* NULL: nothing was sent */
    char *command;       /* what does the same; owned */
};

struct round {
    struct cli *cli;
    struct arena files;
    struct imported *list;
    size_t count;
    struct imported **sent; /* in the order of life's items */
    size_t sent_count;
    int code; /* so far; < 0: none */
};

/* ---- reading ---- */

/* /etc/vz/conf/101.conf → /etc/vz/vz.conf */
static const char *global_of(struct arena *texts, const char *path)
{
    static const char above[] = "../vz.conf";
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    char *global = arena_take(texts, length + sizeof(above));

    ENSURE(global != NULL);
    memcpy(global, path, length);
    memcpy(global + length, above, sizeof(above));
    return global;
}

static int read_source(struct round *round, const char *path, bool is_openvz,
                       struct import_source *ret_source, struct fault *fault)
{
    *ret_source = (struct import_source){
        .path = path, .template_name = options_find(&round->cli->options, OPTION_TEMPLATE)};
    int result = import_disk.read(NULL, path, &round->files, &ret_source->text);
    if (result < 0) {
        fault_set(fault, result == -ENOENT ? STATUS_NOT_FOUND : STATUS_FAILED, -result,
                  "cannot be read");
        return result;
    }
    if (!is_openvz)
        return 0;
    ret_source->global_path = global_of(&round->files, path);
    result = import_disk.read(NULL, ret_source->global_path, &round->files, &ret_source->global);
    if (result == 0 || result == -ENOENT)
        return 0; /* away from its node it may well not be there */
    fault_set(fault, STATUS_FAILED, -result, "%s cannot be read", ret_source->global_path);
    return result;
}

static int read_one(struct round *round, struct imported *imported, import_fn map,
                    struct fault *fault)
{
    struct import_source source;
    int result = read_source(round, imported->path, map == import_openvz, &source, fault);

    if (result == 0)
        result = map(&imported->import, &source, &import_disk, fault);
    if (result < 0)
        return result;
    imported->options.given = imported->import.given;
    imported->options.given_count = imported->import.given_count;
    return config_read(&imported->config, &imported->options, fault);
}

static void tell_wrong(struct round *round, struct imported *imported, const struct fault *why)
{
    struct fault fault = *why;

    fault_set(&fault, why->status, why->error, "%s: %s", imported->path, why->text);
    fault_hint(&fault, why->hint);
    imported->is_wrong = true;
    round->code = cli_code_join(
        round->code, cli_fail(round->cli, &fault, imported->import.name, round->cli->node));
}

/* ---- what would do the same, by hand ---- */

static void put_word(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./:=,@%+";

    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        (void)fprintf(out, " %s", word);
        return;
    }
    (void)fputs(" '", out);
    for (; *word != '\0'; word++)
        if (*word == '\'')
            (void)fputs("'\\''", out);
        else
            (void)fputc(*word, out);
    (void)fputc('\'', out);
}

static char *command_of(const struct round *round, const struct imported *imported)
{
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *out = open_memstream(&text, &size_bytes);

    ENSURE(out != NULL);
    (void)fprintf(out, "drover create %s", imported->import.name);
    if (round->cli->node[0] != '\0')
        (void)fprintf(out, " --node %s", round->cli->node);
    for (size_t i = 0; i < imported->options.given_count; i++) {
        const struct option_given *given = &imported->options.given[i];

        (void)fprintf(out, " --%s", option_rows[given->option].name);
        if (given->value != NULL)
            put_word(out, given->value);
    }
    if (options_has(&round->cli->options, OPTION_START))
        (void)fputs(" --start", out);
    ENSURE(fclose(out) == 0);
    return text;
}

/* ---- making ---- */

static void on_end(void *context, const struct life *life)
{
    struct round *round = context;

    for (size_t i = 0; i < life->count; i++)
        round->sent[i]->receipt = life_phase_word(life->items[i].phase);
}

static int send_all(struct round *round, const struct command *shape, size_t count)
{
    struct cli *cli = round->cli;
    struct target *list = calloc(count + 1, sizeof(*list));
    const struct config **configs = calloc(count + 1, sizeof(struct config *));
    struct targets targets = {.list = list, .is_many = round->count > 1};
    struct life_own own = {.configs = configs, .on_end = on_end, .context = round};

    ENSURE(list != NULL && configs != NULL);
    for (size_t i = 0; i < round->count; i++) {
        struct imported *imported = &round->list[i];

        if (imported->is_wrong)
            continue;
        configs[targets.count] = &imported->config.config;
        list[targets.count++] =
            (struct target){imported->import.name, (char *)(uintptr_t)cli->node};
        round->sent[round->sent_count++] = imported;
    }
    int code = cli_connect(cli);
    if (code == 0 || code == status_exit_code(STATUS_UNREACHABLE))
        code = life_run_own(cli, shape, &targets, &own);
    free(list);
    free(configs);
    return code;
}

static int make_all(struct round *round)
{
    static const char *const waits[] = {"exec", "ready", NULL};
    const struct options *options = &round->cli->options;
    struct fault fault = {0};
    size_t count = 0;
    int wait = options_get_word(options, OPTION_WAIT, waits, 1, &fault);

    if (wait < 0)
        return cli_fail(round->cli, &fault, "", "");
    for (size_t i = 0; i < round->count; i++)
        count += !round->list[i].is_wrong;
    if (count == 0)
        return round->code;
    if (options_has(options, OPTION_DRY_RUN)) {
        for (size_t i = 0; i < round->count; i++)
            round->list[i].receipt = round->list[i].is_wrong ? NULL : "dry_run";
        return cli_code_join(round->code, 0);
    }
    struct command shape = {.verb = VERB_CREATE,
                            .is_started = options_has(options, OPTION_START),
                            .wait = wait == 0 ? WAIT_FOR_EXEC : WAIT_FOR_READY,
                            .time_left_ns = round->cli->timeout_ns};
    if (options_has(options, OPTION_DETACH))
        shape.wait = WAIT_FOR_ACCEPTED;
    int code = send_all(round, &shape, count);
    return code > 128 ? code : cli_code_join(round->code, code);
}

/* ---- the report ---- */

static const struct column columns[] = {
    {"file", COLUMN_DATA, 0},    {"container", COLUMN_BOTH, 0}, {"parameter", COLUMN_BOTH, 0},
    {"value", COLUMN_BOTH, 0},   {"option", COLUMN_BOTH, 0},    {"why", COLUMN_BOTH, 0},
    {"receipt", COLUMN_DATA, 0}, {NULL, COLUMN_BOTH, 0}};

static void add_row(struct render *render, const struct imported *imported,
                    const struct import_note *note, const char *receipt)
{
    render_add(render, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "file",
                                 row_text(note->file), "container", row_text(imported->import.name),
                                 "parameter", row_text(note->parameter), "value",
                                 row_text(note->value), "option", row_text(note->option), "why",
                                 row_text(note->why), "receipt", row_text(receipt)));
}

/* A row without a parameter is the container's own. */
static int tell_report(struct round *round)
{
    struct cli *cli = round->cli;
    struct render render;
    int code = cli_render(cli, &render, columns);

    if (code != 0)
        return code;
    for (size_t i = 0; i < round->count; i++) {
        const struct imported *imported = &round->list[i];
        const struct import_note own = {
            imported->path, NULL, NULL, imported->command,
            imported->import.notes_lost > 0 ? "it has more parameters than a report holds" : NULL};

        if (cli->format != FORMAT_TABLE)
            add_row(&render, imported, &own,
                    imported->is_wrong          ? "failed"
                    : imported->receipt == NULL ? "not_sent"
                                                : imported->receipt);
        for (size_t n = 0; n < imported->import.note_count; n++)
            add_row(&render, imported, &imported->import.notes[n], NULL);
    }
    return cli_render_end(cli, &render, 0);
}

static int run(struct round *round, import_fn map)
{
    struct cli *cli = round->cli;

    for (size_t i = 0; i < round->count; i++) {
        struct imported *imported = &round->list[i];
        struct fault fault = {0};

        imported->path = cli->arguments[i + 1];
        if (read_one(round, imported, map, &fault) < 0)
            tell_wrong(round, imported, &fault);
        else
            imported->command = command_of(round, imported);
        if (imported->command != NULL && options_has(&cli->options, OPTION_DRY_RUN))
            cli_say(cli, "%s\n", imported->command);
    }
    int code = make_all(round);
    int told = tell_report(round);
    return told != 0 ? told : code;
}

static void round_close(struct round *round)
{
    for (size_t i = 0; i < round->count; i++) {
        config_read_close(&round->list[i].config);
        import_close(&round->list[i].import);
        free(round->list[i].command);
    }
    free(round->list);
    free(round->sent);
    arena_close(&round->files);
}

int verb_import(struct cli *cli)
{
    struct round round = {.cli = cli, .files = {.cap_bytes = SIZE_MAX / 2}, .code = -1};
    import_fn map = NULL;

    if (cli->argument_count > 0 && strcmp(cli->arguments[0], "openvz") == 0)
        map = import_openvz;
    if (cli->argument_count > 0 && strcmp(cli->arguments[0], "lxc") == 0)
        map = import_lxc;
    if (map == NULL)
        return cli_usage(cli, "from what? `import openvz FILE...` or `import lxc FILE...`");
    if (cli->argument_count == 1)
        return cli_usage(cli, "which files? /etc/vz/conf/101.conf, /var/lib/lxc/web/config");
    round.count = cli->argument_count - 1;
    round.list = calloc(round.count, sizeof(*round.list));
    round.sent = calloc(round.count, sizeof(struct imported *));
    ENSURE(round.list != NULL && round.sent != NULL);
    int code = run(&round, map);
    round_close(&round);
    return code;
}
