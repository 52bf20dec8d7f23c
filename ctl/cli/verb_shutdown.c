/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `drover node shutdown`: all containers of a node stop, in the reverse of the order in which they
 * boot with it. Each has its own grace; what is not down when the time of all is over is killed.
 * What ran boots again when the node does.
 */
#include <stdlib.h>
#include <string.h>

#include "boot_order.h"
#include "clock.h"
#include "ensure.h"
#include "life.h"

#define TIMEOUT_DEFAULT_NS (300 * SECOND_NS)

struct going_down {
    bool is_stopped; /* it may only be waiting for its turn to boot, which is over */
    uint32_t order;
    char **depends;
    size_t depend_count;
};

struct shutdown {
    struct targets targets;
    struct going_down *items; /* one a target */
    struct boot_order *order;
};

/* ---- who is there ---- */

static int on_listed(void *context, const struct answer *answer)
{
    struct shutdown *shutdown = context;
    struct targets *targets = &shutdown->targets;
    size_t count = targets->count + answer->container_count;

    if (answer->container_count == 0)
        return 0;
    targets->list = realloc(targets->list, count * sizeof(*targets->list));
    shutdown->items = realloc(shutdown->items, count * sizeof(*shutdown->items));
    ENSURE(targets->list != NULL && shutdown->items != NULL);
    for (size_t i = 0; i < answer->container_count; i++) {
        struct target *target = &targets->list[targets->count];

        *target = (struct target){.name = strdup(answer->containers[i].name), .node = strdup("")};
        ENSURE(target->name != NULL && target->node != NULL);
        shutdown->items[targets->count++] =
            (struct going_down){.is_stopped = answer->containers[i].state == CT_STOPPED};
    }
    return 0;
}

static int on_shown(void *context, const struct answer *answer)
{
    struct going_down *item = context;
    const struct config *config = answer->config;

    if (config == NULL || item->depends != NULL)
        return 0;
    item->order = config->order;
    item->depends = calloc(config->depend_count + 1, sizeof(*item->depends));
    ENSURE(item->depends != NULL);
    for (size_t i = 0; i < config->depend_count; i++)
        item->depends[item->depend_count++] = strdup(config->depends[i]);
    return 0;
}

static int look(struct cli *cli, struct shutdown *shutdown)
{
    struct query list = {.kind = QUERY_LIST};
    int code = cli_ask(cli, &list, on_listed, shutdown);

    for (size_t i = 0; code == 0 && i < shutdown->targets.count; i++) {
        struct query show = {.kind = QUERY_SHOW, .container = shutdown->targets.list[i].name};

        code = cli_ask(cli, &show, on_shown, &shutdown->items[i]);
        if (code == status_exit_code(STATUS_NOT_FOUND))
            code = 0; /* destroyed since: its stop will say so */
    }
    shutdown->targets.is_many = true;
    return code;
}

/* ---- one after another ---- */

static void need(struct shutdown *shutdown, uint32_t item, const char *name)
{
    for (uint32_t i = 0; i < shutdown->targets.count; i++)
        if (strcmp(shutdown->targets.list[i].name, name) == 0)
            (void)boot_order_need(shutdown->order, i, item); /* LIMIT: BOOT_NEEDS_MAX */
}

static void put_in_order(struct shutdown *shutdown, uint32_t parallel)
{
    uint32_t count = (uint32_t)shutdown->targets.count;

    shutdown->order = calloc(1, sizeof(*shutdown->order));
    ENSURE(shutdown->order != NULL);
    shutdown->order->going_max = parallel;
    for (uint32_t i = count; i > 0; i--)
        boot_order_add(shutdown->order, i - 1, UINT32_MAX - shutdown->items[i - 1].order,
                       shutdown->items[i - 1].is_stopped ? BOOT_PHASE_OVER : BOOT_PHASE_WAITING);
    for (uint32_t i = 0; i < count; i++)
        for (size_t at = 0; at < shutdown->items[i].depend_count; at++)
            need(shutdown, i, shutdown->items[i].depends[at]);
}

/* First those that are down, so that none of them boots in the place of one that ends. */
static size_t next(void *context, const struct life *life)
{
    struct shutdown *shutdown = context;
    uint32_t item = 0;

    for (size_t i = 0; i < life->count; i++) {
        if (shutdown->items[i].is_stopped && !life->items[i].is_posted)
            return i;
        if (life->items[i].is_over)
            boot_order_note(shutdown->order, (uint32_t)i, BOOT_PHASE_OVER);
    }
    if (!boot_order_next(shutdown->order, &item))
        return life->count;
    boot_order_note(shutdown->order, item, BOOT_PHASE_GOING);
    return item;
}

static void shutdown_close(struct shutdown *shutdown)
{
    for (size_t i = 0; i < shutdown->targets.count; i++) {
        for (size_t at = 0; at < shutdown->items[i].depend_count; at++)
            free(shutdown->items[i].depends[at]);
        free(shutdown->items[i].depends);
    }
    free(shutdown->items);
    free(shutdown->order);
    targets_close(&shutdown->targets);
}

int verb_shutdown(struct cli *cli)
{
    struct shutdown shutdown = {0};
    const struct command shape = {.verb = VERB_STOP, .is_for_shutdown = true};
    uint64_t timeout_ns = cli->timeout_ns != 0 ? cli->timeout_ns : TIMEOUT_DEFAULT_NS;
    struct life_own own = {.next = next, .context = &shutdown};
    uint64_t parallel = BOOT_PARALLEL_DEFAULT;
    struct fault fault = {0};

    own.late_ns = clock_monotonic_ns() + timeout_ns;
    cli->deadline_ns = WIRE_FOREVER; /* what is late is killed, and that is heard of */
    if (options_get_number(&cli->options, OPTION_PARALLEL, &parallel, &fault) < 0)
        return cli_fail(cli, &fault, "", "");
    if (parallel == 0 || parallel > CT_MAX)
        return cli_usage(cli, "--parallel: 1 to 4096");
    int code = cli_greet(cli);
    if (code == 0 && cli->is_controller)
        return cli_usage(cli, "a node is shut down by its own agent: --agent SOCKET");
    if (code == 0)
        code = look(cli, &shutdown);
    if (code == 0) {
        put_in_order(&shutdown, (uint32_t)parallel);
        code = life_run_own(cli, &shape, &shutdown.targets, &own);
    }
    shutdown_close(&shutdown);
    return code;
}
