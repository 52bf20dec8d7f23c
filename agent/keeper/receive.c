/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agent to keeper: one agent at a time, one record at a time, each checked before it is believed.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper.h"
#include "sys.h"

#define RECORDS_PER_TURN 16

union record {
    struct kw_header header;
    struct kw_hello hello;
    struct kw_launch launch;
    struct kw_go go;
    struct kw_spawn spawn;
    struct kw_ack ack;
    struct kw_adopt adopt;
    struct kw_reexec reexec;
    struct kw_console console;
    struct kw_early_go early_go;
};

/* What is known of each type before its handler sees it. */
struct rule {
    size_t size_bytes;
    size_t roles_at; /* 0: takes no descriptors */
    bool has_number; /* of a launch or spawn, directly after the header */
};

static const struct rule rules[] = {
    [KW_HELLO] = {sizeof(struct kw_hello), 0, false},
    [KW_LAUNCH] = {sizeof(struct kw_launch), offsetof(struct kw_launch, roles), true},
    [KW_GO] = {sizeof(struct kw_go), 0, true},
    [KW_ABORT] = {sizeof(struct kw_go), 0, true},
    [KW_SPAWN] = {sizeof(struct kw_spawn), offsetof(struct kw_spawn, roles), true},
    [KW_ACK] = {sizeof(struct kw_ack), 0, true},
    [KW_ACK_SPAWN] = {sizeof(struct kw_ack), 0, true},
    [KW_ADOPT] = {sizeof(struct kw_adopt), offsetof(struct kw_adopt, roles), true},
    [KW_REEXEC] = {sizeof(struct kw_reexec), offsetof(struct kw_reexec, roles), false},
    [KW_CONSOLE] = {sizeof(struct kw_console), offsetof(struct kw_console, roles), true},
    [KW_EARLY_GO] = {sizeof(struct kw_early_go), 0, false},
};
static_assert(offsetof(struct kw_launch, launch) == sizeof(struct kw_header), "number first");
static_assert(offsetof(struct kw_go, launch) == sizeof(struct kw_header), "number first");
static_assert(offsetof(struct kw_spawn, spawn) == sizeof(struct kw_header), "number first");
static_assert(offsetof(struct kw_ack, launch) == sizeof(struct kw_header), "number first");
static_assert(offsetof(struct kw_adopt, launch) == sizeof(struct kw_header), "number first");
static_assert(offsetof(struct kw_console, spawn) == sizeof(struct kw_header), "number first");

void receive_listen(struct keeper *k, bool is_wanted)
{
    struct epoll_event event = {.events = is_wanted ? (uint32_t)EPOLLIN : 0u,
                                .data.u64 = (uint64_t)WATCH_LISTEN << 56};
    (void)epoll_ctl(k->epoll, EPOLL_CTL_MOD, k->listen, &event); /* cannot fail: it is there */
}

static bool is_root(int socket)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

