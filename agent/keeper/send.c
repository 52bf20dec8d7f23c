/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeper to agent. Nothing is queued: the table says what is unsent, and a record is made when the
 * socket takes it.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "build_id.h"
#include "cleanup.h"
#include "clock.h"
#include "keeper.h"
#include "sys.h"

#define RECORDS_PER_TURN 256

static void fill_header(struct kw_header *header, enum kw_type type, size_t size_bytes,
                        size_t fd_count)
{
    *header = (struct kw_header){
        .magic = KW_MAGIC,
        .version = KW_VERSION,
        .type = (uint16_t)type,
        .size_bytes = (uint32_t)size_bytes,
        .fd_count = (uint32_t)fd_count,
    };
}

/* Returns whether it went out; otherwise notes why nothing more will. */
static bool send_one(struct keeper *k, struct kw_header *header, const int *fds, size_t fd_count)
{
    ssize_t n = sys_send_fds(k->agent, header, header->size_bytes, fds, fd_count);
    if (n >= 0)
        return true;
    if (n == -EAGAIN) {
        k->is_blocked = true;
    } else if (n == -EPIPE || n == -ECONNRESET || n == -ENOTCONN) {
        k->is_broken = true;
        k->has_refused = false;
    } else { /* ENOMEM, ENOBUFS, ETOOMANYREFS: no event tells when it is over */
        k->retry_ns = clock_monotonic_ns() + KEEPER_RETRY_NS;
        k->is_timer_stale = true;
        k->is_blocked = true;
    }
    return false;
}

struct outgoing {
    int fds[8];
    uint8_t *roles;
    size_t count;
};

static void attach(struct outgoing *out, enum kw_role role, int fd)
{
    if (fd < 0)
        return;
    out->roles[out->count] = (uint8_t)role;
    out->fds[out->count++] = fd;
}

static bool send_record(struct keeper *k, struct entry *entry)
{
    struct kw_record record = entry->record;
    struct outgoing out = {.roles = record.roles};
    struct launch_stage *stage = entry->stage == 0 ? NULL : &k->stages[entry->stage - 1];
    bool is_staged = record.phase == KW_PHASE_STAGED && stage != NULL && !stage->is_told;
    bool is_handed_over = entry->is_handed_over;

    if (is_staged) {
        attach(&out, KW_FD_PID, entry->pidfd);
        attach(&out, KW_FD_NETNS, stage->staged[0]);
        attach(&out, KW_FD_NETLINK, stage->staged[1]);
        attach(&out, KW_FD_MNTNS, stage->staged[2]);
    } else if (!is_handed_over &&
               (record.phase == KW_PHASE_BOOTED || record.phase == KW_PHASE_ENDED)) {
        attach(&out, KW_FD_PID, entry->pidfd);
        attach(&out, KW_FD_PTY, entry->master);
        attach(&out, KW_FD_RING, entry->ring);
        attach(&out, KW_FD_OUTPUT, entry->output);
        is_handed_over = true;
    }
    fill_header(&record.header, KW_RECORD, sizeof(record), out.count);
    if (!send_one(k, &record.header, out.fds, out.count))
        return false;

    entry->is_handed_over = is_handed_over;
    if (is_staged) {
        stage->is_told = true;
        for (size_t i = 0; i < COUNT_OF(stage->staged); i++)
            fd_closep(&stage->staged[i]);
    }
    table_sent(&k->table, entry);
    return true;
}

static bool send_spawn_record(struct keeper *k, struct spawn *spawn)
{
    struct kw_spawn_record record = {
        .spawn = spawn->number,
        .change = spawn->change,
        .phase = spawn->phase,
        .pid = spawn->pid,
        .exec_errno = spawn->exec_errno,
        .failed_step = spawn->failed_step,
        .is_timed_out = spawn->is_timed_out,
        .wait_status = spawn->wait_status,
    };
    struct outgoing out = {.roles = record.roles};
    bool sends_pid = spawn->phase == KW_PHASE_BOOTED && !spawn->is_pid_sent;

    if (sends_pid)
        attach(&out, KW_FD_PID, spawn->pidfd);
    attach(&out, KW_FD_PTY, spawn->pty);
    fill_header(&record.header, KW_SPAWN_RECORD, sizeof(record), out.count);
    if (!send_one(k, &record.header, out.fds, out.count))
        return false;

    spawn->is_pid_sent |= sends_pid;
    fd_closep(&spawn->pty); /* the agent's now */
    spawn->is_unsent = false;
    return true;
}

static bool send_welcome(struct keeper *k)
{
    struct kw_welcome welcome = {
        .pid = getpid(),
        .entries = k->table.count,
        .started_ns = k->started_ns,
        .launch_last = k->launch_last,
    };
    (void)build_id_self(welcome.build);
    fill_header(&welcome.header, KW_WELCOME, sizeof(welcome), 0);
    return send_one(k, &welcome.header, NULL, 0);
}

static bool send_bare(struct keeper *k, enum kw_type type)
{
    struct kw_header header;
    fill_header(&header, type, sizeof(header), 0);
    return send_one(k, &header, NULL, 0);
}

/* Answers come before records, so that the agent can tell which of its orders stand. */
static bool send_answers(struct keeper *k)
{
    if (k->has_reexeced && !send_bare(k, KW_REEXECED))
        return false;
    k->has_reexeced = false;
    if (k->has_refused && !send_one(k, &k->refused.header, NULL, 0))
        return false;
    k->has_refused = false;
    if (k->has_welcome && !send_welcome(k))
        return false;
    k->has_welcome = false;
    return true;
}

/* The table is walked in order of slots: coming round for the first time, all was sent once. */
static bool send_entries(struct keeper *k)
{
    for (int n = 0; n < RECORDS_PER_TURN; n++) {
        uint32_t before = k->table.cursor;
        struct entry *entry = table_next_unsent(&k->table);
        if (k->has_synced && (entry == NULL || table_slot(&k->table, entry) < before)) {
            if (!send_bare(k, KW_SYNCED))
                return false;
            k->has_synced = false;
        }
        if (entry == NULL)
            return true;
        if (!send_record(k, entry))
            return false;
    }
    k->is_blocked = true; /* the socket takes more: go on in the next turn */
    return false;
}

static void set_events(struct keeper *k)
{
    uint32_t events = k->has_refused ? 0u : (uint32_t)EPOLLIN;
    if (k->is_blocked && k->retry_ns == 0)
        events |= (uint32_t)EPOLLOUT;
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)WATCH_AGENT << 56};
    if (events != k->agent_events && epoll_ctl(k->epoll, EPOLL_CTL_MOD, k->agent, &event) == 0)
        k->agent_events = events;
}

void send_all(struct keeper *k)
{
    if (k->agent_phase == AGENT_NONE)
        return;
    if (!k->is_blocked && !k->is_broken && send_answers(k) && k->agent_phase == AGENT_GREETED) {
        bool is_open = true;
        for (uint32_t i = 0; i < k->spawn_high && is_open; i++)
            if (k->spawns[i].is_unsent)
                is_open = send_spawn_record(k, &k->spawns[i]);
        if (is_open)
            (void)send_entries(k);
    }
    set_events(k);
}

void send_refused(struct keeper *k, uint64_t number, uint32_t type, enum kw_refusal reason,
                  int32_t error)
{
    k->refused = (struct kw_refused){
        .number = number, .type = type, .reason = (uint32_t)reason, .error = error};
    fill_header(&k->refused.header, KW_REFUSED, sizeof(k->refused), 0);
    k->has_refused = !k->is_broken;
    send_all(k);
}
