/* SPDX-License-Identifier: Apache-2.0 */
#include "operators.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "faults.h"
#include "node_life.h"
#include "upstream.h"

#define ASK_AGAIN_NS (2 * SECOND_NS)

void operators_open(struct sim *sim)
{
    memset(sim->operators, 0, sizeof(*sim->operators));
}

struct demand *operators_find(struct sim *sim, const char *request)
{
    unsigned long long number = 0;

    if (sscanf(request, "r%llu", &number) != 1 || number >= sim->operators->count ||
        number + ASKED_MAX < sim->operators->count)
        return NULL;
    return &sim->operators->asked[number % ASKED_MAX];
}

/* ---- a command, whole, from what is remembered of it ---- */

/* Now and then what is so already, and now and then upon what it was long ago. */
static void fill_set(struct prng *lot, struct command *command, struct config *config)
{
    static const struct setting settings[] = {{.key = SETTING_MEMORY, .removed = ""},
                                              {.key = SETTING_INIT, .removed = ""},
                                              {.key = SETTING_RESTART, .removed = ""},
                                              {.key = SETTING_STOP_GRACE, .removed = ""}};
    static const char *const inits[] = {"/sbin/init", "/bin/init", ""};
    bool is_live = prng_below(lot, 2) == 0; /* memory alone, which needs no stop */
    size_t from = is_live ? 0 : prng_below(lot, 4);

    config->memory_max_bytes = (1 + prng_below(lot, 4)) << 20;
    config->init = inits[prng_below(lot, 3)];
    command->config = config;
    command->settings = settings + from;
    command->setting_count = is_live ? 1 : 1 + prng_below(lot, 4 - (uint32_t)from);
    command->set_when = (enum set_when)prng_below(lot, SET_WHEN_COUNT);
    command->base_revision = prng_below(lot, 10) == 0 ? 1 + prng_below(lot, 3) : 0;
}

static void fill(const struct demand *asked, struct command *command, struct config *config,
                 char *name)
{
    static const char *const depends[NAMES_MAX] = {"c0", "c1", "c2", "c3", "c4",  "c5",
                                                   "c6", "c7", "c8", "c9", "c10", "c11"};
    struct prng lot = {asked->lot};

    (void)snprintf(name, NAME_BYTES, "c%" PRIu32, asked->name);
    *config = (struct config){.template_name = "t",
                              .root = "",
                              .memory_max_bytes = LIMIT_NONE,
                              .swap_max_bytes = LIMIT_NONE,
                              .pids_max = LIMIT_NONE,
                              .cpu_weight = 100,
                              .init = "",
                              .ready_text = "",
                              .is_ready_kept = asked->lot % 4 == 0,
                              .ready = READY_AUTO,
                              .on_node_lost = NODE_LOST_REPORT,
                              .is_privileged = true};
    config->restart = (enum restart_on)(RESTART_NEVER + prng_below(&lot, 3));
    config->is_reboot_denied = prng_below(&lot, 10) == 0;
    config->autostart = (enum autostart)prng_below(&lot, AUTOSTART_COUNT);
    if (config->autostart == AUTOSTART_DISABLED && prng_below(&lot, 3) != 0)
        config->autostart = AUTOSTART_YES;
    config->order = (uint32_t)prng_below(&lot, 3);
    config->depends = depends + prng_below(&lot, NAMES_MAX);
    config->depend_count = prng_below(&lot, 2);
    config->stop_grace_ns = prng_below(&lot, 2) == 0 ? 10 * SECOND_NS : 0;
    *command = (struct command){
        .request_id = asked->request,
        .node = "",
        .container = name,
        .verb = asked->verb,
        .wait = prng_below(&lot, 3) == 0 ? WAIT_FOR_EXEC : WAIT_FOR_READY,
        .is_started = prng_below(&lot, 3) != 0,
        .is_forced = prng_below(&lot, 5) < 2,
        .is_for_shutdown = (asked->lot & 0x700) == 0,
        .grace_ns = prng_below(&lot, 2) == 0 ? (1 + prng_below(&lot, 20)) * SECOND_NS : 0};
    if (asked->verb == VERB_CREATE)
        command->config = config;
    if (asked->verb == VERB_SET)
        fill_set(&lot, command, config);
}

