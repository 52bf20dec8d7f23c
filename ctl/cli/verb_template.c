/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template import: a root of this machine, as a tar, over a stream to where templates are kept.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "flow.h"
#include "pack.h"
#include "rows.h"
#include "select.h"
#include "text.h"
#include "units.h"

#define PROGRESS_NS (NS_PER_S / 5)

struct import {
    struct cli *cli;
    struct flow flow;
    struct fault fault;
    uint64_t shown_ns; /* when progress was last told */
    int signal;        /* that ended us; 0: none */
};

static void clear_progress(void)
{
    if (isatty(STDERR_FILENO) == 1)
        (void)fputs("\r\033[K", stderr);
}

static void tell_progress(struct import *import)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (isatty(STDERR_FILENO) != 1 || now_ns - import->shown_ns < PROGRESS_NS)
        return;
    import->shown_ns = now_ns;
    (void)fprintf(stderr, "\r\033[K%llu MiB", (unsigned long long)(import->flow.out_bytes >> 20));
}

/* Take in what the server said, and wait for more unless something of it ends the wait. */
static int hear(struct import *import, bool *ret_is_news)
{
    struct message message;
    struct stream_frame frame;
    int result;

    *ret_is_news = false;
    while ((result = wire_take(&import->cli->wire, &message, &import->fault)) > 0) {
        result = flow_take(&import->flow, &message, &frame, &import->fault);
        if (result > 0) /* nothing is to be read of an import, but it counts */
            result = flow_done(&import->flow, frame.data.size_bytes, &import->fault);
        if (result < 0)
            return result;
        *ret_is_news = true;
    }
    return result;
}

/* Until there is room for octets (is_room) or the import is over. */
static int wait_for(struct import *import, bool is_room)
{
    for (;;) {
        bool is_news = false;
        int result = hear(import, &is_news);

        if (result < 0 || import->flow.is_over || (is_room && flow_room(&import->flow) > 0))
            return result;
        tell_progress(import);
        result = wire_wait(&import->cli->wire, NULL, 0, import->cli->deadline_ns, &import->fault);
        if (result == -EINTR)
            import->signal = wire_signal_take(&import->cli->wire);
        if (result < 0)
            return result;
    }
}

static int on_packed(void *context, const uint8_t *data, size_t size_bytes)
{
    struct import *import = context;

    while (size_bytes > 0) {
        int result = wait_for(import, true);

        if (result < 0)
            return result;
        if (import->flow.is_over)
            return -ECANCELED; /* it has what it needs, or says why it wants no more */
        size_t room = flow_room(&import->flow);
        size_t count = size_bytes < room ? size_bytes : room;
        result = flow_send(&import->flow, LANE_STDIN, (struct octets){data, count}, false,
                           &import->fault);
        if (result < 0)
            return result;
        data += count;
        size_bytes -= count;
    }
    return 0;
}

static int send_all(struct import *import, const char *path)
{
    struct pack pack = {.sink = on_packed, .context = import, .fault = &import->fault};
    struct stat status = {0};

    if (strcmp(path, "-") != 0 && stat(path, &status) < 0) {
        int error = errno;
        fault_set(&import->fault, STATUS_FAILED, error, "cannot read %s", path);
        return -error;
    }
    bool is_directory = strcmp(path, "-") != 0 && S_ISDIR(status.st_mode);
    int result = is_directory ? pack_directory(&pack, path) : pack_tar(&pack, path);
    if (result < 0)
        return result;
    return flow_send(&import->flow, LANE_STDIN, (struct octets){0}, true, &import->fault);
}

static int tell_made(struct import *import, const char *name)
{
    static const struct column columns[] = {{"name", COLUMN_BOTH, 0},
                                            {"node", COLUMN_BOTH, 0},
                                            {"size", COLUMN_BOTH, -1},
                                            {NULL, COLUMN_BOTH, 0}};
    bool is_small = import->flow.out_bytes < 1 << 20;
    struct render render;

    cli_say(import->cli, "template %s imported, %llu %s\n", name,
            (unsigned long long)(import->flow.out_bytes >> (is_small ? 10 : 20)),
            is_small ? "KiB" : "MiB");
    if (import->cli->format == FORMAT_TABLE)
        return 0;
    int code = cli_render(import->cli, &render, columns);
    if (code != 0)
        return code;
    render_add(&render,
               json_pack("{s:s, s:o, s:I}", "name", name, "node", row_text(import->cli->node),
                         "size", (json_int_t)import->flow.out_bytes));
    return cli_render_end(import->cli, &render, 0);
}

static int finish(struct import *import, int result, const char *name)
{
    struct cli *cli = import->cli;

    clear_progress();
    if (import->signal != 0) {
        flow_abandon(&import->flow);
        return 128 + import->signal;
    }
    if (!import->flow.is_over) {
        flow_abandon(&import->flow);
        return cli_fail(cli, &import->fault, name, cli->node);
    }
    if (import->flow.fault.status != STATUS_UNSET && import->flow.fault.status != STATUS_DONE)
        return cli_fail(cli, &import->flow.fault, name, import->flow.node);
    if (result < 0 && result != -ECANCELED) /* it thinks well of what we know to be half */
        return cli_fail(cli, &import->fault, name, cli->node);
    return tell_made(import, name);
}

static int run(struct cli *cli, const char *name, const char *path)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, 0};
    char request[REQUEST_ID_BYTES];
    const char *given = options_find(&cli->options, OPTION_REQUEST_ID);
    struct import import = {.cli = cli};
    struct stream_open open = {.kind = STREAM_IMPORT,
                               .request_id = given != NULL ? given : cli_request_new(request),
                               .node = cli->node,
                               .container = name,
                               .cwd = "",
                               .user = "",
                               .timeout_ns = cli->timeout_ns};

    (void)wire_catch(&cli->wire, signals);
    int result = flow_open(&import.flow, &cli->wire, &open, &import.fault);
    if (result == 0)
        result = send_all(&import, path);
    if (result == 0)
        result = wait_for(&import, false);
    return finish(&import, result, name);
}

int verb_template(struct cli *cli)
{
    if (cli->argument_count == 0 || strcmp(cli->arguments[0], "import") != 0)
        return cli_usage(cli, cli->argument_count == 0
                                  ? "`template import NAME PATH` makes one"
                                  : "unsupported: this version has `template import` alone");
    if (cli->argument_count != 3)
        return cli_usage(cli, "a name and a path are needed: template import NAME PATH");
    if (!name_check(cli->arguments[1]))
        return cli_usage(cli, "a name has a-z, 0-9 and - (not first, not last), at most 63");
    int code = cli_connect(cli);
    return code != 0 ? code : run(cli, cli->arguments[1], cli->arguments[2]);
}
