/* SPDX-License-Identifier: Apache-2.0 */
#include "cause.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "ensure.h"

static const char *const cause_names[CAUSE_COUNT] = {
#define CAUSE_NAME(upper, lower) [CAUSE_##upper] = #lower,
    CAUSE_LIST(CAUSE_NAME)
#undef CAUSE_NAME
};

const char *cause_name(enum cause cause)
{
    ENSURE((unsigned)cause < CAUSE_COUNT);
    return cause_names[cause];
}

enum cause cause_find(const char *name)
{
    for (unsigned i = 0; i < CAUSE_COUNT; i++)
        if (strcmp(cause_names[i], name) == 0)
            return (enum cause)i;
    return CAUSE_UNSET;
}

/* Nobody of ours asked for this end: the guest's own doing, or its fate. */
static enum cause cause_of_guest(const struct ending *ending)
{
    if (!ending->is_status_known)
        return CAUSE_UNKNOWN;
    if (WIFEXITED(ending->wait_status))
        return CAUSE_EXITED;
    if (!WIFSIGNALED(ending->wait_status))
        return CAUSE_UNKNOWN;

    int signal = WTERMSIG(ending->wait_status);
    if (signal == SIGHUP)
        return ending->is_reboot_allowed ? CAUSE_GUEST_REBOOT : CAUSE_REBOOT_DENIED;
    if (signal == SIGINT)
        return CAUSE_GUEST_HALT;
    if (signal == SIGKILL && ending->is_oom_kill_seen && !ending->is_killed_by_us)
        return CAUSE_OOM;
    return CAUSE_SIGNALLED;
}

enum cause cause_decide(const struct ending *ending)
{
    ENSURE((unsigned)ending->order < ORDER_COUNT);

    switch (ending->order) {
    case ORDER_NONE:
        return cause_of_guest(ending);
    case ORDER_STOP:
        /* Within its grace, whatever the guest made of the request: a reboot never beats a stop. */
        return ending->is_killed_by_us ? CAUSE_OPERATOR_KILL : CAUSE_OPERATOR_STOP;
    case ORDER_KILL:
        return CAUSE_OPERATOR_KILL;
    case ORDER_REBOOT:
        return CAUSE_OPERATOR_REBOOT;
    case ORDER_BOOT_TIMEOUT:
        return CAUSE_BOOT_TIMEOUT;
    case ORDER_LEASE:
        return CAUSE_LEASE_LOST;
    case ORDER_COUNT:
        break;
    }
    ENSURE(false);
    return CAUSE_UNKNOWN;
}
