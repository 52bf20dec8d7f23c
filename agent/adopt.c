/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing together what the store promised, what the keeper holds, and what cgroups are there; at
 * the agent's start, and when the keeper died under us. Nothing is rewritten, nobody is restarted.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "adopt_found.h"
#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "console_rebind.h"
#include "ensure.h"
#include "inits.h"
#include "keeper_upgrade.h"
#include "sys.h"

#define BOOT_ID_BYTES 64

/* The keeper's word of one launch, kept until its row is read. */
struct held_record {
    struct held_record *next;
    struct kw_record record;
    int fds[8];
    bool is_used;
};

static struct held_record *held_record_of(struct agent *agent, uint64_t launch)
{
    for (struct held_record *held = agent->held; held != NULL; held = held->next)
        if (held->record.launch == launch)
            return held;
    struct held_record *held = calloc(1, sizeof(*held));

    ENSURE(held != NULL);
    for (size_t i = 0; i < COUNT_OF(held->fds); i++)
        held->fds[i] = -1;
    held->next = agent->held;
    agent->held = held;
    return held;
}

/* The last word counts; descriptors come with one of them only. */
void adopt_hold_record(struct agent *agent, const struct kw_record *record, int *fds,
                       const uint8_t *roles)
{
    struct held_record *held = held_record_of(agent, record->launch);
    bool has_fds = roles != NULL && roles[0] != KW_FD_NONE;
    uint8_t kept[sizeof(record->roles)];

    memcpy(kept, has_fds ? record->roles : held->record.roles, sizeof(kept));
    held->record = *record;
    memcpy(held->record.roles, kept, sizeof(kept));
    for (size_t i = 0; has_fds && i < COUNT_OF(held->fds) && roles[i] != KW_FD_NONE; i++) {
        if (held->fds[i] >= 0)
            (void)close(held->fds[i]);
        held->fds[i] = take_fd(&fds[i]);
    }
}

static struct held_record *find_held(struct agent *agent, const struct store_row *row)
{
    for (struct held_record *held = agent->held; held != NULL; held = held->next)
        if (adopt_is_of(&held->record, row))
            return held;
    return NULL;
}

/* ---- the machine's own end ---- */

static bool is_other_boot(const struct agent *agent, char now[BOOT_ID_BYTES])
{
    char then[BOOT_ID_BYTES] = "";

    now[0] = '\0';
    (void)sys_read_text_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", now, BOOT_ID_BYTES);
    bool is_known = sys_read_text_at(agent->rootfs.state, "boot-id", then, sizeof(then)) > 0;
    return is_known && strcmp(now, then) != 0;
}

/* After all was adopted, and whole or not at all: an agent that dies before must see the other boot
 * again. Unwritten, the next start calls the boot unknown. */
static void note_boot(const struct agent *agent, const char *boot)
{
    int state = agent->rootfs.state;
    AUTO_FD fd = openat(state, "boot-id.next", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd >= 0 && write(fd, boot, strlen(boot)) == (ssize_t)strlen(boot) && fsync(fd) == 0)
        (void)renameat(state, "boot-id.next", state, "boot-id");
}

/* ---- guests whose keeper died ---- */

/* A guest that cannot be watched must not be taken for a dead one: the next agent tries again, with
 * the descriptors that this one gives back. */
static void send_adopt(struct agent *agent, struct kw_adopt *record, int pidfd)
{
    struct fault fault;
    int result =
        keeper_client_send(&agent->keeper, &record->header, KW_ADOPT, sizeof(*record), &pidfd, 1);

    if (result == 0)
        return;
    fault_set(&fault, STATUS_NO_CAPACITY, -result,
              "no descriptors are left to hand %s to the new keeper with", record->labels.name);
    agent_die(&fault);
}

