/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's records as observations. A record is a level, said whole each time: what it says
 * more than the one before becomes BOOTED, READY, ENDED, in this order, however they were joined.
 */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "console_rebind.h"
#include "ensure.h"
#include "launching.h"
#include "watch.h"

static_assert((CT_MAX & (CT_MAX - 1)) == 0, "a launch's number carries its slot in its low bits");

/* Numbers only grow, and the low bits lead back to the slot without a search. */
uint64_t keeper_records_number(struct agent *agent, uint32_t index)
{
    uint64_t number = (agent->keeper.launch_last / CT_MAX + 1) * CT_MAX + index;

    agent->keeper.launch_last = number;
    return number;
}

static struct slot *find_slot(struct agent *agent, const struct kw_record *record,
                              uint32_t *ret_index)
{
    uint32_t index = (uint32_t)(record->launch % CT_MAX);

    if (agent->slots[index].launch != record->launch)
        for (index = 0; index < agent->node->slots_end; index++)
            if (agent->slots[index].launch == record->launch)
                break;
    if (index >= agent->node->slots_end || record->launch == 0)
        return NULL;
    *ret_index = index;
    return &agent->slots[index];
}

static void post(struct agent *agent, uint32_t index, const struct kw_record *record,
                 struct observation seen)
{
    struct input input = {.kind = INPUT_OBSERVATION, .observation = seen};

    input.observation.ct = index;
    input.observation.generation = record->labels.generation;
    inbox_post(&agent->inbox, &input);
    agent_wake(agent);
}

static const char *step_name(uint32_t step)
{
    static const char *const names[KW_STEP_COUNT] = {
#define KW_STEP_NAME(upper, lower) [KW_STEP_##upper] = #lower,
        KW_STEP_LIST(KW_STEP_NAME)
#undef KW_STEP_NAME
    };

    return step < KW_STEP_COUNT ? names[step] : "unknown";
}

/* "/sbin/init: 2 (No such file…), /etc/init: …": each candidate with its errno. */
static void list_candidates(const struct slot *slot, const struct kw_record *record, char *text,
                            size_t text_bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < record->candidate_count && i < KW_CANDIDATES_MAX; i++) {
        int n = snprintf(text + used, text_bytes - used, "%s%s: %s", i == 0 ? "" : ", ",
                         i < slot->candidate_count ? slot->candidates[i] : "?",
                         strerror(record->candidate_errno[i]));

        if (n < 0 || (size_t)n >= text_bytes - used)
            return;
        used += (size_t)n;
    }
}

void keeper_records_fault(const struct slot *slot, const struct kw_record *record,
                          struct fault *ret_fault)
{
    char name[KW_NAME_BYTES];
    char candidates[FAULT_TEXT_BYTES / 2];

    memcpy(name, record->labels.name, sizeof(name));
    name[sizeof(name) - 1] = '\0';
    if (record->failed_step == KW_STEP_EXEC && record->failed_errno != 0) {
        list_candidates(slot, record, candidates, sizeof(candidates));
        fault_set(ret_fault, STATUS_BAD_TEMPLATE, record->failed_errno,
                  "%s has no init that can be executed: %s", name, candidates);
    } else if (record->failed_step == KW_STEP_ABORTED && slot->hooks.fault.status != STATUS_UNSET) {
        *ret_fault = slot->hooks.fault;
    } else if (record->failed_step == KW_STEP_ABORTED) {
        fault_set(ret_fault, STATUS_INTERRUPTED, record->failed_errno,
                  "%s: its start was interrupted", name);
    } else if (record->failed_step == KW_STEP_DEADLINE) {
        fault_set(ret_fault, STATUS_TIMEOUT, 0, "%s: its start did not get to init in %u s", name,
                  STAGE_DEADLINE_NS / SECOND_NS);
    } else if (record->failed_errno == 0) {
        fault_set(ret_fault, STATUS_FAILED, 0, "%s: killed before its init was executed", name);
        fault_hint(ret_fault, "its memory limit may be too small");
    } else {
        fault_set(ret_fault, STATUS_FAILED, record->failed_errno, "%s: step %s failed", name,
                  step_name(record->failed_step));
    }
}

