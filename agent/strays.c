/* SPDX-License-Identifier: Apache-2.0 */
#include "strays.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "inits.h"

#define KILL_MS 10000 /* then the kill has failed, and may be given again */

struct stray {
    struct stray *next;
    struct agent *agent;
    char name[NAME_BYTES]; /* that nothing else on this node has */
    uint8_t uuid[UUID_BYTES];
    uint64_t generation;
    pid_t pid;
    char leaf[CGROUP_LEAF_BYTES];
    struct cgroup cgroup;
    uv_poll_t events; /* of a duplicate of cgroup.events */
    int events_fd;
    uv_timer_t timer; /* of a kill */
    unsigned closing;
    struct work work; /* kill, then removal: one at a time */
    bool is_working;
    bool is_empty; /* nothing lives in it: it goes */
    bool has_command;
    struct ct_command command;
};

/* ---- what is told ---- */

static struct event *tell(struct stray *stray, enum event_type type, const char *words)
{
    struct event *event = turn_core_event(&stray->agent->core);

    *event = (struct event){
        .time_wall_ns = clock_wall_ns(), .generation = stray->generation, .type = type};
    memcpy(event->uuid, stray->uuid, UUID_BYTES);
    memcpy(event->name, stray->name, NAME_BYTES);
    (void)snprintf(event->detail, sizeof(event->detail), "%s %s", stray->leaf, words);
    return event;
}

static void add_receipt(struct stray *stray, enum phase phase, const struct fault *fault)
{
    struct out *out = &stray->agent->core.out;
    struct ct_receipt *receipt;

    ENSURE(node_has_room(out));
    receipt = &out->receipts[out->receipt_count++];
    *receipt = (struct ct_receipt){.origin = stray->command.origin,
                                   .hash = stray->command.hash,
                                   .verb = stray->command.verb,
                                   .phase = phase};
    memcpy(receipt->request, stray->command.request, REQUEST_ID_BYTES);
    if (fault != NULL)
        receipt->fault = *fault;
}

/* What was added leaves with the next turn; at once only where a hundred of them leave no room. */
static void send_word(struct agent *agent)
{
    struct now now = {clock_monotonic_ns(), clock_wall_ns()};

    if (node_has_room(&agent->core.out))
        agent_wake(agent);
    else
        turn_finish(agent, &now);
}

static void finish_command(struct stray *stray, enum phase phase, const struct fault *fault)
{
    if (!stray->has_command)
        return;
    struct event *event = tell(stray, EVENT_RESULT, fault == NULL ? "is gone" : fault->text);
    event->result = fault == NULL ? STATUS_DONE : fault->status;
    memcpy(event->request, stray->command.request, REQUEST_ID_BYTES);
    add_receipt(stray, phase, fault);
    stray->has_command = false;
    send_word(stray->agent);
}

/* ---- its end ---- */

static void free_if_done(struct stray *stray)
{
    struct agent *agent = stray->agent;

    if (!stray->is_empty || stray->is_working || stray->closing > 0)
        return;
    for (struct stray **at = &agent->strays; *at != NULL; at = &(*at)->next) {
        if (*at != stray)
            continue;
        *at = stray->next;
        break;
    }
    (void)fprintf(stderr, "drover-agent: %s, which node.db did not know, is gone\n", stray->leaf);
    if (stray->has_command) {
        finish_command(stray, PHASE_DONE, NULL);
    } else {
        (void)tell(stray, EVENT_AUDIT, "is gone");
        send_word(agent);
    }
    upstream_list_again(&agent->upstream);
    free(stray);
}

static void on_events_closed(uv_handle_t *handle)
{
    struct stray *stray = container_of((uv_poll_t *)(void *)handle, struct stray, events);

    (void)close(stray->events_fd);
    stray->closing--;
    free_if_done(stray);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct stray *stray = container_of((uv_timer_t *)(void *)handle, struct stray, timer);

    stray->closing--;
    free_if_done(stray);
}

static bool run_remove(struct work *work)
{
    struct stray *stray = container_of(work, struct stray, work);
    struct fault ignored = {0};

    cgroup_close(&stray->cgroup);
    (void)cgroup_remove(&stray->agent->cgroups, stray->leaf, &ignored); /* else the next start */
    return true;
}

static void on_removed(struct work *work)
{
    struct stray *stray = container_of(work, struct stray, work);

    stray->is_working = false;
    free_if_done(stray);
}

