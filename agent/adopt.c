/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing together what the store promised, what the keeper holds, and what cgroups are there, at
 * the agent's start. Nothing is rewritten, nobody is restarted.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adopt_found.h"
#include "boundary.h"
#include "cleanup.h"
#include "clock.h"
#include "console_rebind.h"
#include "ensure.h"
#include "inits.h"
#include "keeper_upgrade.h"
#include "leaves.h"
#include "orphans.h"
#include "slots.h"
#include "stop_look.h"
#include "strays.h"
#include "sys.h"
#include "watch.h"

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
    struct held_record *latest = NULL;

    for (struct held_record *held = agent->held; held != NULL; held = held->next)
        if (adopt_is_of(&held->record, row) &&
            (latest == NULL || held->record.labels.generation > latest->record.labels.generation))
            latest = held;
    return latest;
}

/* ---- the machine's own end ---- */

static void read_boots(const struct agent *agent, char *now, char *then)
{
    now[0] = then[0] = '\0';
    (void)sys_read_text_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", now, BOOT_ID_BYTES);
    (void)sys_read_text_at(agent->rootfs.state, "boot-id", then, BOOT_ID_BYTES);
}

static bool is_other_boot(const struct agent *agent)
{
    char now[BOOT_ID_BYTES];
    char then[BOOT_ID_BYTES];

    read_boots(agent, now, then);
    return then[0] != '\0' && strcmp(now, then) != 0;
}

/* After all was adopted and is durable, and whole or not at all: an agent that dies before must see
 * the other boot again, or what ended with the machine is told as unknown. Unwritten, the next
 * start calls the boot unknown. */
static void note_boot(const struct agent *agent)
{
    int state = agent->rootfs.state;
    char now[BOOT_ID_BYTES];
    char then[BOOT_ID_BYTES];

    read_boots(agent, now, then);
    if (strcmp(now, then) == 0)
        return;
    AUTO_FD fd = openat(state, "boot-id.next", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, now, strlen(now)) == (ssize_t)strlen(now) && fsync(fd) == 0)
        (void)renameat(state, "boot-id.next", state, "boot-id");
}

/* ---- rows ---- */

struct adoption {
    struct agent *agent;
    bool is_other_boot;
    struct inits inits;
    struct leaves leaves;
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
    record_adopt(&slot->seen, record, node_get(agent->node, index)->is_ready);
    if (slot->seen.is_ended)
        turn_core_owe_ack(&agent->core, index, record);
    keeper_records_feed(agent, record, held->fds);
    if (record->is_adopted && !slot->seen.is_ended) {
        orphans_lose_notify(agent, index);
        console_rebind_begin(agent, index);
    }
    if (slot->has_cgroup && !slot->seen.is_ended)
        (void)watch_start(agent, index);
    if (node_get(agent->node, index)->state == CT_BOOTING)
        readiness_start(agent, index);
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
                                     .uid_count = slot_uid_count(slot),
                                     .has_systemd = true, /* it was launched */
                                     .node = agent->options->node};

    if (rootfs_plan(&agent->rootfs, &request, &plan, &ignored) < 0) {
        slot->family = FAMILY_UNKNOWN; /* what it booted from is gone: signals are all we have */
        slot->is_ready_on_exec = slot_ready(slot) <= READY_EXEC;
        return;
    }
    slot->family = plan.family;
    slot->is_ready_on_exec = plan.ready == READY_EXEC;
    launch_close(&plan);
}

/* What the row says of it. A configuration that cannot be read is kept as it is: nothing boots by
 * it, but what runs can be ended, and no other container is the worse for it. */
static void read_slot(const struct store_row *row, struct slot *slot)
{
    if (slot_fill(slot, octets_copy(&row->config)) < 0)
        (void)fprintf(stderr,
                      "drover-agent: node.db: the configuration of %s cannot be read; it will not "
                      "start before node.db is restored from a copy\n",
                      row->name);
    slot->is_ready_unknown = (row->late_keys & SETTING_BIT(SETTING_READY)) != 0;
    slot->revision = row->revision;
    slot->uid_base = row->uid_base;
    slot->family = row->family;
    slot->is_ready_on_exec = row->is_ready_on_exec;
    slot->generation = row->generation;
    slot->oom_kills = row->oom_kills; /* what came since is told when it is watched again */
}

/* Its keeper died with the agent before us. */
static void adopt_orphan(struct agent *agent, uint32_t index, const struct ct_found *found)
{
    struct slot *slot = &agent->slots[index];

    slot->seen.is_booted = true;
    slot->seen.is_ready = found->is_ready;
    orphans_take(agent, index, found->pid); /* not: it ended since we looked, nobody saw how */
    (void)watch_start(agent, index);
    if (node_get(agent->node, index)->state == CT_BOOTING)
        readiness_start(agent, index);
}

/* -errno: nobody may be called dead for it. */
static int look_for_inits(struct adoption *adoption)
{
    int result = inits_read(&adoption->inits, &adoption->agent->cgroups);

    if (result < 0)
        fault_set(adoption->fault, STATUS_FAILED, -result, "cannot see in /proc which guests run");
    return result;
}