/* Have the keeper watch a guest that is not its child. False: it is no more. */
static bool adopt_at_keeper(struct agent *agent, uint32_t index, pid_t pid)
{
    const struct ct *ct = node_get(agent->node, index);
    struct slot *slot = &agent->slots[index];
    struct kw_adopt record = {.roles = {KW_FD_PID}};
    AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    /* Opened first, checked then: a number that was given to another cannot pass. */
    bool is_in_cgroup = pidfd >= 0 && cgroup_has_process(&slot->cgroup, pid);
    if (!adopt_is_its_init(pidfd >= 0, is_in_cgroup))
        return false;
    console_rebind_lose(agent, index);
    slot->launch = record.launch = keeper_records_number(agent, index);
    slot->seen.change = 0;
    memcpy(record.labels.uuid, ct->uuid, UUID_BYTES);
    record.labels.generation = ct->generation;
    memcpy(record.labels.name, ct->name, NAME_BYTES);
    send_adopt(agent, &record, pidfd);
    slot->has_lost_notify = true;
    console_rebind_begin(agent, index); /* with the old master, where an agent still has it */
    if (slot->pty >= 0)
        (void)close(slot->pty);
    slot->pty = -1;
    return true;
}

static void tell_console_lost(struct agent *agent, const struct ct *ct)
{
    struct event *event = turn_core_event(&agent->core);

    *event = (struct event){
        .time_wall_ns = clock_wall_ns(), .generation = ct->generation, .type = EVENT_CONSOLE_LOST};
    memcpy(event->uuid, ct->uuid, UUID_BYTES);
    memcpy(event->name, ct->name, NAME_BYTES);
}

static void post_lost(struct agent *agent, const struct ct *ct)
{
    struct input input = {.kind = INPUT_OBSERVATION};

    adopt_lose(ct, &input.observation);
    inbox_post(&agent->inbox, &input);
}

/* ---- rows ---- */

struct adoption {
    struct agent *agent;
    bool is_other_boot;
    struct inits inits;
    int result; /* of what kept on_row() from going on, in words in: */
    struct fault *fault;
};

static uint64_t hash_of(struct agent *agent, const struct store_row *row)
{
    const struct result *result = results_find(&agent->results, row->request);

    return result == NULL ? 0 : result->hash;
}

/* The slot as the earlier agent had it: cgroup, descriptors, what was observed already. */
static void fill_slot(struct agent *agent, uint32_t index, struct held_record *held)
{
    struct slot *slot = &agent->slots[index];
    const struct kw_record *record = &held->record;

    held->is_used = true;
    slot->launch = record->launch;
    record_adopt(&slot->seen, record);
    if (slot->seen.is_ended)
        turn_core_owe_ack(&agent->core, index, record);
    keeper_records_feed(agent, record, held->fds);
    if (record->is_adopted && !slot->seen.is_ended) {
        slot->has_lost_notify = true;
        console_rebind_begin(agent, index);
    }
    if (slot->has_cgroup && !slot->seen.is_ended)
        (void)watch_start(agent, index);
}

/* Its launch was sent, and the agent died before it could write down what it had planned: the same
 * plan says the same of its init. PID 1's own name would not: a file named init may be anything. */
static void plan_again(struct agent *agent, const struct store_row *row, struct slot *slot)
{
    struct launch plan;
    struct fault ignored = {0};
    struct launch_request request = {.config = &slot->view,
                                     .name = row->name,
                                     .uuid = row->uuid,
                                     .generation = row->generation,
                                     .uid_base = row->uid_base,
                                     .uid_count = UID_RANGE,
                                     .node = agent->options->node};

    if (rootfs_plan(&agent->rootfs, &request, &plan, &ignored) < 0) {
        slot->family = FAMILY_UNKNOWN; /* what it booted from is gone: signals are all we have */
        slot->is_ready_on_exec = slot->view.ready != READY_NOTIFY;
        return;
    }
    slot->family = plan.family;
    slot->is_ready_on_exec = !plan.is_ready_by_notify;
    launch_close(&plan);
}

/* What the row says of it; -errno: it is not kept. */
static int read_slot(const struct store_row *row, struct slot *slot, struct fault *fault)
{
    int result = slot_fill(slot, octets_copy(&row->config));

    if (result < 0) {
        fault_set(fault, STATUS_FAILED, -result, "node.db: the configuration of %s cannot be read",
                  row->name);
        fault_hint(fault, "restore node.db from a copy; nothing was changed");
        slot_empty(slot);
        return result;
    }
    slot->revision = row->revision;
    slot->uid_base = row->uid_base;
    slot->family = row->family;
    slot->is_ready_on_exec = row->is_ready_on_exec;
    slot->generation = row->generation;
    slot->oom_kills = row->oom_kills; /* what came since is told when it is watched again */
    return 0;
}

