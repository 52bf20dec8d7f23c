/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start and end of the agent, and its doors: signals, the local socket, the controller. What it
 * does in between is turn.c.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "daemon.h"
#include "ensure.h"
#include "lock.h"
#include "notify.h"
#include "strays.h"
#include "subid.h"
#include "template.h"

#define CLOSE_ROUNDS 4
#define REST_MS 1000 /* for what a worker has begun with cgroups; then they end with the process */

void agent_wake(struct agent *agent)
{
    (void)uv_async_send(&agent->again);
}

void agent_die(const struct fault *fault)
{
    (void)fprintf(stderr, "drover-agent: %s%s%s; containers go on without me\n", fault->text,
                  fault->error != 0 ? ": " : "", fault->error != 0 ? strerror(fault->error) : "");
    _exit(1);
}

const struct ct *agent_find(struct agent *agent, const char *container, struct fault *fault)
{
    const struct ct *ct = node_find(agent->node, container);

    if (ct != NULL && ct->is_announced)
        return ct;
    if (strays_find(agent, container) != NULL) {
        fault_set(fault, STATUS_WRONG_STATE, 0,
                  "%s is a guest that lives and that node.db does not know", container);
        fault_hint(fault, "kill it, or restore a node.db that knows it");
        return NULL;
    }
    fault_set(fault, STATUS_NOT_FOUND, 0, "no container %s", container);
    return NULL;
}

static void on_store_failed(struct store *store, const struct fault *fault)
{
    (void)store;
    agent_die(fault);
}

static void on_again(uv_async_t *handle)
{
    (void)handle; /* its only use is that the loop does not sleep */
}

static void on_turn(uv_prepare_t *handle)
{
    turn_run(container_of(handle, struct agent, turn));
}

/* ---- local clients ---- */

static void on_local_message(struct local_client *client, const struct message *message)
{
    struct agent *agent = container_of(client->server, struct agent, local);

    switch ((int)message->kind) {
    case MESSAGE_COMMAND:
        requests_take_command(agent, client->id, &message->command);
        return;
    case MESSAGE_QUERY:
        requests_take_query(agent, client->id, &message->query);
        return;
    case MESSAGE_STREAM_OPEN:
    case MESSAGE_STREAM_FRAME:
    case MESSAGE_STREAM_CREDIT:
    case MESSAGE_STREAM_END:
        streams_take(&agent->streams, client->id, message);
        return;
    }
    local_hang_up(client); /* a kind that only a controller says */
}

static void on_local_gone(struct local_client *client)
{
    struct agent *agent = container_of(client->server, struct agent, local);

    publisher_remove_origin(&agent->publisher, client->id);
    listings_drop(&agent->listings, client->id);
    streams_origin_gone(&agent->streams, client->id);
}

static void on_local_drained(struct local_client *client)
{
    struct agent *agent = container_of(client->server, struct agent, local);

    publisher_pump_origin(&agent->publisher, client->id);
    listings_pump(&agent->listings, client->id);
    streams_origin_drained(&agent->streams, client->id);
}

/* ---- start and end ---- */

