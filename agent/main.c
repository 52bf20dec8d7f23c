/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drover-agent: the agent of one node.
 *
 * Reading order: main, agent (the turn), requests, effects, keeper_records, adopt; then streams,
 * upstream, publisher. What is decided is in core/model; the keeper is agent/keeper.
 */
#include <sodium.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "agent.h"
#include "daemon.h"

static struct agent agent;
static struct options options;

int main(int argc, char **argv)
{
    struct fault fault = {0};

    if (options_read(&options, argc, argv, &fault) < 0)
        return daemon_complain("drover-agent", &fault);
    if (options.is_help) {
        options_print_help();
        return 0;
    }
    if (options.is_version) {
        (void)puts("drover-agent " DROVER_VERSION);
        return 0;
    }
    (void)prctl(PR_SET_NAME, "drover-agent");
    (void)umask(022); /* guests look through the cgroups that we make */
    daemon_return_memory();
    daemon_raise_nofile(); /* each container holds a dozen */
    if (sodium_init() < 0)
        return 1;
    if (agent_open(&agent, &options, &fault) < 0)
        return daemon_complain("drover-agent", &fault);
    agent_run(&agent);
    agent_close(&agent);
    return 0;
}