/* Its keeper died with the agent before us. */
static void adopt_orphan(struct agent *agent, uint32_t index, const struct ct_found *found)
{
    struct slot *slot = &agent->slots[index];
    const struct ct *ct = node_get(agent->node, index);

    slot->seen.is_booted = true;
    slot->seen.is_ready = found->is_ready;
    if (adopt_at_keeper(agent, index, found->pid))
        tell_console_lost(agent, ct);
    else
        post_lost(agent, ct); /* it ended since we looked, and nobody saw how */
    (void)watch_start(agent, index);
}

static bool on_row(const struct store_row *row, void *context)
{
    struct adoption *adoption = context;
    struct agent *agent = adoption->agent;
    struct held_record *held = find_held(agent, row);
    struct slot slot = {.pty = -1, .output = -1};
    struct adopt_facts facts;
    struct ct_found found;
    struct fault fault = {0};
    struct fault failure = {0};
    struct now now = {clock_monotonic_ns(), clock_wall_ns()};
    char leaf[CGROUP_LEAF_BYTES];

    adoption->result = read_slot(row, &slot, adoption->fault);
    if (adoption->result < 0)
        return false;
    if (held != NULL && row->state == CT_PREPARING)
        plan_again(agent, row, &slot);
    cgroup_leaf(row->name, row->generation, leaf);
    if (row->generation != 0)
        slot.has_cgroup = cgroup_adopt(&agent->cgroups, leaf, &slot.cgroup, &fault) == 0;

    facts = (struct adopt_facts){
        .row = row,
        .policy = {slot.view.restart, slot.view.is_reboot_denied, slot.view.stop_grace_ns},
        .command_hash = hash_of(agent, row),
        .command_origin = ORIGIN_UPSTREAM,
        .is_other_boot = adoption->is_other_boot,
        .is_ready_on_exec = slot.is_ready_on_exec,
        .record = held == NULL ? NULL : &held->record,
    };
    if (held != NULL && held->record.phase == KW_PHASE_FAILED) {
        keeper_records_fault(&slot, &held->record, &failure);
        facts.failure = &failure;
    }
    if (adopt_must_look(row, facts.record, slot.has_cgroup)) {
        adoption->result = inits_read(&adoption->inits, &agent->cgroups);
        if (adoption->result < 0) {
            fault_set(adoption->fault, STATUS_FAILED, -adoption->result,
                      "cannot see in /proc which guests run");
            slot_empty(&slot);
            return false; /* nobody may be called dead for it */
        }
        facts.pid = inits_find(&adoption->inits, leaf);
    }
    if (slot.has_cgroup) {
        bool is_populated = false;

        (void)cgroup_read_events(&slot.cgroup, &is_populated, &facts.is_frozen);
        facts.oom_kills = cgroup_read_oom_kills(&slot.cgroup);
        if (cgroup_exec_sweep(&slot.cgroup, now.ns) > 0)
            slot.stale_below = now.ns;
    }
    adopt_find(&facts, &now, &found);
    uint32_t index = node_adopt(agent->node, &found, &now, &agent->core.out);
    agent->slots[index] = slot;
    if (held != NULL) {
        fill_slot(agent, index, held);
    } else if (found.is_live) {
        adopt_orphan(agent, index, &found);
    }
    turn_finish(agent, &now);
    boundary(adopted_row);
    return true;
}

static bool on_result(const struct store_result *stored, void *context)
{
    struct agent *agent = context;
    struct result *result = results_add(&agent->results, stored->request, stored->command_hash);

    if (result == NULL)
        return false;
    result->is_accepted = true;
    result->receipt.verb = stored->verb;
    result->receipt.phase = stored->phase;
    result->receipt.fault.status = stored->status;
    result->receipt.fault.error = stored->error;
    memcpy(result->receipt.fault.text, stored->text, FAULT_TEXT_BYTES);
    memcpy(result->uuid, stored->uuid, UUID_BYTES);
    result->generation = stored->generation;
    (void)result_listen(result, ORIGIN_UPSTREAM);
    return true;
}