static void on_signal(uv_poll_t *handle, int status, int events)
{
    struct agent *agent = container_of(handle, struct agent, signals);
    struct signalfd_siginfo info;

    (void)status;
    (void)events;
    if (read(agent->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        uv_stop(&agent->loop);
}

static int open_signals(struct agent *agent, struct fault *fault)
{
    (void)signal(SIGPIPE, SIG_IGN);
    agent->signal_fd = daemon_open_signals(fault);
    if (agent->signal_fd < 0)
        return agent->signal_fd;
    int result = uv_poll_init(&agent->loop, &agent->signals, agent->signal_fd);
    return result < 0 ? result : uv_poll_start(&agent->signals, UV_READABLE, on_signal);
}

static bool on_container_found(const uint8_t uuid[UUID_BYTES], void *context)
{
    *(uint32_t *)context += 1;
    (void)uuid;
    return true;
}

/* A new node.db beside containers would know none of them, nor what was told of them. */
static int check_not_lost(const struct agent *agent, struct fault *fault)
{
    uint32_t count = 0;

    if (faccessat(agent->rootfs.state, "node.db", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
        errno != ENOENT)
        return 0; /* what is wrong with it is said by the store */
    int result = rootfs_find_all(&agent->rootfs, on_container_found, &count);
    if (result < 0 || count == 0)
        return result;
    fault_set(fault, STATUS_FAILED, 0, "%s/node.db is missing; containers that are beside it: %u",
              agent->options->state_dir, (uint64_t)count);
    fault_hint(fault, "put a copy of node.db back; to begin without them, move containers/ away");
    return -ENOENT;
}

static int open_state(struct agent *agent, struct fault *fault)
{
    const struct options *options = agent->options;
    int result = lock_directory(options->run_dir, "agent.lock", 0755, &agent->run_lock, fault);

    if (result == 0)
        result = rootfs_open(&agent->rootfs, options->state_dir, fault);
    if (result == 0)
        result = lock_directory(options->state_dir, "agent.lock", 0700, &agent->state_lock, fault);
    if (result == 0)
        result = check_not_lost(agent, fault);
    if (result == 0)
        result = template_sweep(agent->rootfs.templates);
    if (result == 0)
        result = store_open(options->state_dir, &agent->loop, turn_on_committed, on_store_failed,
                            &agent->store, fault);
    boundary(store_opened);
    if (result == 0)
        result =
            cgroups_open(&agent->cgroups, options->cgroup, store_ledger_id(agent->store), fault);
    return result;
}

static int open_loop(struct agent *agent, struct fault *fault)
{
    int result = uv_loop_init(&agent->loop);

    if (result == 0)
        result = uv_prepare_init(&agent->loop, &agent->turn);
    if (result == 0)
        result = uv_async_init(&agent->loop, &agent->again, on_again);
    if (result == 0)
        result = uv_timer_init(&agent->loop, &agent->timer);
    if (result == 0)
        result = uv_timer_init(&agent->loop, &agent->watchdog);
    if (result == 0)
        result = group_bound_open(&agent->group_bound, &agent->loop);
    if (result == 0)
        result = open_signals(agent, fault);
    return result;
}

static int open_memory(struct agent *agent)
{
    uint64_t seed;

    /* Pages that no container needs are never touched: calloc(3) maps blocks of this size. */
    agent->node = calloc(1, sizeof(*agent->node));
    agent->slots = calloc(CT_MAX, sizeof(*agent->slots));
    if (agent->node == NULL || agent->slots == NULL)
        return -ENOMEM;
    randombytes_buf(&seed, sizeof(seed));
    node_init(agent->node, seed);
    agent->started_wall_ns = clock_wall_ns();
    int result = results_open(&agent->results);
    if (result == 0)
        result = turn_open(agent);
    randombytes_buf(&agent->core.epoch, sizeof(agent->core.epoch));
    agent->core.epoch = (agent->core.epoch & INT64_MAX) | 1;
    agent->core.is_acked_by_self = agent->options->controller_count == 0;
    return result;
}

static int open_ledger(struct agent *agent, struct fault *fault)
{
    struct store_heads heads;
    int result = store_read_heads(agent->store, &heads);

    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "the ledger's heads cannot be read");
        return result;
    }
    agent->core.seq = heads.last_seq;
    upstream_events_init(&agent->upstream, &heads);
    return publisher_open(&agent->publisher, agent, agent->store, &agent->executor, heads.last_seq);
}

static int open_doors(struct agent *agent, struct fault *fault)
{
    char path[PATH_MAX + 16];
    const char *url = agent->options->controller_count > 0 ? agent->options->controllers[0] : "";

    if (agent->options->controller_count > 1)
        (void)fprintf(stderr,
                      "drover-agent: this version reports to the first controller alone: "
                      "%s\n",
                      url);
    (void)snprintf(path, sizeof(path), "%s/agent.sock", agent->options->run_dir);
    agent->local.on_message = on_local_message;
    agent->local.on_gone = on_local_gone;
    agent->local.on_drained = on_local_drained;
    int result = local_listen(&agent->local, &agent->loop, path, fault);
    if (result == 0)
        result = upstream_open(&agent->upstream, agent, url, fault);
    return result;
}

static int open_sysfilters(struct agent *agent, struct fault *fault)
{
    int result = sysfilters_open(&agent->sysfilters);

    if (result < 0)
        fault_set(fault, STATUS_UNSUPPORTED, -result,
                  "no filter of system calls can be made for this machine's architecture");
    return result;
}

/* A sandbox may withhold it. */
static void open_devices(struct agent *agent)
{
    int result = devices_open(&agent->devices);

    if (result < 0)
        (void)fprintf(stderr,
                      "drover-agent: no programs of devices can be loaded (bpf: %s); "
                      "privileged guests can open every device\n",
                      strerrordesc_np(-result));
}

int agent_open(struct agent *agent, const struct options *options, struct fault *fault)
{
    agent->options = options;
    agent->listings.agent = agent;
    agent->run_lock = agent->state_lock = agent->signal_fd = -1;
    agent->keeper.socket = -1;
    agent->keeper.on_record = keeper_records_on_record;
    agent->keeper.on_lost = keeper_records_on_lost;
    int result = subid_check(options->uid_base, options->uid_count, fault);

    if (result == 0)
        result = open_sysfilters(agent, fault);
    open_devices(agent);
    if (result == 0)
        result = open_loop(agent, fault);
    if (result == 0)
        result = open_memory(agent);
    if (result == 0)
        result = open_state(agent, fault);
    if (result == 0)
        result = keeper_client_open(&agent->keeper, options->run_dir, options->keeper,
                                    &agent->cgroups, fault);
    if (result == 0)
        result = executor_open(&agent->executor, &agent->loop);
    if (result == 0)
        result = open_ledger(agent, fault);
    streams_open(&agent->streams, agent);
    if (result == 0)
        result = adopt_all(agent, fault);
    if (result == 0)
        result = keeper_client_watch(&agent->keeper, &agent->loop);
    if (result == 0)
        result = open_doors(agent, fault);
    if (result == 0)
        result = uv_prepare_start(&agent->turn, on_turn);
    if (result < 0 && fault->status == STATUS_UNSET)
        fault_set(fault, STATUS_FAILED, -result, "cannot start");
    return result;
}

/* From the loop's thread: a loop that hangs is what the service manager is to notice. */
static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    notify_alive();
}

