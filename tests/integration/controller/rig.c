/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a real controller on ports of its own, and asking it to end. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "rig_parts.h"

#define OPTIONS_MAX 24
#define TICK_MS 100

static struct {
    uv_loop_t loop;
    uv_timer_t guard;
    uv_timer_t tick;
    pid_t pid;
    char dir[64];
    char url[64];
    const char *const *options;
    struct node *nodes[RIG_NODES_MAX];
    struct client *clients[RIG_CLIENTS_MAX];
} rig;

/* ---- the loop ---- */

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("something that was waited for did not come");
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
    for (size_t i = 0; i < RIG_NODES_MAX; i++)
        if (rig.nodes[i] != NULL)
            node_tick(rig.nodes[i]);
}

void rig_turn(void)
{
    (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

uv_loop_t *rig_loop(void)
{
    return &rig.loop;
}

void rig_keep_node(struct node *node)
{
    for (size_t i = 0; i < RIG_NODES_MAX; i++) {
        if (rig.nodes[i] == node)
            return;
        if (rig.nodes[i] == NULL) {
            rig.nodes[i] = node;
            return;
        }
    }
    fail_msg("more than RIG_NODES_MAX nodes");
}

void rig_drop_node(const struct node *node)
{
    for (size_t i = 0; i < RIG_NODES_MAX; i++)
        if (rig.nodes[i] == node)
            rig.nodes[i] = NULL;
}

void rig_keep_client(struct client *client)
{
    for (size_t i = 0; i < RIG_CLIENTS_MAX; i++) {
        if (rig.clients[i] != NULL)
            continue;
        rig.clients[i] = client;
        return;
    }
    fail_msg("more than RIG_CLIENTS_MAX clients");
}

void rig_drop_client(const struct client *client)
{
    for (size_t i = 0; i < RIG_CLIENTS_MAX; i++)
        if (rig.clients[i] == client)
            rig.clients[i] = NULL;
}

/* ---- the controller ---- */

static bool is_port_free(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

/* Two neighbours below the range that connections take theirs from. */
static void choose_url(void)
{
    for (unsigned n = 0; n < 1000; n++) {
        unsigned port = 10000 + (unsigned)(clock_monotonic_ns() / 1000 % 10000) * 2;

        if (!is_port_free(port) || !is_port_free(port + 1))
            continue;
        (void)snprintf(rig.url, sizeof(rig.url), "tcp://127.0.0.1:%u", port);
        return;
    }
    fail_msg("no two free ports");
}

static int open_notify(struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(address->sun_path, sizeof(address->sun_path), "%s/notify", rig.dir);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

static void run_controller(const char *notify, const char *const *options)
{
    char state[96];
    char run[96];
    const char *argv[OPTIONS_MAX] = {RIG_CONTROLLER, "--state-dir", state,      "--run-dir", run,
                                     "--listen",     rig.url,       "--config", "/dev/null"};
    size_t count = 9;

    (void)snprintf(state, sizeof(state), "%s/state", rig.dir);
    (void)snprintf(run, sizeof(run), "%s/run", rig.dir);
    for (; options != NULL && *options != NULL && count + 1 < OPTIONS_MAX; options++)
        argv[count++] = *options;
    (void)setenv("NOTIFY_SOCKET", notify, 1);
    (void)execv(RIG_CONTROLLER, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Returns when it is ready. */
static void start_controller(void)
{
    struct sockaddr_un address;
    char text[32] = "";
    AUTO_FD notify = open_notify(&address);

    rig.pid = fork();
    assert_true(rig.pid >= 0);
    if (rig.pid == 0)
        run_controller(address.sun_path, rig.options);
    struct timeval limit = {.tv_sec = RIG_GUARD_MS / 1000};
    (void)setsockopt(notify, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_true(recv(notify, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "READY=1");
    assert_int_equal(unlink(address.sun_path), 0);
}

void rig_kill(void)
{
    assert_int_equal(kill(rig.pid, SIGKILL), 0);
    assert_int_equal(waitpid(rig.pid, NULL, 0), rig.pid);
}

int rig_await_end(void)
{
    int status = 0;

    assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void rig_restart(void)
{
    start_controller();
}

void rig_start(const char *const *options)
{
    memset(&rig, 0, sizeof(rig));
    rig.options = options;
    (void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/drover-controller.XXXXXX");
    assert_non_null(mkdtemp(rig.dir));
    choose_url();
    start_controller();

    assert_int_equal(uv_loop_init(&rig.loop), 0);
    (void)uv_timer_init(&rig.loop, &rig.guard);
    (void)uv_timer_init(&rig.loop, &rig.tick);
    (void)uv_timer_start(&rig.guard, on_guard, RIG_GUARD_MS, 0);
    (void)uv_timer_start(&rig.tick, on_tick, TICK_MS, TICK_MS);
}

static void remove_dir(void)
{
    static const char *const files[] = {"state/controller.lock",
                                        "state/controller.db",
                                        "state/controller.db-wal",
                                        "state/controller.db-shm",
                                        "run/controller.lock",
                                        "run/controller.sock",
                                        "notify",
                                        NULL};
    static const char *const dirs[] = {"state", "run", "."};
    AUTO_FD dir = open(rig.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (const char *const *file = files; *file != NULL; file++)
        (void)unlinkat(dir, *file, 0);
    assert_int_equal(unlinkat(dir, dirs[0], AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(dir, dirs[1], AT_REMOVEDIR), 0);
    assert_int_equal(rmdir(rig.dir), 0);
}

int rig_stop(void **state)
{
    char socket_path[96];
    int status = 0;

    (void)state;
    rig_socket_path(socket_path, sizeof(socket_path));
    assert_int_equal(kill(rig.pid, SIGTERM), 0);
    assert_int_equal(waitpid(rig.pid, &status, 0), rig.pid);
    for (size_t i = 0; i < RIG_CLIENTS_MAX; i++)
        if (rig.clients[i] != NULL)
            client_close(rig.clients[i]);
    for (size_t i = 0; i < RIG_NODES_MAX; i++)
        if (rig.nodes[i] != NULL)
            node_close(rig.nodes[i]);
    uv_close((uv_handle_t *)&rig.guard, NULL);
    uv_close((uv_handle_t *)&rig.tick, NULL);
    (void)uv_run(&rig.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.loop), 0);
    assert_int_equal(access(socket_path, F_OK), -1);
    remove_dir();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    return 0;
}

const char *rig_dir(void)
{
    return rig.dir;
}

pid_t rig_pid(void)
{
    return rig.pid;
}

const char *rig_url(void)
{
    return rig.url;
}

void rig_socket_path(char *path, size_t path_bytes)
{
    (void)snprintf(path, path_bytes, "%s/run/controller.sock", rig.dir);
}

/* ---- what both ends keep ---- */

void inbox_put(struct inbox *inbox, const struct message *message)
{
    assert_int_equal(codec_encode_framed(message, &inbox->messages), 0);
}

bool inbox_is_empty(const struct inbox *inbox)
{
    const struct buffer rest = {.data = inbox->messages.data + inbox->taken_bytes,
                                .size_bytes = inbox->messages.size_bytes - inbox->taken_bytes};

    return codec_frame_find(&rest) == 0;
}

void inbox_take(struct inbox *inbox, struct message *ret_message)
{
    buffer_consume(&inbox->messages, inbox->taken_bytes);
    int64_t size_bytes = codec_frame_find(&inbox->messages);
    assert_true(size_bytes > 0);
    inbox->taken_bytes = 4 + (size_t)size_bytes;
    arena_reset(&inbox->arena);
    assert_int_equal(
        codec_decode(inbox->messages.data + 4, (size_t)size_bytes, &inbox->arena, ret_message), 0);
}

void inbox_close(struct inbox *inbox)
{
    buffer_close(&inbox->messages);
    arena_close(&inbox->arena);
    inbox->taken_bytes = 0;
}

struct container_view rig_view(const char *name, uint8_t id, enum ct_state state)
{
    struct container_view view = {.name = name, .node = "", .state = state, .uuid = {id, 1, 2, 3}};

    view.generation = state == CT_STOPPED ? 0 : 1;
    view.pid = state == CT_STOPPED ? 0 : 4000 + id;
    return view;
}

struct event rig_event(uint64_t epoch, uint64_t seq, const char *name, uint8_t id)
{
    struct event event = {.epoch = epoch,
                          .seq = seq,
                          .time_wall_ns = clock_wall_ns(),
                          .uuid = {id, 1, 2, 3},
                          .generation = 1,
                          .type = EVENT_CHANGED,
                          .from = CT_BOOTING,
                          .to = CT_RUNNING};

    (void)snprintf(event.name, sizeof(event.name), "%s", name);
    return event;
}
