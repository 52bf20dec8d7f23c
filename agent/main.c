/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drover-agent: the agent of one node.
 *
 * Reading order: main, agent (the turn), requests, effects, keeper_records, adopt; then streams,
 * upstream, publisher. What is decided is in core/model; the keeper is agent/keeper.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "agent.h"

static struct agent agent;
static struct options options;

static int complain(const struct fault *fault)
{
    (void)fprintf(stderr, "drover-agent: %s%s%s\n", fault->text, fault->error != 0 ? ": " : "",
                  fault->error != 0 ? strerror(fault->error) : "");
    if (fault->hint[0] != '\0')
        (void)fprintf(stderr, "  %s\n", fault->hint);
    return status_exit_code(fault->status);
}

/* Each container holds a dozen descriptors here. */
static void raise_nofile(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct fault fault = {0};

    if (options_read(&options, argc, argv, &fault) < 0)
        return complain(&fault);
    if (options.is_help) {
        options_print_help();
        return 0;
    }
    if (options.is_version) {
        (void)puts("drover-agent " DROVER_VERSION);
        return 0;
    }
    (void)prctl(PR_SET_NAME, "drover-agent");
    raise_nofile();
    if (sodium_init() < 0)
        return 1;
    if (agent_open(&agent, &options, &fault) < 0)
        return complain(&fault);
    agent_run(&agent);
    agent_close(&agent);
    return 0;
}
