/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn: callbacks leave what came in in `arrivals`; once a loop iteration it is acted on in
 * order, what is due is swept, nodes get their acknowledgements and readers their events.
 */
#include "controller.h"

#include <errno.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "answers.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "notify.h"

/* ---- acting ---- */

void controller_due(struct controller *controller, uint64_t due_ns)
{
    if (due_ns < controller->due_ns)
        controller->due_ns = due_ns;
}

void controller_take(struct controller *controller, uint64_t client, const struct message *message,
                     bool is_asked)
{
    switch ((int)message->kind) {
    case MESSAGE_COMMAND:
        requests_take(controller, client, message, is_asked);
        return;
    case MESSAGE_QUERY:
        queries_take(controller, client, message, is_asked);
        return;
    case MESSAGE_STREAM_OPEN:
    case MESSAGE_STREAM_FRAME:
    case MESSAGE_STREAM_CREDIT:
    case MESSAGE_STREAM_END:
        streams_take_client(controller, client, message, is_asked);
        return;
    }
    answers_drop(controller, client); /* a kind that only agents and controllers say */
}

void controller_take_kept(struct controller *controller, uint64_t client, const struct buffer *kept,
                          bool is_asked)
{
    struct arena arena = {0}; /* of its own: the caller is in the middle of another message */
    struct message message;

    if (codec_decode(kept->data, kept->size_bytes, &arena, &message) == 0)
        controller_take(controller, client, &message, is_asked);
    else
        answers_drop(controller, client);
    arena_close(&arena);
}

static void take_local(struct controller *controller, const struct arrival *arrival)
{
    struct message message;

    arena_reset(&controller->arena);
    if (codec_decode(arrival->octets, arrival->size_bytes, &controller->arena, &message) == 0)
        controller_take(controller, arrival->client, &message, false);
    else
        answers_drop(controller, arrival->client);
}

static void take_arrival(struct controller *controller, const struct arrival *arrival)
{
    switch (arrival->kind) {
    case ARRIVAL_CONTROL:
    case ARRIVAL_BULK:
        sessions_take(controller, arrival);
        return;
    case ARRIVAL_LOCAL:
        take_local(controller, arrival);
        return;
    case ARRIVAL_GONE:
        events_client_gone(&controller->events, arrival->client);
        asks_client_gone(&controller->asks, arrival->client);
        streams_client_gone(controller, arrival->client);
        return;
    case ARRIVAL_DRAINED:
        events_client_drained(&controller->events, arrival->client);
        asks_client_drained(controller, arrival->client);
        streams_client_drained(controller, arrival->client);
        return;
    case ARRIVAL_UNSET:
        return;
    }
}

/* ---- the turn ---- */

static void on_due(uv_timer_t *timer)
{
    (void)timer; /* the turn that follows looks at what is due itself */
}

static void on_again(uv_async_t *handle)
{
    (void)handle; /* its only use is that the loop does not sleep */
}

static void sweep(struct controller *controller)
{
    if (controller->now_ns < controller->due_ns)
        return;
    controller->due_ns = UINT64_MAX;
    controller_due(controller, sessions_sweep(controller));
    controller_due(controller, requests_sweep(controller));
    controller_due(controller, asks_sweep(controller));
    controller_due(controller, streams_sweep(controller));
}

static void arm(struct controller *controller)
{
    uint64_t now_ns = controller->now_ns;
    uint64_t due_ns = controller->due_ns;

    if (due_ns == UINT64_MAX) {
        (void)uv_timer_stop(&controller->timer); /* always 0 */
        return;
    }
    uv_update_time(&controller->loop);
    (void)uv_timer_start(&controller->timer, on_due,
                         due_ns <= now_ns ? 0 : (due_ns - now_ns) / NS_PER_MS + 1, 0);
}

static void begin_end(struct controller *controller);

static void on_turn(uv_prepare_t *handle)
{
    struct controller *controller = container_of(handle, struct controller, turn);
    struct arrival *arrival;

    if (controller->is_ending) {
        begin_end(controller);
        return;
    }
    controller->now_ns = clock_monotonic_ns();
    controller_take_store(controller);
    while ((arrival = arrivals_take(&controller->arrivals)) != NULL) {
        take_arrival(controller, arrival);
        free(arrival);
    }
    if (controller->links[CHANNEL_CONTROL].broken != controller->broken) {
        controller->broken = controller->links[CHANNEL_CONTROL].broken;
        sessions_probe(controller);
    }
    sweep(controller);
    sessions_settle(controller);
    if (events_pump(controller))
        (void)uv_async_send(&controller->again);
    controller_post_store(controller);
    arm(controller);
}

/* ---- callbacks ---- */

static void on_control(struct link *link, const struct link_peer *peer, const uint8_t *data,
                       size_t size_bytes)
{
    struct controller *controller = container_of(link, struct controller, links[CHANNEL_CONTROL]);

    /* No memory: as good as a datagram that was lost. */
    (void)arrivals_post(&controller->arrivals, ARRIVAL_CONTROL, 0, peer,
                        (struct octets){data, size_bytes});
}

static void on_bulk(struct link *link, const struct link_peer *peer, const uint8_t *data,
                    size_t size_bytes)
{
    struct controller *controller = container_of(link, struct controller, links[CHANNEL_BULK]);

    (void)arrivals_post(&controller->arrivals, ARRIVAL_BULK, 0, peer,
                        (struct octets){data, size_bytes}); /* likewise */
}

static void on_link_changed(struct link *link)
{
    (void)link; /* the turn that follows looks at its counters itself */
}