static bool is_populated(const struct stray *stray)
{
    bool populated = false;
    bool frozen = false;

    return cgroup_read_events(&stray->cgroup, &populated, &frozen) == 0 && populated;
}

static void look(struct stray *stray)
{
    if (stray->is_empty || stray->is_working)
        return; /* what works looks again */
    if (is_populated(stray))
        return;
    stray->is_empty = true;
    stray->closing = 2;
    (void)uv_poll_stop(&stray->events);
    uv_close((uv_handle_t *)&stray->events, on_events_closed);
    uv_close((uv_handle_t *)&stray->timer, on_timer_closed);
    stray->is_working = true;
    stray->work = (struct work){.run = run_remove, .on_done = on_removed};
    executor_post(&stray->agent->executor, WORKER_CLEAN, &stray->work);
}

static void on_events(uv_poll_t *handle, int status, int events)
{
    (void)status; /* the level counts, the wake-up is only a hint */
    (void)events;
    look(container_of(handle, struct stray, events));
}

/* ---- a kill ---- */

static bool run_kill(struct work *work)
{
    (void)cgroup_kill(&container_of(work, struct stray, work)->cgroup);
    return true;
}

static void on_killed(struct work *work)
{
    struct stray *stray = container_of(work, struct stray, work);

    stray->is_working = false;
    look(stray); /* it may have emptied already */
}

static void on_late(uv_timer_t *timer)
{
    struct stray *stray = container_of(timer, struct stray, timer);
    struct fault fault = {0};

    look(stray);
    if (stray->is_empty)
        return;
    fault_set(&fault, STATUS_TIMEOUT, 0, "%s: its processes do not end", stray->name);
    finish_command(stray, PHASE_FAILED, &fault);
}

void strays_on_receipt(struct agent *agent, const struct ct_receipt *receipt)
{
    if (receipt->phase != PHASE_ACCEPTED || receipt->has_ct)
        return;
    for (struct stray *stray = agent->strays; stray != NULL; stray = stray->next) {
        if (!stray->has_command || strcmp(stray->command.request, receipt->request) != 0)
            continue;
        if (stray->is_empty)
            return; /* it ended by itself meanwhile, and its group is being removed */
        (void)uv_timer_start(&stray->timer, on_late, KILL_MS, 0);
        stray->is_working = true;
        stray->work = (struct work){.run = run_kill, .on_done = on_killed};
        executor_post(&agent->executor, WORKER_CLEAN, &stray->work);
        return;
    }
}

static void refuse(struct agent *agent, const struct stray *stray, const struct ct_command *command)
{
    struct ct_receipt receipt = {.origin = command->origin,
                                 .hash = command->hash,
                                 .verb = command->verb,
                                 .phase = PHASE_FAILED};

    memcpy(receipt.request, command->request, REQUEST_ID_BYTES);
    if (command->verb == VERB_KILL)
        fault_set(&receipt.fault, STATUS_BUSY, 0, "%s is being killed", stray->name);
    else
        fault_set(&receipt.fault, command->verb == VERB_CREATE ? STATUS_EXISTS : STATUS_WRONG_STATE,
                  0, "%s is a guest that lives and that node.db does not know", stray->name);
    fault_hint(&receipt.fault, "kill it, or restore a node.db that knows it");
    requests_answer_receipt(agent, &receipt);
}

void strays_command(struct agent *agent, struct stray *stray, const struct ct_command *command)
{
    /* The work of a kill that was given up on may still wait for its worker. */
    bool is_being_killed = stray->has_command || (stray->is_working && !stray->is_empty);

    if (command->verb != VERB_KILL || is_being_killed) {
        refuse(agent, stray, command);
        return;
    }
    stray->has_command = true;
    stray->command = *command;
    add_receipt(stray, PHASE_ACCEPTED, NULL);
    send_word(agent);
}

/* ---- finding and showing ---- */

struct stray *strays_find(struct agent *agent, const char *name_or_uuid)
{
    char uuid[UUID_TEXT_BYTES];

    if (agent->strays == NULL || node_find(agent->node, name_or_uuid) != NULL)
        return NULL;
    for (struct stray *stray = agent->strays; stray != NULL; stray = stray->next)
        if (strcmp(stray->name, name_or_uuid) == 0 ||
            strcmp(uuid_format(stray->uuid, uuid), name_or_uuid) == 0)
            return stray;
    return NULL;
}

const struct stray *strays_next(const struct agent *agent, const struct stray *stray)
{
    return stray == NULL ? agent->strays : stray->next;
}