static void take_descriptors(struct slot *slot, int *fds, const uint8_t *roles)
{
    for (size_t i = 0; roles != NULL && i < 8 && roles[i] != KW_FD_NONE; i++) {
        if (roles[i] == KW_FD_PTY && slot->pty < 0)
            slot->pty = take_fd(&fds[i]);
        if (roles[i] == KW_FD_OUTPUT && slot->output < 0)
            slot->output = take_fd(&fds[i]);
        if (roles[i] == KW_FD_RING && slot->ring == NULL) {
            size_t size_bytes = KW_RING_DATA_OFFSET + KW_RING_DEFAULT_BYTES;
            void *ring = mmap(NULL, size_bytes, PROT_READ, MAP_SHARED, fds[i], 0);

            slot->ring = ring == MAP_FAILED ? NULL : ring;
            slot->ring_bytes = size_bytes;
        }
    }
}

static void take_times(struct slot *slot, const struct kw_record *record)
{
    uint64_t *done_ns = slot->times.done_ns;

    done_ns[BOOT_receive] = record->received_ns;
    done_ns[BOOT_clone] = record->cloned_ns;
    done_ns[BOOT_outside] = record->outside_ns;
    done_ns[BOOT_stage] = record->staged_ns;
    done_ns[BOOT_go] = record->go_ns;
    done_ns[BOOT_exec] = record->exec_ns;
}

/* What the record tells of the boot's steps, and of the end, that the model does not hear. */
static void take_news(struct agent *agent, uint32_t index, const struct kw_record *record,
                      struct observation *seen)
{
    struct slot *slot = &agent->slots[index];

    if (seen->kind == IN_BOOTED)
        take_times(slot, record);
    if (seen->kind == IN_READY)
        slot->times.done_ns[BOOT_ready] = record->ready_ns;
    if (seen->kind == IN_LAUNCH_FAILED)
        keeper_records_fault(slot, record, &seen->fault);
    if (seen->kind == IN_ENDED || seen->kind == IN_LAUNCH_FAILED)
        watch_read_oom(agent, index); /* its level decides about the cause: before the end */
}

/* GO, but for one that is to end. */
static void on_start_hooked(struct agent *agent, uint32_t index, bool has_any,
                            const struct hook_walk *walk)
{
    struct slot *slot = &agent->slots[index];
    bool is_wanted = node_get(agent->node, index)->state == CT_LAUNCHING && !walk->has_failed;
    struct kw_go go = {.launch = slot->launch};

    (void)has_any;
    if (walk->has_failed)
        slot->hooks.fault = walk->fault;
    (void)keeper_client_send(&agent->keeper, &go.header, is_wanted ? KW_GO : KW_ABORT, sizeof(go),
                             NULL, 0); /* without descriptors: it does not fail */
}

/* It waits for GO: its start hooks have their turn, or its keeper wants to hear GO after it. */
static void on_staged(struct agent *agent, uint32_t index, const struct kw_record *record)
{
    struct slot *slot = &agent->slots[index];

    if (!slot->hooks.has_start) {
        launching_said_staged(agent, index);
        return;
    }
    if (slot->hooks.launch == record->launch || slot->hooks.inside != NULL)
        return; /* said again */
    slot->hooks.launch = record->launch;
    enum ct_state state = node_get(agent->node, index)->state;
    if (state == CT_STOPPING || state == CT_KILLING) { /* scripts would run for nothing */
        on_start_hooked(agent, index, false, &(struct hook_walk){0});
        return;
    }
    hook_inside_begin(
        agent, &(struct hook_inside_request){
                   .ct = index, .way = HOOKS_START, .pid = record->pid, .on_end = on_start_hooked});
}