static const struct kw_labels *find_label(const struct agent *agent, const struct leaf *leaf)
{
    for (const struct held_record *held = agent->held; held != NULL; held = held->next)
        if (held->record.labels.generation == leaf->generation && !held->is_used &&
            strncmp(held->record.labels.name, leaf->name, NAME_BYTES) == 0)
            return &held->record.labels;
    return NULL;
}

/* Somebody else's, though its group has this name: by the keeper's label, else by what it was told
 * at its boot. Where neither says anything the name counts. */
static bool is_of_another(struct agent *agent, const struct store_row *row, const struct leaf *leaf,
                          pid_t pid)
{
    const struct kw_labels *label = find_label(agent, leaf);
    uint8_t uuid[UUID_BYTES];

    if (label != NULL)
        return memcmp(label->uuid, row->uuid, UUID_BYTES) != 0;
    return inits_read_uuid(pid, uuid) && memcmp(uuid, row->uuid, UUID_BYTES) != 0;
}

/* A later generation than the row's that no keeper can tell of: only what lives counts, as a start
 * that was cut off leaves an empty one. */
static int look_for_later(struct adoption *adoption, struct adopt_facts *facts)
{
    const struct leaf *leaf = leaves_find_highest(&adoption->leaves, facts->row->name);
    char name[CGROUP_LEAF_BYTES];

    facts->spent = leaf == NULL ? 0 : leaf->generation;
    if (leaf == NULL || leaf->generation <= adopt_generation(facts))
        return 0;
    int result = look_for_inits(adoption);
    if (result < 0)
        return result;
    cgroup_leaf(leaf->name, leaf->generation, name);
    pid_t pid = inits_find(&adoption->inits, name);
    if (pid == 0 || is_of_another(adoption->agent, facts->row, leaf, pid) ||
        !inits_has_executed(pid)) /* settle_leaves() ends it */
        return 0;
    facts->pid = pid;
    facts->pid_generation = leaf->generation;
    facts->record = NULL;
    return 0;
}

/* What its cgroup shows, and commands inside it that nobody waits for. */
static int look_at_cgroup(struct adoption *adoption, struct slot *slot, struct adopt_facts *facts)
{
    struct cgroups *cgroups = &adoption->agent->cgroups;
    uint64_t now_ns = clock_monotonic_ns();
    bool is_populated = false;
    bool is_frozen;
    struct fault fault = {0};
    char leaf[CGROUP_LEAF_BYTES];

    struct leaf own = {.generation = slot->generation};
    memcpy(own.name, facts->row->name, NAME_BYTES);
    cgroup_leaf(facts->row->name, slot->generation, leaf);
    if (slot->generation != 0)
        slot->has_cgroup = cgroup_adopt(cgroups, leaf, &slot->cgroup, &fault) == 0;
    if (!slot->has_cgroup)
        return 0;
    (void)cgroup_read_events(&slot->cgroup, &is_populated, &is_frozen);
    facts->is_frozen = cgroup_is_freeze_asked(&slot->cgroup);
    if (facts->pid == 0 && facts->record == NULL && is_populated) {
        int result = look_for_inits(adoption);
        pid_t pid = result < 0 ? 0 : inits_find(&adoption->inits, leaf);

        if (result < 0)
            return result;
        slot->is_leaf_taken = pid != 0 && is_of_another(adoption->agent, facts->row, &own, pid);
        if (slot->is_leaf_taken) { /* node.db was put back, and the name and number given since */
            cgroup_close(&slot->cgroup);
            slot->has_cgroup = facts->is_frozen = false;
            return 0;
        }
        if (adopt_must_look(facts->row, facts->record, slot->has_cgroup))
            facts->pid = pid;
    }
    facts->oom_kills = cgroup_read_oom_kills(&slot->cgroup);
    facts->is_init_dying = look_is_dying(facts->record != NULL ? facts->record->pid : facts->pid);
    if (cgroup_exec_sweep(&slot->cgroup, now_ns) > 0)
        slot->stale_below = now_ns;
    return 0;
}

static void note_spent(const struct agent *agent, struct adopt_facts *facts)
{
    for (const struct held_record *held = agent->held; held != NULL; held = held->next)
        adopt_note_spent(facts, &held->record);
}

static void take_up(struct agent *agent, struct slot *slot, struct adopt_facts *facts,
                    struct held_record *held)
{
    struct now now = {clock_monotonic_ns(), clock_wall_ns()};
    struct ct_found found;
    struct fault failure = {0};

    if (facts->record != NULL && facts->record->phase == KW_PHASE_FAILED) {
        keeper_records_fault(slot, facts->record, &failure);
        facts->failure = &failure;
    }
    adopt_find(facts, &now, &found);
    uint32_t index = node_adopt(agent->node, &found, &now, &agent->core.out);
    agent->slots[index] = *slot;
    if (facts->record != NULL)
        fill_slot(agent, index, held);
    else if (found.is_live)
        adopt_orphan(agent, index, &found);
    turn_finish(agent, &now);
}