void receive_accept(struct keeper *k)
{
    for (int n = 0; n < RECORDS_PER_TURN && k->agent_phase == AGENT_NONE; n++) {
        AUTO_FD agent = accept4(k->listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (agent < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            receive_listen(k, false); /* out of descriptors: it would be readable for ever */
            k->retry_ns = clock_monotonic_ns() + KEEPER_RETRY_NS;
            k->is_timer_stale = true;
        }
        if (agent < 0)
            return;
        if (!is_root(agent) || watch_add(k, WATCH_AGENT, agent, 0, 0) < 0)
            continue;

        k->agent = take_fd(&agent);
        k->agent_phase = AGENT_NEW;
        k->agent_events = EPOLLIN;
        k->is_blocked = k->is_broken = false;
        k->has_reexeced = k->has_welcome = k->has_refused = k->has_synced = false;
        k->is_go_early = false;
        k->first_agent_ns = 0;
        k->is_timer_stale = true;
        receive_listen(k, false);
    }
}

static void lose_agent(struct keeper *k)
{
    watch_close(k, &k->agent);
    k->agent_phase = AGENT_NONE;
    launch_agent_lost(k);
    spawn_agent_lost(k);
    receive_listen(k, true);
}

static enum kw_refusal greet(struct keeper *k)
{
    if (k->agent_phase != AGENT_NEW)
        return KW_REFUSED_PHASE;
    k->agent_phase = AGENT_GREETED;
    k->has_welcome = true;
    k->has_synced = true;
    table_mark_all(&k->table);
    return 0;
}

static enum kw_refusal serve(struct keeper *k, const union record *record, struct cargo *cargo)
{
    enum kw_type type = (enum kw_type)record->header.type;
    if (type != KW_HELLO && k->agent_phase != AGENT_GREETED)
        return KW_REFUSED_PHASE;
    if (type == KW_HELLO)
        return greet(k);
    if (type == KW_LAUNCH)
        return launch_begin(k, &record->launch, cargo);
    if (type == KW_GO)
        return launch_go(k, record->go.launch);
    if (type == KW_ABORT)
        return launch_abort(k, record->go.launch);
    if (type == KW_SPAWN)
        return spawn_begin(k, &record->spawn, cargo);
    if (type == KW_ACK)
        return launch_ack(k, &record->ack);
    if (type == KW_ACK_SPAWN)
        return spawn_ack(k, &record->ack);
    if (type == KW_ADOPT)
        return adopt_begin(k, &record->adopt, cargo);
    if (type == KW_CONSOLE)
        return adopt_console(k, &record->console, cargo);
    if (type == KW_REEXEC)
        return reexec_begin(k, cargo);
    k->is_go_early = true;
    k->staged_told = record->early_go.but;
    return 0;
}

/* Size, magic, version, type, and a role for each descriptor. */
static enum kw_refusal check(const union record *record, size_t size_bytes, struct cargo *cargo)
{
    const struct kw_header *header = &record->header;
    if (size_bytes < sizeof(*header) || header->magic != KW_MAGIC)
        return KW_REFUSED_MALFORMED;
    if (header->version != KW_VERSION)
        return KW_REFUSED_VERSION;
    if (header->type >= COUNT_OF(rules) || rules[header->type].size_bytes == 0)
        return KW_REFUSED_TYPE;
    const struct rule *rule = &rules[header->type];
    if (size_bytes != rule->size_bytes || header->size_bytes != size_bytes ||
        header->fd_count != cargo->count || (cargo->count > 0 && rule->roles_at == 0))
        return KW_REFUSED_MALFORMED;

    if (rule->roles_at != 0)
        memcpy(cargo->roles, (const char *)record + rule->roles_at, KW_FDS_MAX);
    for (size_t i = 0; i < KW_FDS_MAX; i++)
        if ((cargo->roles[i] != 0) != (i < cargo->count))
            return KW_REFUSED_MALFORMED;
    return 0;
}

static void take_record(struct keeper *k, const union record *record, size_t size_bytes,
                        struct cargo *cargo)
{
    uint64_t number = 0;
    k->refusal_error = 0;
    enum kw_refusal reason = check(record, size_bytes, cargo);
    if (reason == 0)
        reason = serve(k, record, cargo);
    cargo_close(cargo);
    if (reason == 0)
        return;

    uint32_t type = size_bytes >= sizeof(record->header) ? record->header.type : 0;
    if (type < COUNT_OF(rules) && rules[type].has_number &&
        size_bytes >= sizeof(record->header) + sizeof(number))
        memcpy(&number, &record->header + 1, sizeof(number));
    send_refused(k, number, type, reason, k->refusal_error);
}

/* An empty packet reads like the end; only the end comes with a hang-up. */
static bool is_end(int socket)
{
    struct pollfd look = {.fd = socket, .events = POLLIN};
    return poll(&look, 1, 0) < 0 || (look.revents & (POLLHUP | POLLERR)) != 0;
}

void receive_records(struct keeper *k, uint32_t events)
{
    static struct cargo cargo;
    union record record;

    if ((events & EPOLLOUT) != 0)
        k->is_blocked = false;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        k->is_broken = true; /* what it sent before is still read to the end */
        k->has_refused = false;
    }
    for (int n = 0; n < RECORDS_PER_TURN && !k->has_refused && k->agent_phase != AGENT_NONE; n++) {
        memset(&record, 0, sizeof(record));
        memset(cargo.roles, 0, sizeof(cargo.roles));
        ssize_t size =
            sys_receive_fds(k->agent, &record, sizeof(record), cargo.fds, KW_FDS_MAX, &cargo.count);
        if (size == -EAGAIN)
            return;
        /* Said once, when it died with records of ours unread; its own records come after it. */
        if (size == -ECONNRESET)
            continue;
        if (size == -EMSGSIZE)
            size = 0; /* cut: nothing of it is believed */
        else if (size < 0 || (size == 0 && is_end(k->agent))) {
            cargo_close(&cargo);
            lose_agent(k);
            return;
        }
        take_record(k, &record, (size_t)size, &cargo);
    }
}