void strays_view(const struct agent *agent, const struct stray *stray,
                 struct container_view *ret_view)
{
    static const struct pair labels[] = {{STRAY_LABEL, "true"}};

    *ret_view = (struct container_view){.name = stray->name,
                                        .node = agent->options->node,
                                        .state = stray->is_empty ? CT_CLEANING : CT_RUNNING,
                                        .generation = stray->generation,
                                        .pid = stray->pid,
                                        .labels = labels,
                                        .label_count = COUNT_OF(labels)};
    memcpy(ret_view->uuid, stray->uuid, UUID_BYTES);
}

/* ---- one is found ---- */

/* It says that it is another, which it is not. */
static bool is_taken(const struct stray *stray)
{
    char uuid[UUID_TEXT_BYTES];

    (void)uuid_format(stray->uuid, uuid);
    return node_find(stray->agent->node, uuid) != NULL || strays_find(stray->agent, uuid) != NULL;
}

/* The one that it was told at its boot; else one made of its group's name: the same at each start,
 * and no other's, as such names do not come again on a ledger. */
static void make_uuid(struct stray *stray)
{
    char text[CGROUP_LEAF_BYTES + 80];

    if (stray->pid != 0 && inits_read_uuid(stray->pid, stray->uuid) && !is_taken(stray))
        return;
    (void)snprintf(text, sizeof(text), "%s/%s", stray->agent->cgroups.ledger, stray->leaf);
    (void)crypto_generichash(stray->uuid, UUID_BYTES, (const unsigned char *)text, strlen(text),
                             NULL, 0);
    stray->uuid[6] = (uint8_t)((stray->uuid[6] & 0x0f) | 0x80); /* RFC 9562: version 8 */
    stray->uuid[8] = (uint8_t)((stray->uuid[8] & 0x3f) | 0x80);
}

static void make_name(struct stray *stray, const struct kw_labels *label)
{
    const char *dot = strrchr(stray->leaf, '.');
    size_t length = (size_t)(dot - stray->leaf);

    ENSURE(length < NAME_BYTES);
    memcpy(stray->name, stray->leaf, length);
    stray->generation = strtoull(dot + 1, NULL, 10);
    if (label != NULL)
        memcpy(stray->uuid, label->uuid, UUID_BYTES);
    else
        make_uuid(stray);
    /* The name is a container's of node.db, or an earlier stray's: the id is one too. */
    if (node_find(stray->agent->node, stray->name) != NULL ||
        strays_find(stray->agent, stray->name) != NULL)
        (void)uuid_format(stray->uuid, stray->name);
}

static int watch(struct stray *stray)
{
    uv_loop_t *loop = &stray->agent->loop;

    stray->events_fd = fcntl(stray->cgroup.events, F_DUPFD_CLOEXEC, 3);
    if (stray->events_fd < 0)
        return -1;
    if (uv_poll_init(loop, &stray->events, stray->events_fd) < 0) {
        (void)close(stray->events_fd);
        return -1;
    }
    (void)uv_timer_init(loop, &stray->timer);
    (void)uv_poll_start(&stray->events, UV_PRIORITIZED, on_events);
    return 0;
}

void strays_add(struct agent *agent, const char *leaf, const struct kw_labels *label, pid_t pid)
{
    struct stray *stray = calloc(1, sizeof(*stray));
    struct fault fault = {0};

    ENSURE(stray != NULL);
    stray->agent = agent;
    stray->pid = pid;
    (void)snprintf(stray->leaf, sizeof(stray->leaf), "%s", leaf);
    make_name(stray, label);
    int result = cgroup_adopt(&agent->cgroups, leaf, &stray->cgroup, &fault);
    if (result == 0 && !is_populated(stray)) { /* it emptied since; its groups go another time */
        cgroup_close(&stray->cgroup);
        free(stray);
        return;
    }
    if (result == 0 && watch(stray) < 0) {
        cgroup_close(&stray->cgroup);
        result = -1;
    }
    if (result < 0) { /* gone meanwhile, or no descriptors: it is left alone */
        (void)fprintf(stderr, "drover-agent: %s lives, is not in node.db, and cannot be watched\n",
                      leaf);
        free(stray);
        return;
    }
    stray->next = agent->strays;
    agent->strays = stray;
    (void)fprintf(stderr, "drover-agent: %s lives and is not in node.db: left alone, shown as %s\n",
                  leaf, stray->name);
    (void)tell(stray, EVENT_AUDIT, "lives and is not in node.db: left alone");
    send_word(agent);
    look(stray);
}
