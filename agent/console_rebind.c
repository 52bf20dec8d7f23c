/* SPDX-License-Identifier: Apache-2.0 */
#include "console_rebind.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent.h"
#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "slots.h"
#include "subid.h"

#define REBIND_NS (10 * SECOND_NS) /* then the guest's own file systems hold it up */

static void complain(struct agent *agent, uint32_t index, const char *why, int error)
{
    (void)fprintf(stderr, "drover-agent: %s: no new console after its keeper died: %s%s%s\n",
                  node_get(agent->node, index)->name, why, error != 0 ? ": " : "",
                  error != 0 ? strerror(error) : "");
}

/* The one with that spawn; 0: a free place. NULL: none. */
static struct rebind *find(struct agent *agent, uint64_t spawn)
{
    for (size_t i = 0; i < COUNT_OF(agent->rebinds.list); i++)
        if (agent->rebinds.list[i].spawn == spawn)
            return &agent->rebinds.list[i];
    return NULL;
}

void console_rebind_lose(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];

    streams_console_lost(&agent->streams, index);
    if (slot->output >= 0)
        (void)close(slot->output);
    slot->output = -1;
    if (slot->ring != NULL)
        (void)munmap((void *)(uintptr_t)slot->ring, slot->ring_bytes);
    slot->ring = NULL;
    slot->is_pty_old = slot->pty >= 0;
}

void console_rebind_lose_all(struct agent *agent)
{
    memset(&agent->rebinds, 0, sizeof(agent->rebinds));
}

static int order(struct agent *agent, struct slot *slot, struct rebind *rebind)
{
    struct kw_console record = {.launch = slot->launch,
                                .deadline_ns = clock_monotonic_ns() + REBIND_NS,
                                .uid_base = slot->uid_base,
                                .uid_count = slot_uid_count(slot),
                                .roles = {KW_FD_RING}};
    AUTO_FD ring = rootfs_make_ring();
    const int fds[] = {ring, slot->pty};
    size_t count = 1;

    if (ring < 0)
        return ring;
    if (slot->pty >= 0)
        record.roles[count++] = KW_FD_PTY;
    record.spawn = keeper_client_number_spawn(&agent->keeper);
    int result =
        keeper_client_send(&agent->keeper, &record.header, KW_CONSOLE, sizeof(record), fds, count);
    if (result < 0)
        return result;
    *rebind = (struct rebind){.spawn = record.spawn, .launch = slot->launch};
    return 0;
}

void console_rebind_begin(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];
    struct rebind *rebind = find(agent, 0);

    slot->is_rebind_due = rebind == NULL;
    if (rebind == NULL) {
        agent->rebinds.has_due = true;
        return;
    }
    int result = order(agent, slot, rebind);
    rebind->ct = index;
    if (result < 0)
        complain(agent, index, "the keeper cannot be told", -result);
    if (slot->is_pty_old) /* the keeper's now; what it has of it comes with its record */
        (void)close(slot->pty);
    if (slot->is_pty_old)
        slot->pty = -1;
    slot->is_pty_old = false;
}

static void begin_due(struct agent *agent)
{
    if (!agent->rebinds.has_due)
        return;
    agent->rebinds.has_due = false;
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        if (!agent->slots[i].is_rebind_due)
            continue;
        agent->slots[i].is_rebind_due = false;
        if (node_get(agent->node, i)->has_init)
            console_rebind_begin(agent, i);
        if (agent->rebinds.has_due)
            return; /* no place is free */
    }
}

/* Ends of commands come here too, and nearly always nothing is under way. True: it is a console's,
 * of a launch that is still the present one. */
static bool take(struct agent *agent, uint64_t spawn, uint32_t *ret_index)
{
    struct rebind *rebind = find(agent, spawn);

    if (rebind == NULL)
        return false;
    uint32_t index = rebind->ct;
    bool is_present = agent->slots[index].launch == rebind->launch;
    *rebind = (struct rebind){.spawn = 0};
    begin_due(agent);
    *ret_index = index;
    return is_present;
}

void console_rebind_ended(struct agent *agent, const struct kw_spawn_record *record)
{
    uint32_t index;
    bool is_over = record->phase == KW_PHASE_ENDED || record->phase == KW_PHASE_FAILED;

    if (!is_over || !take(agent, record->spawn, &index) || record->phase == KW_PHASE_ENDED)
        return;
    if (record->is_timed_out)
        complain(agent, index, "its file systems do not answer", 0);
    else
        complain(agent, index, "its /dev/console cannot be replaced", record->exec_errno);
}

void console_rebind_refused(struct agent *agent, const struct kw_refused *refused)
{
    uint32_t index;

    if (take(agent, refused->number, &index))
        complain(agent, index, "the keeper refuses", refused->error);
}
