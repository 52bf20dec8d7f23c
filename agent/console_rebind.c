/* SPDX-License-Identifier: Apache-2.0 */
#include "console_rebind.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "ensure.h"
#include "subid.h"

#define REBIND_NS (10 * SECOND_NS) /* then the guest's own file systems hold it up */
#define SLACK_NS (10 * SECOND_NS)  /* for the keeper to kill it and tell */

static void complain(struct agent *agent, uint32_t index, const char *why, int error)
{
    (void)fprintf(stderr, "drover-agent: %s: no new console after its keeper died: %s%s%s\n",
                  node_get(agent->node, index)->name, why, error != 0 ? ": " : "",
                  error != 0 ? strerror(error) : "");
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
    slot->rebind = 0;
}

void console_rebind_begin(struct agent *agent, uint32_t index)
{
    struct slot *slot = &agent->slots[index];
    struct kw_console record = {.launch = slot->launch,
                                .deadline_ns = clock_monotonic_ns() + REBIND_NS,
                                .uid_base = slot->uid_base,
                                .uid_count = slot->uid_base != 0 ? UID_RANGE : 0,
                                .roles = {KW_FD_RING}};
    AUTO_FD ring = rootfs_make_ring();
    const int fds[] = {ring, slot->pty};
    size_t count = 1;

    ENSURE(slot->rebind == 0);
    if (ring < 0) {
        complain(agent, index, "its ring cannot be made", -ring);
        return;
    }
    if (slot->pty >= 0)
        record.roles[count++] = KW_FD_PTY;
    record.spawn = keeper_client_number_spawn(&agent->keeper);
    int result =
        keeper_client_send(&agent->keeper, &record.header, KW_CONSOLE, sizeof(record), fds, count);
    if (result < 0) {
        complain(agent, index, "the keeper cannot be told", -result);
        return;
    }
    slot->rebind = record.spawn;
    agent->rebinding_until_ns = record.deadline_ns + SLACK_NS;
}

/* The slot whose console this spawn binds; false: none's. Ends of commands come here too, and
 * nearly always nothing is under way. */
static bool take(struct agent *agent, uint64_t spawn, uint32_t *ret_index)
{
    if (agent->rebinding_until_ns == 0 || agent->rebinding_until_ns < clock_monotonic_ns())
        return false;
    for (uint32_t i = 0; i < agent->node->slots_end; i++) {
        if (agent->slots[i].rebind != spawn)
            continue;
        agent->slots[i].rebind = 0;
        *ret_index = i;
        return true;
    }
    return false;
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
