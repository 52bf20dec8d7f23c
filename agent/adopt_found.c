/* SPDX-License-Identifier: Apache-2.0 */
#include "adopt_found.h"

#include <stdlib.h>
#include <string.h>

#include "hold.h"

bool adopt_is_of(const struct kw_record *record, const struct store_row *row)
{
    if (memcmp(record->labels.uuid, row->uuid, UUID_BYTES) != 0 ||
        record->labels.generation < row->generation)
        return false;
    return record->labels.generation == row->generation || !hold_was_never_told(record);
}

void adopt_note_spent(struct adopt_facts *facts, const struct kw_record *record)
{
    if (memcmp(record->labels.uuid, facts->row->uuid, UUID_BYTES) == 0 &&
        record->labels.generation > facts->spent)
        facts->spent = record->labels.generation;
}

bool adopt_must_look(const struct store_row *row, const struct kw_record *record, bool has_cgroup)
{
    return record == NULL && has_cgroup && ct_state_has_init(row->state) &&
           row->cause == CAUSE_UNSET;
}

static void fill_from_row(const struct adopt_facts *facts, struct ct_found *found)
{
    const struct store_row *row = facts->row;

    *found = (struct ct_found){
        .policy = facts->policy,
        .revision = row->revision,
        .late_keys = row->late_keys,
        .state = row->state,
        .generation = row->generation,
        .spent = facts->spent,
        .is_wanted = row->is_wanted_running,
        .is_restart_owed = row->is_restart_owed,
        .boot = row->boot,
        .created_wall_ns = row->created_wall_ns,
        .started_wall_ns = row->started_wall_ns,
        .ended_wall_ns = row->ended_wall_ns,
        .cause = row->cause,
        .has_status = row->has_status,
        .wait_status = row->wait_status,
        .has_command = row->request[0] != '\0',
        .is_node_down = facts->is_other_boot,
        .is_ready_on_exec = facts->is_ready_on_exec,
        .is_frozen = facts->is_frozen,
        .oom_kills = row->oom_kills,
        .is_oom_seen = facts->oom_kills > row->oom_kills,
        .is_init_oom = facts->oom_kills > 0 && facts->is_init_dying,
    };
    memcpy(found->uuid, row->uuid, UUID_BYTES);
    memcpy(found->name, row->name, NAME_BYTES);
    memcpy(found->command.request, row->request, REQUEST_ID_BYTES);
    memcpy(found->command.container, row->name, NAME_BYTES);
    found->command.verb = row->request_verb;
    found->command.origin = facts->command_origin;
    found->command.hash = facts->command_hash;
    found->command.wait = WAIT_FOR_READY;
}

/* Of one that was taken over nobody is left who heard it: its row says that it was waited for. */
static bool is_ready_by_row(const struct adopt_facts *facts)
{
    return facts->row->state != CT_BOOTING;
}

static void fill_from_keeper(const struct adopt_facts *facts, const struct now *now,
                             struct ct_found *found)
{
    const struct kw_record *record = facts->record;

    found->pid = record->pid;
    found->is_boot_unseen = record->is_adopted != 0;
    found->is_ready = record->is_ready != 0 || (record->is_adopted != 0 && is_ready_by_row(facts));
    found->booted_ns = record->exec_ns;
    found->is_live = record->phase == KW_PHASE_BOOTED;
    found->is_launching = record->phase == KW_PHASE_STAGING || record->phase == KW_PHASE_STAGED;
    found->is_staged = record->phase == KW_PHASE_BOOTED || record->phase == KW_PHASE_ENDED;
    found->has_ended = record->phase == KW_PHASE_ENDED || record->phase == KW_PHASE_FAILED;
    if (found->is_staged && record->exec_ns != 0)
        found->started_wall_ns = now->wall_ns - (now->ns - record->exec_ns);
    found->ended.at_ns = record->ended_ns;
    found->ended.at_wall_ns = record->ended_wall_ns;
    found->ended.has_status = record->phase == KW_PHASE_ENDED && record->is_status_known != 0;
    found->ended.wait_status = record->wait_status;
    if (record->phase == KW_PHASE_FAILED && facts->failure != NULL)
        found->ended.fault = *facts->failure;
}

uint64_t adopt_generation(const struct adopt_facts *facts)
{
    uint64_t generation = facts->row->generation;

    if (facts->record != NULL && facts->record->labels.generation > generation)
        generation = facts->record->labels.generation;
    if (facts->pid != 0 && facts->pid_generation > generation)
        generation = facts->pid_generation;
    return generation;
}

/* It is that container all the same, or a start would make a second init of its root (I1). Its
 * moves are told as if it had just been launched; of a command that the row knows and the launch
 * does not nobody can say what became. */
static void outgrow_row(const struct adopt_facts *facts, const struct now *now,
                        struct ct_found *found)
{
    const struct kw_record *record = facts->record;

    found->generation = adopt_generation(facts);
    found->is_outgrown = true;
    found->outgrown = found->state;
    found->state = CT_LAUNCHING;
    found->cause = CAUSE_UNSET;
    found->has_status = false;
    found->is_wanted = true;
    found->is_restart_owed = false;
    found->oom_kills = 0;
    found->is_oom_seen = facts->oom_kills > 0;
    found->is_command_lost =
        record == NULL || strcmp(record->labels.request, facts->row->request) != 0;
    if (record != NULL)
        return;
    found->is_staged = found->is_ready = true;
    found->booted_ns = now->ns;
    found->started_wall_ns = now->wall_ns; /* nobody is left who knows better */
}

void adopt_find(const struct adopt_facts *facts, const struct now *now, struct ct_found *ret_found)
{
    fill_from_row(facts, ret_found);
    if (facts->record != NULL) {
        fill_from_keeper(facts, now, ret_found);
    } else if (facts->pid != 0) {
        ret_found->pid = facts->pid;
        ret_found->is_live = ret_found->is_boot_unseen = true;
        ret_found->is_ready = is_ready_by_row(facts);
    }
    if (adopt_generation(facts) > facts->row->generation)
        outgrow_row(facts, now, ret_found);
}

bool adopt_is_its_init(bool has_pidfd, bool is_in_cgroup)
{
    return has_pidfd && is_in_cgroup;
}

bool adopt_keeps_leaf(const struct node *node, const char *leaf)
{
    char name[NAME_BYTES];
    const char *dot = strrchr(leaf, '.');

    if (dot == NULL)
        return true; /* the keeper's own, or nobody's of ours */
    size_t length = (size_t)(dot - leaf);
    if (length >= sizeof(name))
        return false; /* no container's name is so long */
    memcpy(name, leaf, length);
    name[length] = '\0';
    const struct ct *ct = node_find(node, name);
    return ct != NULL && ct->generation == strtoull(dot + 1, NULL, 10) && ct->state != CT_STOPPED;
}

bool adopt_is_at_keeper(const struct ct *ct)
{
    return ct->is_open && ct->state != CT_PREPARING;
}

void adopt_lose(const struct ct *ct, struct observation *ret_seen)
{
    *ret_seen = (struct observation){.kind = ct->has_init ? IN_ENDED : IN_LAUNCH_FAILED,
                                     .ct = ct->index,
                                     .generation = ct->generation};
    if (!ct->has_init)
        fault_set(&ret_seen->fault, STATUS_INTERRUPTED, 0, "%s: the keeper ended during its start",
                  ct->name);
}