/* Receipts of what was finished long ago name their container again by its slot. */
static void link_results(struct agent *agent)
{
    for (uint32_t i = 0; i < RESULTS_MAX; i++) {
        struct result *result = &agent->results.ring[i];

        for (uint32_t ct = 0; result->receipt.phase != PHASE_UNSET && node_next(agent->node, &ct);
             ct++) {
            if (memcmp(node_get(agent->node, ct)->uuid, result->uuid, UUID_BYTES) != 0)
                continue;
            result->receipt.has_ct = true;
            result->receipt.ct = ct;
        }
    }
}

/* ---- leftovers ---- */

static bool on_leaf(const char *leaf, void *context)
{
    struct agent *agent = context;
    struct fault fault = {0};

    /* Only if it is empty: what lives and is not known is shown to people, not ended. */
    if (!adopt_keeps_leaf(agent->node, leaf))
        (void)cgroup_remove(&agent->cgroups, leaf, &fault);
    boundary(adopted_leaf);
    return true;
}

/* What the keeper holds and no row claims: ends are forgotten, the living left alone. */
static void settle_unclaimed(struct agent *agent)
{
    for (const struct held_record *held = agent->held; held != NULL; held = held->next) {
        const struct kw_record *record = &held->record;

        if (held->is_used)
            continue;
        if (record_is_final(record))
            keeper_client_ack(&agent->keeper, record->launch, record->labels.generation,
                              record->change);
        if (record->phase == KW_PHASE_BOOTED)
            (void)fprintf(stderr,
                          "drover-agent: the keeper holds a guest that node.db does not "
                          "know: pid %d; left alone\n",
                          record->pid);
    }
}

void adopt_drop_held(struct agent *agent)
{
    while (agent->held != NULL) {
        struct held_record *held = agent->held;

        for (size_t i = 0; i < COUNT_OF(held->fds); i++)
            if (held->fds[i] >= 0)
                (void)close(held->fds[i]);
        agent->held = held->next;
        free(held);
    }
}

int adopt_all(struct agent *agent, struct fault *fault)
{
    char boot[BOOT_ID_BYTES];
    struct adoption adoption = {
        .agent = agent, .is_other_boot = is_other_boot(agent, boot), .fault = fault};
    int result = keeper_client_sync(&agent->keeper, fault);

    boundary(keeper_synced);
    if (result == 0 && !agent->keeper.is_started_now)
        result = keeper_upgrade(agent, fault);
    if (result == 0)
        result = store_read_results(agent->store, on_result, agent);
    if (result == 0)
        result = store_read_rows(agent->store, on_row, &adoption);
    inits_close(&adoption.inits);
    if (adoption.result < 0)
        return adoption.result;
    if (result < 0)
        return result;
    link_results(agent);
    result = cgroup_find_all(&agent->cgroups, on_leaf, agent);
    settle_unclaimed(agent);
    adopt_drop_held(agent);
    note_boot(agent, boot);
    agent->is_adopted = true;
    boundary(adopted_all);
    return result;
}

/* ---- the keeper died under us ---- */

void keeper_records_on_lost(struct keeper_client *client)
{
    struct agent *agent = container_of(client, struct agent, keeper);
    struct fault fault = {0};
    uint64_t launch_last = client->launch_last;

    streams_keeper_lost(&agent->streams);
    (void)fprintf(stderr, "drover-agent: the keeper is gone; starting another\n");
    if (keeper_client_open(client, agent->options->run_dir, agent->options->keeper, &agent->cgroups,
                           &fault) < 0)
        agent_die(&fault);
    if (!client->is_started_now) { /* it holds all that it held: a start of the agent adopts that */
        fault_set(&fault, STATUS_FAILED, 0, "the connection to a keeper that lives broke off");
        agent_die(&fault);
    }
    if (keeper_client_sync(client, &fault) < 0 || keeper_client_watch(client, &agent->loop) < 0)
        agent_die(&fault);
    if (client->launch_last < launch_last)
        client->launch_last = launch_last;
    for (uint32_t i = 0; node_next(agent->node, &i); i++) {
        const struct ct *ct = node_get(agent->node, i);

        if (!adopt_is_at_keeper(ct))
            continue;
        if (ct->has_init && agent->slots[i].has_cgroup && adopt_at_keeper(agent, i, ct->pid)) {
            tell_console_lost(agent, ct);
        } else {
            slot_close_console(&agent->slots[i]);
            post_lost(agent, ct);
        }
    }
    agent_wake(agent);
}
