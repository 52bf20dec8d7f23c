/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "boundary.h"
#include "build_id.h"
#include "cleanup.h"
#include "clock.h"

#define UPGRADE_NS (10 * NS_PER_S) /* a table check of the keeper's own 5 s, and stages to end */

static bool is_same_build(const struct keeper_client *keeper, int binary)
{
    char text[BUILD_ID_BYTES];

    return strcmp(build_id_file(binary, text), keeper->build) == 0;
}

/* Stages whose agent died are being killed: the keeper refuses with EBUSY until they are reaped,
 * and tells the end of each in a record. */
static int ask(struct agent *agent, int binary, uint64_t end_ns, struct fault *fault)
{
    struct keeper_client *keeper = &agent->keeper;

    keeper->reexec = KEEPER_REEXEC_ASKED;
    struct kw_reexec record = {.roles = {KW_FD_BINARY}};
    int result = keeper_client_send(keeper, &record.header, KW_REEXEC, sizeof(record), &binary, 1);
    boundary(reexec_asked);
    while (result == 0 && keeper->reexec == KEEPER_REEXEC_ASKED) {
        uint64_t now_ns = clock_monotonic_ns();

        if (now_ns >= end_ns) {
            fault_set(fault, STATUS_TIMEOUT, 0, "the keeper does not answer to its replacement");
            return -ETIMEDOUT;
        }
        result = keeper_client_read(keeper, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
    }
    if (result < 0)
        fault_set(fault, STATUS_FAILED, -result, "the keeper went away when it was replaced");
    return result;
}

int keeper_upgrade(struct agent *agent, struct fault *fault)
{
    struct keeper_client *keeper = &agent->keeper;
    uint64_t end_ns = clock_monotonic_ns() + UPGRADE_NS;
    AUTO_FD binary = open(agent->options->keeper, O_RDONLY | O_CLOEXEC);

    if (binary < 0 || is_same_build(keeper, binary))
        return 0; /* the one that runs is all there is */
    int result = ask(agent, binary, end_ns, fault);
    while (result == 0 && keeper->reexec == KEEPER_REEXEC_REFUSED &&
           keeper->reexec_error == EBUSY && clock_monotonic_ns() < end_ns) {
        (void)keeper_client_read(keeper, 50); /* the record of a stage's end, as a rule */
        result = ask(agent, binary, end_ns, fault);
    }
    if (result < 0)
        return result;
    if (keeper->reexec == KEEPER_REEXEC_REFUSED) {
        (void)fprintf(stderr, "drover-agent: the keeper stays at its build: %s\n",
                      strerror(keeper->reexec_error));
        return 0;
    }
    boundary(reexec_done);
    adopt_drop_held(agent); /* the new build tells its table from the start */
    (void)fprintf(stderr, "drover-agent: the keeper is of this build now\n");
    result = keeper_client_greet(keeper, fault);
    return result < 0 ? result : keeper_client_sync(keeper, fault);
}
