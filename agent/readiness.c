/* SPDX-License-Identifier: Apache-2.0 */
#include "readiness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "console_tail.h"
#include "ensure.h"
#include "keeper_plan.h"
#include "slots.h"

#define RETRY_MS 250 /* of a probe that could not be run, or was ended */
#define MODEL_MS 2   /* until the model has heard of its init */
#define CHUNK_BYTES 4096

struct readiness {
    struct agent *agent;
    uint32_t ct;
    uint64_t generation;
    unsigned handles;
    uv_timer_t retry;
    uv_poll_t output; /* CONSOLE: the ring's eventfd, a duplicate */
    int output_fd;
    uint64_t position; /* CONSOLE: in the ring */
    uint8_t window[READY_TEXT_BYTES_MAX + CHUNK_BYTES];
    size_t kept; /* octets of the window that may be a text's beginning */
};

bool readiness_is_watched(const struct agent *agent, uint32_t index)
{
    return slot_ready(&agent->slots[index]) > READY_NOTIFY;
}

static void post_ready(struct readiness *readiness)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = {.kind = IN_READY}};
    struct agent *agent = readiness->agent;
    struct slot *slot = &agent->slots[readiness->ct];

    slot->times.done_ns[BOOT_ready] = clock_monotonic_ns();
    slot->seen.is_ready = true;
    input.observation.ct = readiness->ct;
    input.observation.generation = readiness->generation;
    inbox_post(&agent->inbox, &input);
    agent_wake(agent);
    readiness_stop(agent, readiness->ct);
}

static void handle_closed(struct readiness *readiness)
{
    if (--readiness->handles > 0)
        return;
    if (readiness->output_fd >= 0)
        (void)close(readiness->output_fd);
    free(readiness);
}

static void on_retry_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_timer_t *)(void *)handle, struct readiness, retry));
}

static void on_output_closed(uv_handle_t *handle)
{
    handle_closed(container_of((uv_poll_t *)(void *)handle, struct readiness, output));
}

void readiness_stop(struct agent *agent, uint32_t index)
{
    struct readiness *readiness = agent->slots[index].readiness;

    if (readiness == NULL)
        return;
    agent->slots[index].readiness = NULL;
    uv_close((uv_handle_t *)&readiness->retry, on_retry_closed);
    if (readiness->output_fd >= 0)
        uv_close((uv_handle_t *)&readiness->output, on_output_closed);
}

/* ---- a text on the console ---- */

void readiness_console_grew(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];
    struct readiness *readiness = slot->readiness;
    const char *text = slot_made(slot)->ready_text;
    size_t length = text == NULL ? 0 : strlen(text);

    if (readiness == NULL || slot_ready(slot) != READY_CONSOLE || slot->ring == NULL)
        return;
    ENSURE(length > 0);
    ENSURE(length <= READY_TEXT_BYTES_MAX);
    for (;;) {
        uint64_t before = readiness->position;
        size_t count = console_tail_read(slot->ring, slot->ring_bytes, &readiness->position,
                                         readiness->window + READY_TEXT_BYTES_MAX, CHUNK_BYTES);
        if (count == 0)
            return;
        if (readiness->position != before + count)
            readiness->kept = 0; /* the ring went round: what is between is lost */
        uint8_t *from = readiness->window + READY_TEXT_BYTES_MAX - readiness->kept;
        size_t room = readiness->kept + count;
        if (memmem(from, room, text, length) != NULL) {
            post_ready(readiness);
            return;
        }
        readiness->kept = room < length - 1 ? room : length - 1;
        memmove(readiness->window + READY_TEXT_BYTES_MAX - readiness->kept,
                from + room - readiness->kept, readiness->kept);
    }
}

static void on_output(uv_poll_t *handle, int status, int events)
{
    struct readiness *readiness = container_of(handle, struct readiness, output);
    uint64_t ignored;

    (void)status;
    (void)events;
    (void)!read(readiness->output_fd, &ignored, sizeof(ignored)); /* resets it for all: all look */
    streams_console_grew(&readiness->agent->streams, readiness->ct);
}

/* ---- a file, a port ---- */

static void begin_probe(struct readiness *readiness);

static void on_retry(uv_timer_t *timer)
{
    begin_probe(container_of(timer, struct readiness, retry));
}

static void on_probe_ended(struct agent *agent, const struct inside_end *end)
{
    struct readiness *readiness = agent->slots[end->ct].readiness;

    if (readiness == NULL || readiness->generation != end->generation)
        return;
    if (end->exit_code == 0)
        post_ready(readiness);
    else
        (void)uv_timer_start(&readiness->retry, on_retry, RETRY_MS, 0);
}

static void begin_probe(struct readiness *readiness)
{
    struct agent *agent = readiness->agent;
    const struct slot *slot = &agent->slots[readiness->ct];
    if (!node_get(agent->node, readiness->ct)->has_init) { /* the turn is still to come */
        (void)uv_timer_start(&readiness->retry, on_retry, MODEL_MS, 0);
        return;
    }
    const char *const argv[] = {slot_made(slot)->ready_text, NULL};
    const struct inside inside = {.argv = argv,
                                  .probe =
                                      slot_ready(slot) == READY_TCP ? KP_PROBE_TCP : KP_PROBE_FILE,
                                  .on_end = on_probe_ended};

    streams_run_inside(&agent->streams, readiness->ct, &inside);
}

/* ---- */

static bool watch_output(struct readiness *readiness, int output)
{
    readiness->output_fd = output < 0 ? -1 : fcntl(output, F_DUPFD_CLOEXEC, 3);
    if (readiness->output_fd < 0)
        return false;
    if (uv_poll_init(&readiness->agent->loop, &readiness->output, readiness->output_fd) < 0) {
        (void)close(readiness->output_fd);
        readiness->output_fd = -1;
        return false;
    }
    readiness->handles++;
    (void)uv_poll_start(&readiness->output, UV_READABLE, on_output);
    return true;
}

void readiness_start(struct agent *agent, uint32_t index)
{
    const struct ct *ct = node_get(agent->node, index);
    struct slot *slot = &agent->slots[index];

    if (!readiness_is_watched(agent, index) || slot->seen.is_ready || ct->is_ready)
        return;
    readiness_stop(agent, index);
    struct readiness *readiness = calloc(1, sizeof(*readiness));
    ENSURE(readiness != NULL);
    readiness->agent = agent;
    readiness->ct = index;
    readiness->generation = ct->generation;
    readiness->output_fd = -1;
    readiness->handles = 1;
    (void)uv_timer_init(&agent->loop, &readiness->retry);
    slot->readiness = readiness;
    if (slot_ready(slot) != READY_CONSOLE) {
        begin_probe(readiness);
        return;
    }
    (void)watch_output(readiness, slot->output); /* without it: as often as the keeper has news */
    readiness_console_grew(agent, index);
}