static void on_launch_record(struct agent *agent, const struct kw_record *record, int *fds,
                             const uint8_t *roles)
{
    uint32_t index;
    struct slot *slot = find_slot(agent, record, &index);
    struct now now = {clock_monotonic_ns(), clock_wall_ns()};
    struct record_news news;

    if (slot == NULL) {
        if (record_is_final(record)) { /* of a container that is gone, or said again */
            turn_core_owe_ack(&agent->core, TURN_CORE_NOBODY, record);
            agent_wake(agent);
        }
        return;
    }
    if (record->change >= slot->seen.change)
        take_descriptors(slot, fds, roles);
    record_observe(&slot->seen, record, &now, &news);
    if (record->phase == KW_PHASE_STAGED && record->change >= slot->seen.change)
        on_staged(agent, index, record);
    if (news.ack == RECORD_ACK_OWED)
        turn_core_owe_ack(&agent->core, index, record);
    for (size_t i = 0; i < news.count; i++) {
        take_news(agent, index, record, &news.list[i]);
        news.list[i].ct = index;
        if (news.list[i].kind != IN_LAUNCH_FAILED || !launching_keeps(agent, index, &news.list[i]))
            post(agent, index, record, news.list[i]);
        if (news.list[i].kind == IN_BOOTED)
            readiness_start(agent, index);
    }
    if (news.ack == RECORD_ACK_NOW)
        keeper_client_ack(&agent->keeper, record->launch, record->labels.generation,
                          record->change);
    streams_console_grew(&agent->streams, index);
}

static void on_refused(struct agent *agent, const struct kw_refused *refused)
{
    struct kw_record none = {.launch = refused->number};
    uint32_t index;
    struct observation seen = {.kind = IN_LAUNCH_FAILED};

    if (refused->type == KW_SPAWN) {
        streams_spawn_refused(&agent->streams, refused->number, refused->error);
        hook_run_refused(agent, refused);
        return;
    }
    if (refused->type == KW_CONSOLE) {
        console_rebind_refused(agent, refused);
        return;
    }
    if (refused->type == KW_ADOPT) { /* nobody would tell its end: the next agent tries again */
        fault_set(&seen.fault, STATUS_KEEPER_FULL, refused->error,
                  "the new keeper cannot watch a guest that lives (reason %u)",
                  (uint64_t)refused->reason);
        agent_die(&seen.fault);
    }
    if ((refused->type != KW_LAUNCH && refused->type != KW_GO) ||
        find_slot(agent, &none, &index) == NULL)
        return; /* an acknowledgement of what it had forgotten: nothing hangs on it */
    if (refused->type == KW_GO) { /* or its stage died: its record tells */
        launching_go_refused(agent, index);
        return;
    }
    none.labels.generation = agent->slots[index].generation;
    if (refused->reason == KW_REFUSED_FULL)
        fault_set(&seen.fault, STATUS_KEEPER_FULL, refused->error,
                  "the keeper's table or its stages are full");
    else
        fault_set(&seen.fault, STATUS_FAILED, refused->error,
                  "the keeper refused the launch (reason %u)", (uint64_t)refused->reason);
    seen.ct = index;
    seen.generation = agent->slots[index].generation;
    if (!launching_keeps(agent, index, &seen))
        post(agent, index, &none, seen);
}

void keeper_records_on_record(struct keeper_client *client, const struct kw_header *header,
                              int *fds, const uint8_t *roles)
{
    struct agent *agent = container_of(client, struct agent, keeper);

    boundary(record_read);
    switch (header->type) {
    case KW_RECORD:
        if (!agent->is_adopted)
            adopt_hold_record(agent, (const void *)header, fds, roles);
        else
            on_launch_record(agent, (const void *)header, fds, roles);
        return;
    case KW_SPAWN_RECORD:
        streams_spawn_record(&agent->streams, (const void *)header);
        console_rebind_ended(agent, (const void *)header);
        hook_run_record(agent, (const void *)header);
        return;
    case KW_REFUSED:
        on_refused(agent, (const void *)header);
        return;
    }
    /* WELCOME is read by the opening; SYNCED is noted by the client; REEXECED leads to a HELLO. */
}

void keeper_records_feed(struct agent *agent, const struct kw_record *record, int *fds)
{
    on_launch_record(agent, record, fds, record->roles);
}
