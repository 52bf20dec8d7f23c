/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template streamed in: frames go into a pipe, libarchive unpacks from its other end on a thread
 * of libuv's pool. What is half made when the client goes is removed by the importer.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ensure.h"
#include "template.h"

struct import {
    uv_work_t work;
    struct stream *stream;
    char name[NAME_BYTES];
    int templates;
    int from;
    struct fault fault;
    int result;
};

static void on_unpack(uv_work_t *work)
{
    struct import *import = container_of(work, struct import, work);

    import->result = template_import(import->templates, import->name, import->from,
                                     &import->stream->is_input_cut, &import->fault);
}

static void on_unpacked(uv_work_t *work, int status)
{
    struct import *import = container_of(work, struct import, work);
    struct stream *stream = import->stream;

    (void)status; /* never cancelled */
    (void)close(import->from);
    stream->streams->imports--;
    stream->is_working = false;
    if (import->result < 0 && import->fault.status == STATUS_UNSET)
        fault_set(&import->fault, STATUS_FAILED, -import->result, "template %s cannot be unpacked",
                  import->name);
    if (stream->is_closed)
        stream_free_if_done(stream);
    else
        stream_end(stream, &import->fault,
                   status_exit_code(import->result < 0 ? import->fault.status : STATUS_DONE));
    free(import);
}

void stream_import_start(struct stream *stream)
{
    struct agent *agent = stream_agent(stream);
    int fds[2];

    if (!name_check(stream->container)) {
        stream_fail(stream, STATUS_INVALID, 0, "not a name for a template");
        return;
    }
    if (stream->streams->imports == IMPORTS_MAX) {
        stream_fail(stream, STATUS_BUSY, 0, "other templates are being imported; try again");
        return;
    }
    if (pipe2(fds, O_CLOEXEC) < 0) {
        stream_fail(stream, STATUS_FAILED, errno, "no pipe");
        return;
    }
    (void)fcntl(fds[1], F_SETFL, O_NONBLOCK);
    struct import *import = calloc(1, sizeof(*import));
    ENSURE(import != NULL);
    import->stream = stream;
    memcpy(import->name, stream->container, NAME_BYTES);
    import->templates = agent->rootfs.templates;
    import->from = fds[0];
    int result = stream_add_inlet(stream, fds[1]);
    if (result < 0) {
        (void)close(fds[0]);
        free(import);
        stream_fail(stream, STATUS_FAILED, -result, "the pipe cannot be watched");
        return;
    }
    stream->is_working = true;
    stream->streams->imports++;
    (void)uv_queue_work(&agent->loop, &import->work, on_unpack, on_unpacked);
}