static bool on_row(const struct store_row *row, void *context)
{
    struct adoption *adoption = context;
    struct agent *agent = adoption->agent;
    struct held_record *held = find_held(agent, row);
    struct slot slot = {.pty = -1, .output = -1};
    struct adopt_facts facts = {
        .row = row,
        .command_hash = hash_of(agent, row),
        .command_origin = ORIGIN_UPSTREAM,
        .is_other_boot = adoption->is_other_boot,
        .record = held == NULL ? NULL : &held->record,
    };

    read_slot(row, &slot);
    adoption->result = look_for_later(adoption, &facts);
    note_spent(agent, &facts);
    slot.generation = adopt_generation(&facts);
    bool is_later = slot.generation > row->generation;
    if (is_later || (held != NULL && row->state == CT_PREPARING))
        plan_again(agent, row, &slot);
    facts.policy = config_policy(&slot.view);
    facts.is_ready_on_exec = slot.is_ready_on_exec;
    if (is_later)
        slot.oom_kills = 0;
    if (adoption->result == 0)
        adoption->result = look_at_cgroup(adoption, &slot, &facts);
    if (adoption->result < 0) {
        slot_empty(&slot);
        return false;
    }
    take_up(agent, &slot, &facts, held);
    boundary(adopted_row);
    return true;
}

static bool on_result(const struct store_result *stored, void *context)
{
    struct agent *agent = context;
    struct result *result = results_add(&agent->results, stored->request, stored->command_hash);

    if (result == NULL)
        return false;
    result_fill(result, stored);
    (void)result_listen(result, ORIGIN_UPSTREAM);
    return true;
}

/* Receipts of what was finished long ago name their container again by its slot. */
static void link_results(struct agent *agent)
{
    for (uint32_t i = 0; i < agent->results.high; i++) {
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

static void close_intents(struct agent *agent)
{
    const struct now now = {clock_monotonic_ns(), clock_wall_ns()};

    while (turn_core_close_intents(&agent->core, &now))
        turn_finish(agent, &now);
}

/* ---- leftovers ---- */

/* What is empty goes; what lives and is not known is shown to people, not ended. */
static int settle_leaves(struct adoption *adoption)
{
    struct agent *agent = adoption->agent;

    for (size_t i = 0; i < adoption->leaves.count; i++) {
        const struct leaf *leaf = &adoption->leaves.list[i];
        struct fault fault = {0};
        char name[CGROUP_LEAF_BYTES];

        cgroup_leaf(leaf->name, leaf->generation, name);
        if (!adopt_keeps_leaf(agent->node, name) &&
            cgroup_remove(&agent->cgroups, name, &fault) == -EBUSY) {
            int result = look_for_inits(adoption);

            if (result < 0)
                return result;
            pid_t pid = inits_find(&adoption->inits, name);
            if (!inits_end_stage(&agent->cgroups, name, pid))
                strays_add(agent, name, find_label(agent, leaf), pid);
        }
        boundary(adopted_leaf);
    }
    return 0;
}

/* What the keeper holds and no row claims: ends are forgotten, the living are strays. */
static void settle_unclaimed(struct agent *agent)
{
    for (const struct held_record *held = agent->held; held != NULL; held = held->next)
        if (!held->is_used && record_is_final(&held->record))
            keeper_client_ack(&agent->keeper, held->record.launch, held->record.labels.generation,
                              held->record.change);
}

void adopt_on_committed(struct agent *agent)
{
    if (agent->adopted_unsaved > 0 && --agent->adopted_unsaved == 0 && agent->is_adopted)
        note_boot(agent);
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

/* Who comes up with the node comes up after those that it depends on. */
static void order_boot(struct agent *agent)
{
    for (uint32_t i = 0; node_next(agent->node, &i); i++)
        for (size_t at = 0; at < agent->slots[i].view.depend_count; at++)
            node_boot_after(agent->node, i, agent->slots[i].view.depends[at]);
    if (agent->options->boot_parallel != 0)
        node_set_boot_parallel(agent->node, agent->options->boot_parallel);
}

int adopt_all(struct agent *agent, struct fault *fault)
{
    struct adoption adoption = {
        .agent = agent, .is_other_boot = is_other_boot(agent), .fault = fault};
    int result = keeper_client_sync(&agent->keeper, fault);

    boundary(keeper_synced);
    if (result == 0 && !agent->keeper.is_started_now)
        result = keeper_upgrade(agent, fault);
    if (result == 0)
        result = store_read_results(agent->store, on_result, agent);
    if (result == 0)
        result = leaves_read(&adoption.leaves, &agent->cgroups);
    if (result == 0)
        result = store_read_rows(agent->store, on_row, &adoption);
    if (result == 0)
        result = adoption.result;
    if (result == 0)
        result = settle_leaves(&adoption);
    inits_close(&adoption.inits);
    leaves_close(&adoption.leaves);
    if (result < 0)
        return result;
    order_boot(agent);
    link_results(agent);
    close_intents(agent);
    settle_unclaimed(agent);
    adopt_drop_held(agent);
    agent->is_adopted = true;
    if (agent->adopted_unsaved == 0)
        note_boot(agent);
    boundary(adopted_all);
    return 0;
}
