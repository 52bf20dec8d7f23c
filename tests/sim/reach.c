/* SPDX-License-Identifier: Apache-2.0 */
#include "reach.h"

#include <inttypes.h>
#include <string.h>

#include "checks_commands.h"
#include "checks_moves.h"
#include "node_parts.h"

static struct reach reached;
static struct sim *present; /* for those who call into the model know of none */

void reach_open(struct sim *sim)
{
    present = sim;
}

struct reach *reach_table(void)
{
    return &reached;
}

void reach_fault(enum fault_kind kind, enum ct_state state)
{
    reached.faults[kind][state]++;
}

/* ---- between node and container ---- */

enum verdict __real_ct_step(struct ct *ct, const struct observation *observation,
                            const struct now *now, struct out *out);
enum verdict __wrap_ct_step(struct ct *ct, const struct observation *observation,
                            const struct now *now, struct out *out);
void __real_node_command(struct node *node, const struct ct_command *command, const struct now *now,
                         struct out *out);
void __wrap_node_command(struct node *node, const struct ct_command *command, const struct now *now,
                         struct out *out);

enum verdict __wrap_ct_step(struct ct *ct, const struct observation *observation,
                            const struct now *now, struct out *out)
{
    size_t effects = out->effect_count;
    const struct heard heard = {.observation = observation,
                                .state = ct->state,
                                .revision = ct->revision,
                                .has_set = ct->has_set};

    reached.cells[ct->state][observation->kind]++;
    enum verdict verdict = __real_ct_step(ct, observation, now, out);
    checks_stepped(present, ct, effects, out);
    checks_heard(present, &heard, ct, effects, out);
    return verdict;
}

/* Commands that a state refuses, or that are fulfilled already, never come to ct_step(). */
void __wrap_node_command(struct node *node, const struct ct_command *command, const struct now *now,
                         struct out *out)
{
    static const enum ct_input inputs[VERB_COUNT] = {
        [VERB_START] = IN_START,     [VERB_STOP] = IN_STOP,     [VERB_KILL] = IN_KILL,
        [VERB_REBOOT] = IN_REBOOT,   [VERB_FREEZE] = IN_FREEZE, [VERB_THAW] = IN_THAW,
        [VERB_DESTROY] = IN_DESTROY, [VERB_SET] = IN_SET_LIMITS};
    const struct ct *ct = node_find(node, command->container);
    enum ct_state state = ct == NULL ? CT_UNSET : ct->state;
    bool is_known = ct != NULL && (ct->is_announced || ct->has_command);
    bool is_removing = ct != NULL && ct->awaited == EFFECT_REMOVE;
    bool is_awaiting = ct != NULL && ct->awaited != EFFECT_UNSET;
    bool is_bound = ct != NULL && ct->is_open && !ct->is_queued;
    uint64_t late_keys = ct != NULL ? ct->late_keys : 0;
    size_t effects = out->effect_count;
    size_t before = out->receipt_count;

    __real_node_command(node, command, now, out);
    struct answered answered = {.command = command,
                                .ct = ct,
                                .state = state,
                                .is_removing = is_removing,
                                .is_bound = is_bound,
                                .late_keys = late_keys,
                                .is_awaiting = is_awaiting};
    if (is_known)
        checks_answered(present, &answered, before, effects, out);
    if (!is_known || inputs[command->verb] == IN_UNSET || out->receipt_count == before)
        return;
    const struct ct_receipt *receipt = &out->receipts[before];
    if (command->verb == VERB_SET &&
        (receipt->phase != PHASE_FAILED || receipt->at_next_start != 0))
        return; /* answered before any cell was looked at */
    if (command->verb == VERB_SET && command->set.when == SET_RESTART &&
        command->set.stop_keys != 0) {
        reached.cells[state][IN_SET_RESTART] += receipt->fault.status == STATUS_WRONG_STATE;
        return;
    }
    if (receipt->phase == PHASE_UNCHANGED ||
        (receipt->phase == PHASE_FAILED && receipt->fault.status == STATUS_WRONG_STATE))
        reached.cells[state][inputs[command->verb]]++;
}

/* ---- what came of it ---- */

void reach_add(struct reach *to, const struct reach *more)
{
    const uint64_t *from = (const uint64_t *)more;
    uint64_t *sum = (uint64_t *)to;

    for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
        sum[i] += from[i];
}

void reach_count(const struct reach *reach, unsigned *ret_reached, unsigned *ret_cells)
{
    *ret_reached = *ret_cells = 0;
    for (unsigned state = 0; state < CT_STATE_COUNT; state++)
        for (unsigned input = 0; input < CT_INPUT_COUNT; input++) {
            if (ct_rules[state][input].verdict == VERDICT_BUG)
                continue;
            (*ret_cells)++;
            *ret_reached += reach->cells[state][input] > 0;
        }
}

void reach_tell(FILE *stream, uint64_t seed, unsigned most)
{
    static uint64_t before[CT_STATE_COUNT][CT_INPUT_COUNT];
    static unsigned told[CT_STATE_COUNT][CT_INPUT_COUNT];

    for (unsigned state = 0; state < CT_STATE_COUNT; state++)
        for (unsigned input = 0; input < CT_INPUT_COUNT; input++) {
            bool is_new = reached.cells[state][input] != before[state][input];

            before[state][input] = reached.cells[state][input];
            if (is_new && told[state][input]++ < most)
                (void)fprintf(stream, "reached %s,%s %" PRIu64 "\n", ct_state_name(state),
                              ct_input_name(input), seed);
        }
}

static void print_cells(const struct reach *reach, FILE *stream)
{
    (void)fprintf(stream, "%-16s", "input");
    for (unsigned state = 0; state < CT_STATE_COUNT; state++)
        (void)fprintf(stream, " %9s", state == CT_UNSET ? "(made)" : ct_state_name(state));
    for (unsigned input = 1; input < CT_INPUT_COUNT; input++) {
        (void)fprintf(stream, "\n%-16s", ct_input_name(input));
        for (unsigned state = 0; state < CT_STATE_COUNT; state++) {
            if (ct_rules[state][input].verdict == VERDICT_BUG)
                (void)fprintf(stream, " %9s", "BUG");
            else
                (void)fprintf(stream, " %9" PRIu64, reach->cells[state][input]);
        }
    }
    (void)fputc('\n', stream);
}

void reach_print(const struct reach *reach, FILE *stream)
{
    print_cells(reach, stream);
    (void)fprintf(stream, "%-16s", "fault");
    for (unsigned state = 0; state < CT_STATE_COUNT; state++)
        (void)fprintf(stream, " %9s", state == CT_UNSET ? "all" : ct_state_name(state));
    for (unsigned kind = 0; kind < FAULT_COUNT; kind++) {
        (void)fprintf(stream, "\n%-16s", fault_kind_name(kind));
        for (unsigned state = 0; state < CT_STATE_COUNT; state++)
            (void)fprintf(stream, " %9" PRIu64, reach->faults[kind][state]);
    }
    (void)fputc('\n', stream);
    for (unsigned state = 0; state < CT_STATE_COUNT; state++)
        for (unsigned input = 1; input < CT_INPUT_COUNT; input++)
            if (ct_rules[state][input].verdict != VERDICT_BUG && reach->cells[state][input] == 0)
                (void)fprintf(stream, "never reached: (%s, %s)\n",
                              state == CT_UNSET ? "being made" : ct_state_name(state),
                              ct_input_name(input));
}