enum wait_for operators_wait(const struct demand *asked)
{
    struct command command;
    struct config config;
    char name[NAME_BYTES];

    fill(asked, &command, &config, name);
    return command.wait;
}

static void ask(struct sim *sim, struct demand *asked)
{
    struct command command;
    struct config config;
    char name[NAME_BYTES];

    asked->asked_ns = sim->now.ns;
    fill(asked, &command, &config, name);
    sim_trace(sim, "  %s %s %s%s", asked->request, verb_name(asked->verb), name,
              asked->is_local ? "" : " (through the controller)");
    if (!asked->is_local)
        (void)ctl_command(sim, &command);
    else if (sim->agent->is_alive)
        requests_take(sim, ORIGIN_LOCAL, &command);
}

/* ---- what they do ---- */

/* Mostly anybody; now and then one that is on its way somewhere, whose state does not last. */
static uint32_t draw_name(struct sim *sim)
{
    uint32_t name = (uint32_t)sim_below(sim, NAMES_MAX);
    uint32_t from = (uint32_t)sim_below(sim, AGENT_SLOTS_MAX);
    const struct node *node = sim->agent->node;

    if (!sim->agent->is_alive || !sim_chance(sim, 300))
        return name;
    for (uint32_t i = 0; i < AGENT_SLOTS_MAX; i++) {
        const struct ct *ct = node_get(node, (from + i) % AGENT_SLOTS_MAX);

        if (ct->is_used && ct->state != CT_STOPPED && ct->state != CT_RUNNING &&
            sscanf(ct->name, "c%" SCNu32, &name) == 1)
            break;
    }
    return name;
}

static void ask_new(struct sim *sim)
{
    static const enum verb verbs[] = {VERB_START, VERB_START,   VERB_START,  VERB_STOP,
                                      VERB_STOP,  VERB_KILL,    VERB_REBOOT, VERB_FREEZE,
                                      VERB_THAW,  VERB_DESTROY, VERB_CREATE, VERB_CREATE,
                                      VERB_SET,   VERB_SET,     VERB_SET,    VERB_SET};
    struct operators *operators = sim->operators;
    struct demand *asked = &operators->asked[operators->count % ASKED_MAX];
    bool is_first = operators->count < NAMES_MAX;

    *asked = (struct demand){
        .verb = is_first ? VERB_CREATE : verbs[sim_below(sim, sizeof(verbs) / sizeof(*verbs))],
        .name = is_first ? (uint32_t)operators->count : draw_name(sim),
        .lot = prng_next(&sim->prng)};
    (void)snprintf(asked->request, REQUEST_ID_BYTES, "r%" PRIu64, operators->count++);
    asked->is_local = !faults_has_controller(sim) || sim_chance(sim, 500);
    ask(sim, asked);
}

void operators_poke(struct sim *sim, const char *name)
{
    static const enum verb verbs[] = {VERB_START,   VERB_STOP, VERB_REBOOT, VERB_FREEZE, VERB_THAW,
                                      VERB_DESTROY, VERB_SET,  VERB_SET,    VERB_SET,    VERB_SET};

    if (sim_chance(sim, 500))
        operators_order(sim, name, verbs[sim_below(sim, sizeof(verbs) / sizeof(*verbs))]);
}

void operators_order(struct sim *sim, const char *name, enum verb verb)
{
    struct operators *operators = sim->operators;
    struct demand *asked = &operators->asked[operators->count % ASKED_MAX];

    *asked = (struct demand){.verb = verb, .lot = prng_next(&sim->prng), .is_local = true};
    if (sscanf(name, "c%" SCNu32, &asked->name) != 1)
        return;
    (void)snprintf(asked->request, REQUEST_ID_BYTES, "r%" PRIu64, operators->count++);
    ask(sim, asked);
}

static struct demand *pick(struct sim *sim)
{
    struct operators *operators = sim->operators;
    uint64_t kept = operators->count < 40 ? operators->count : 40;

    return &operators->asked[(operators->count - 1 - sim_below(sim, kept)) % ASKED_MAX];
}