static void on_local_message(struct local_client *client, const struct message *message)
{
    struct controller *controller = container_of(client->server, struct controller, local);

    controller->wire.size_bytes = 0;
    int result = codec_encode(message, &controller->wire);
    if (result == 0)
        result = arrivals_post(&controller->arrivals, ARRIVAL_LOCAL, client->id, NULL,
                               (struct octets){controller->wire.data, controller->wire.size_bytes});
    if (result < 0)
        local_hang_up(client);
}

static void on_local_gone(struct local_client *client)
{
    struct controller *controller = container_of(client->server, struct controller, local);

    /* No memory: whoever sends to it next finds that it is gone. */
    (void)arrivals_post(&controller->arrivals, ARRIVAL_GONE, client->id, NULL, (struct octets){0});
}

static void on_local_drained(struct local_client *client)
{
    struct controller *controller = container_of(client->server, struct controller, local);

    if (arrivals_post(&controller->arrivals, ARRIVAL_DRAINED, client->id, NULL,
                      (struct octets){0}) < 0)
        local_hang_up(client);
}

static void on_signal(uv_poll_t *handle, int status, int events)
{
    struct controller *controller = container_of(handle, struct controller, signals);
    struct signalfd_siginfo info;

    (void)status;
    (void)events;
    if (read(controller->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        controller->is_ending = true;
}

/* ---- start and end ---- */

static void close_unless_closing(uv_handle_t *handle)
{
    if (handle->loop != NULL && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Everything that is libuv's; the loop ends when all of it is closed. */
static void begin_end(struct controller *controller)
{
    notify_stopping();
    controller_close_store(controller);
    local_close(&controller->local);
    for (unsigned kind = 0; kind < CHANNEL_COUNT; kind++)
        link_close(&controller->links[kind], NULL);
    close_unless_closing((uv_handle_t *)&controller->signals);
    close_unless_closing((uv_handle_t *)&controller->timer);
    close_unless_closing((uv_handle_t *)&controller->again);
    close_unless_closing((uv_handle_t *)&controller->turn);
}

static void finish(struct controller *controller)
{
    (void)uv_run(&controller->loop, UV_RUN_DEFAULT);
    int result = uv_loop_close(&controller->loop);
    ENSURE(result == 0);
    streams_close(&controller->streams);
    asks_close(&controller->asks);
    requests_close(&controller->requests);
    registry_close(&controller->registry);
    events_close(&controller->events);
    arrivals_close(&controller->arrivals);
    arena_close(&controller->arena);
    arena_close(&controller->kept);
    buffer_close(&controller->wire);
}

static int open_handles(struct controller *controller)
{
    uv_loop_t *loop = &controller->loop;
    int result = uv_prepare_init(loop, &controller->turn);

    if (result == 0)
        result = uv_async_init(loop, &controller->again, on_again);
    if (result == 0)
        result = uv_timer_init(loop, &controller->timer);
    if (result == 0)
        result = uv_poll_init(loop, &controller->signals, controller->signal_fd);
    if (result == 0)
        result = uv_poll_start(&controller->signals, UV_READABLE, on_signal);
    if (result == 0)
        result = uv_prepare_start(&controller->turn, on_turn);
    return result;
}

static int bind_link(struct controller *controller, enum channel_kind kind, const char *url,
                     struct fault *fault)
{
    int result = link_bind(&controller->links[kind], &controller->loop, url,
                           kind == CHANNEL_CONTROL ? on_control : on_bulk, on_link_changed);

    if (result == -EPERM) {
        fault_set(fault, STATUS_INVALID, 0,
                  "--listen %s: only loopback addresses, as records are not encrypted yet", url);
        fault_hint(fault, "tcp://127.0.0.1:PORT; a tunnel takes agents of other machines there");
    } else if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "cannot listen on %s", url);
    }
    return result;
}

static int open_doors(struct controller *controller, const struct options *options,
                      struct fault *fault)
{
    char path[PATH_MAX + 20];
    char bulk[LISTEN_BYTES + 8];
    int result = link_url_bulk(options->listen, bulk, sizeof(bulk));

    if (result < 0) {
        fault_set(fault, STATUS_INVALID, 0, "--listen %s: streams need the port above it, too",
                  options->listen);
        return result;
    }
    result = bind_link(controller, CHANNEL_CONTROL, options->listen, fault);
    if (result == 0)
        result = bind_link(controller, CHANNEL_BULK, bulk, fault);
    if (result < 0)
        return result;
    (void)snprintf(path, sizeof(path), "%s/controller.sock", options->run_dir);
    controller->local.on_message = on_local_message;
    controller->local.on_gone = on_local_gone;
    controller->local.on_drained = on_local_drained;
    return local_listen(&controller->local, &controller->loop, path, fault);
}

int controller_open(struct controller *controller, const struct options *options, int signal_fd,
                    struct fault *fault)
{
    controller->signal_fd = signal_fd;
    controller->due_ns = UINT64_MAX;
    controller->now_ns = clock_monotonic_ns();
    for (unsigned kind = 0; kind < CHANNEL_COUNT; kind++)
        controller->links[kind].socket = -1;
    int result = uv_loop_init(&controller->loop);
    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "no event loop");
        return result;
    }

    result = open_handles(controller);
    if (result < 0)
        fault_set(fault, STATUS_FAILED, -result, "cannot start");
    else
        result = controller_open_store(controller, options, fault);
    if (result == 0)
        result = open_doors(controller, options, fault);
    if (result < 0) {
        begin_end(controller);
        finish(controller);
    }
    return result;
}

int controller_run(struct controller *controller, struct fault *fault)
{
    notify_ready();
    finish(controller); /* on_turn() closes everything once a signal came */
    if (controller->fault.status == STATUS_UNSET)
        return 0;
    *fault = controller->fault;
    return -EIO;
}