void agent_run(struct agent *agent)
{
    uint64_t watchdog_ms = notify_watchdog_ns() / NS_PER_MS;

    if (watchdog_ms > 0)
        (void)uv_timer_start(&agent->watchdog, on_watchdog, watchdog_ms, watchdog_ms);
    group_bound_start(&agent->group_bound); /* guests of an earlier agent may have such groups */
    notify_ready();
    (void)uv_run(&agent->loop, UV_RUN_DEFAULT);
}

/* What was observed and accepted is committed; effects under way are the next agent's to finish. */
void agent_close(struct agent *agent)
{
    notify_stopping();
    agent->is_ending = true;
    upstream_leave(&agent->upstream);
    local_close(&agent->local);
    turn_run(agent);
    (void)uv_prepare_stop(&agent->turn); /* a turn after this one would post to a closed store */
    publisher_stop(&agent->publisher);
    store_close(agent->store);
    upstream_close(&agent->upstream);
    for (int i = 0; i < CLOSE_ROUNDS; i++)
        (void)uv_run(&agent->loop, UV_RUN_NOWAIT); /* libuv lets go of what was closed */
    keeper_client_close(&agent->keeper);
    bool is_quiet = executor_stop(&agent->executor, WORKER_CGROUP, REST_MS);
    is_quiet = executor_stop(&agent->executor, WORKER_CLEAN, REST_MS) && is_quiet;
    if (is_quiet) {
        cgroups_close(&agent->cgroups);
        devices_close(&agent->devices);
    }
    /* What the other workers use, which may go on until then, is closed by the process's end. */
}