/* The same id for something else: it is refused, and nothing is done. */
static void ask_reused(struct sim *sim)
{
    struct demand *asked = pick(sim);
    struct demand other = *asked;
    struct command command;
    struct config config;
    char name[NAME_BYTES];

    if (!asked->is_accepted || asked->is_reset || !sim->agent->is_alive)
        return;
    other.verb = other.verb == VERB_KILL ? VERB_STOP : VERB_KILL;
    fill(&other, &command, &config, name);
    faults_note(sim, FAULT_REUSED_ID);
    checks_expect_refusal(sim, asked->request);
    requests_take(sim, ORIGIN_LOCAL, &command);
    checks_expect_refusal(sim, NULL);
}

/* Those that have heard no end ask again, under the same id. */
static void ask_open(struct sim *sim)
{
    struct operators *operators = sim->operators;
    uint64_t from = operators->open_first;

    if (from + ASKED_MAX < operators->count)
        from = operators->open_first = operators->count - ASKED_MAX;
    for (uint64_t i = from; i < operators->count; i++) {
        struct demand *asked = &operators->asked[i % ASKED_MAX];

        if (asked->final != PHASE_UNSET) {
            if (i == operators->open_first)
                operators->open_first++;
            continue;
        }
        if (sim->now.ns - asked->asked_ns >= ASK_AGAIN_NS)
            ask(sim, asked);
    }
}

void operators_act(struct sim *sim)
{
    uint64_t lot = sim_below(sim, 100);

    ask_open(sim);
    if (sim->is_calm) {
        sim_after(sim, ASK_AGAIN_NS, HAPPENING_OPERATOR, 0, 0);
        return;
    }
    if (lot < 80 || sim->operators->count < NAMES_MAX) {
        ask_new(sim);
    } else if (lot < 92) {
        faults_note(sim, FAULT_REPEATED_ID);
        ask(sim, pick(sim));
    } else {
        ask_reused(sim);
    }
    if (sim_chance(sim, 600))
        sim_after(sim, sim_delay(sim, 50 * MS_NS), HAPPENING_FAULT, 0, 0);
    /* Now and then nobody asks for so long that every deadline has its turn. */
    uint64_t most_ns = sim_chance(sim, 80) ? 700 * SECOND_NS : 30 * SECOND_NS;
    bool is_quiet = sim_chance(sim, 15);
    sim_after(sim, is_quiet ? sim_between(sim, SECOND_NS, most_ns) : sim_delay(sim, 40 * MS_NS),
              HAPPENING_OPERATOR, 0, 0);
}

/* ---- what they hear ---- */

void operators_hear(struct sim *sim, const char *request, enum phase phase, enum status status)
{
    struct demand *asked = operators_find(sim, request);

    sim_trace(sim, "  %s hears phase %d, %s", request, phase, status_name(status));
    if (checks_is_refusal_expected(sim, request, phase, status) || asked == NULL)
        return;
    if (phase == PHASE_ACCEPTED) {
        asked->is_accepted = true;
        return;
    }
    /* Busy, full or not known (yet): a refusal is no result, and is asked for again. */
    bool is_result = asked->is_accepted || phase != PHASE_FAILED;
    if (asked->final != PHASE_UNSET && !asked->is_reset && is_result && !asked->is_refused &&
        (asked->final != phase || asked->status != status))
        sim_fail(sim, "I3", "%s ended with phase %d (%s), and then with %d (%s)", request,
                 asked->final, status_name(asked->status), phase, status_name(status));
    if (asked->final != PHASE_UNSET && !asked->is_refused && !is_result)
        return;
    asked->is_refused = !is_result;
    asked->final = phase;
    asked->status = status;
}

void operators_restored(struct sim *sim)
{
    for (uint64_t i = 0; i < ASKED_MAX; i++) {
        sim->operators->asked[i].is_reset = true;
        sim->operators->asked[i].has_intent = false;
    }
}

bool operators_are_content(struct sim *sim)
{
    const struct operators *operators = sim->operators;
    uint64_t from = operators->count < ASKED_MAX ? 0 : operators->count - ASKED_MAX;

    for (uint64_t i = from; i < operators->count; i++)
        if (operators->asked[i % ASKED_MAX].final == PHASE_UNSET)
            return false;
    return true;
}
