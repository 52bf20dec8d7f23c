/* SPDX-License-Identifier: Apache-2.0 */
#include "select.h"

#include <stdlib.h>
#include <string.h>

#include "ensure.h"

bool target_is_plain(const char *text)
{
    const char *at = strchr(text, '@');

    return strpbrk(text, "*?=") == NULL && (at == NULL || (at != text && at[1] != '\0'));
}

int target_read(const struct cli *cli, const char *text, struct target_name *ret_target)
{
    const char *at = strchr(text, '@');
    size_t length = at == NULL ? strlen(text) : (size_t)(at - text);
    const char *node = at == NULL ? cli->node : at + 1;

    if (!target_is_plain(text) || length == 0)
        return cli_usage(cli, "one container is needed: its name, NAME@NODE or id");
    if (length >= NAME_BYTES || strlen(node) >= NAME_BYTES)
        return cli_usage(cli, "a name has at most 63 octets, and so has a node's");
    if (at != NULL && cli->node[0] != '\0' && strcmp(node, cli->node) != 0)
        return cli_usage(cli, "--node and NAME@NODE name different nodes");
    memcpy(ret_target->name, text, length);
    ret_target->name[length] = '\0';
    memcpy(ret_target->node, node, strlen(node) + 1);
    return 0;
}

int target_read_only(const struct cli *cli, struct target_name *ret_target)
{
    if (cli->argument_count != 1)
        return cli_usage(cli, "one container is needed: its name, NAME@NODE or id");
    return target_read(cli, cli->arguments[0], ret_target);
}

/* What one LIST answered, held against the selectors that asked. */
struct finding {
    struct targets *targets;
    const char *const *selectors;
    size_t count;
    bool *is_matched; /* one a selector */
    bool is_all;
};

static void add(struct targets *targets, const char *name, const char *node)
{
    for (size_t i = 0; i < targets->count; i++)
        if (strcmp(targets->list[i].name, name) == 0 &&
            (node[0] == '\0' || targets->list[i].node[0] == '\0' ||
             strcmp(targets->list[i].node, node) == 0))
            return;
    struct target *list = realloc(targets->list, (targets->count + 1) * sizeof(*targets->list));
    ENSURE(list != NULL);
    targets->list = list;
    list[targets->count] = (struct target){strdup(name), strdup(node)};
    ENSURE(list[targets->count].name != NULL);
    ENSURE(list[targets->count].node != NULL);
    targets->count++;
}

static int on_found(void *context, const struct answer *answer)
{
    struct finding *finding = context;

    for (size_t i = 0; i < answer->container_count; i++) {
        const struct container_view *view = &answer->containers[i];
        char uuid[UUID_TEXT_BYTES];
        bool is_wanted = finding->is_all;

        struct selectable what = {view->name, view->node, uuid_format(view->uuid, uuid),
                                  view->labels, view->label_count};
        for (size_t n = 0; n < finding->count; n++)
            if (selector_match(finding->selectors[n], &what))
                is_wanted = finding->is_matched[n] = true;
        if (is_wanted)
            add(finding->targets, view->name, view->node);
    }
    return 0;
}

static int ask_selectors(struct cli *cli, struct finding *finding)
{
    struct query query = {.kind = QUERY_LIST,
                          .selectors = finding->is_all ? NULL : finding->selectors,
                          .selector_count = finding->is_all ? 0 : finding->count};
    int code = cli_ask(cli, &query, on_found, finding);

    for (size_t i = 0; code == 0 && i < finding->count; i++)
        if (!finding->is_matched[i]) {
            struct fault fault = {0};
            fault_set(&fault, STATUS_NOT_FOUND, 0, "%s: no container matches",
                      finding->selectors[i]);
            fault_hint(&fault, "`drover ls` shows what there is; nothing was done");
            code = cli_fail(cli, &fault, "", cli->node);
        }
    return code;
}

static bool is_list_needed(const struct cli *cli)
{
    bool is_needed = options_has(&cli->options, OPTION_ALL);

    for (size_t i = 0; i < cli->argument_count; i++)
        is_needed = is_needed || !target_is_plain(cli->arguments[i]);
    return is_needed;
}

int targets_find(struct cli *cli, struct targets *ret_targets)
{
    struct targets targets = {0};
    const char **selectors = calloc(cli->argument_count + 1, sizeof(*selectors));
    bool *is_matched = calloc(cli->argument_count + 1, sizeof(*is_matched));
    struct finding finding = {&targets, selectors, 0, is_matched,
                              options_has(&cli->options, OPTION_ALL)};
    int code = 0;

    ENSURE(selectors != NULL);
    ENSURE(is_matched != NULL);
    bool is_asked = is_list_needed(cli);
    for (size_t i = 0; code == 0 && i < cli->argument_count; i++) {
        struct target_name plain;

        if (!target_is_plain(cli->arguments[i])) {
            selectors[finding.count++] = cli->arguments[i];
            continue;
        }
        code = target_read(cli, cli->arguments[i], &plain);
        if (code == 0)
            add(&targets, plain.name, plain.node);
    }
    if (code == 0 && is_asked)
        code = ask_selectors(cli, &finding);
    free(selectors);
    free(is_matched);
    if (code != 0)
        targets_close(&targets);
    targets.is_many = is_asked || targets.count > 1;
    *ret_targets = targets;
    return code;
}

void targets_close(struct targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        free(targets->list[i].name);
        free(targets->list[i].node);
    }
    free(targets->list);
    *targets = (struct targets){0};
}
