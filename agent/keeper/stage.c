/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From clone to a guest's init. The order matters: groups before the cgroup namespace that they are
 * the root of; proc and sysfs while the keeper's are still there to allow it; the filter last.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"

/* What the agent configures the network with. */
struct handles {
    int fds[3]; /* netns, route netlink socket in it, mntns */
};

static int become_namesake(const struct kp_header *plan)
{
    const char *hostname = kp_string(plan, plan->hostname);
    if (hostname != NULL && sethostname(hostname, strlen(hostname)) < 0)
        return -errno;
    return 0;
}

static void enter_spaces(const struct stage *stage)
{
    const struct kp_header *plan = stage->plan;

    stage_check(stage, KW_STEP_CGROUP, stage_enter_groups(stage));
    (void)setsid(); /* fails only where we lead a group already */
    stage_check(stage, KW_STEP_IDS, ids_become_root());
    stage_check(stage, KW_STEP_NAMESPACES, unshare(CLONE_NEWCGROUP) < 0 ? -errno : 0);
    if ((plan->flags & KP_NEWNET) != 0)
        stage_check(stage, KW_STEP_NETWORK, stage_new_network());
    if ((plan->flags & KP_NEWTIME) != 0)
        stage_new_time();
    stage_check(stage, KW_STEP_NAMESPACES, become_namesake(plan));
}

static void build_root(const struct stage *stage, struct stage_root *root)
{
    const struct kp_header *plan = stage->plan;
    const struct kp_mount *mounts =
        (const struct kp_mount *)(const void *)((const char *)plan + plan->mounts);

    (void)umask(0); /* directories get the mode that the plan says */
    stage_check(stage, KW_STEP_ROOT, root_make(stage, root));
    for (uint32_t i = 0; i < plan->mount_count; i++) {
        int rc = mount_apply(stage, root, &mounts[i]);
        if (rc < 0)
            stage_fail(stage, KW_STEP_MOUNTS, -rc, (int)i);
    }
}

/* By our own /proc: the guest's is not to be trusted with this. */
static int open_handles(struct handles *handles)
{
    handles->fds[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    handles->fds[1] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    handles->fds[2] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < COUNT_OF(handles->fds); i++)
        if (handles->fds[i] < 0)
            return -errno;
    return 0;
}

static void close_handles(struct handles *handles)
{
    for (size_t i = 0; i < COUNT_OF(handles->fds); i++)
        fd_closep(&handles->fds[i]);
}

static void take_console(const struct stage *stage, const struct stage_root *root)
{
    int console = root->console >= 0 ? root->console : stage->slave;
    const int standard[3] = {console, console, console};
    stage_check(stage, KW_STEP_GO, stage_take_standard(standard, root->null));
    stage_keep_report(stage, stage->go);
}

static _Noreturn void try_candidates(const struct stage *stage, struct stage_program *program)
{
    const struct kp_header *plan = stage->plan;
    const uint32_t *candidates =
        (const uint32_t *)(const void *)((const char *)plan + plan->candidates);
    int error = ENOENT;

    if (plan->argv_count == 0)
        program->argv[1] = NULL;
    for (uint32_t i = 0; i < plan->candidate_count; i++) {
        const char *path = kp_string(plan, candidates[i]);
        program->argv[0] = path;
        error = exec_try(stage, program, path, (int)i);
    }
    stage_fail(stage, KW_STEP_EXEC, error, STAGE_NO_DETAIL);
}

_Noreturn void stage_launch(const struct stage *stage)
{
    const struct kp_header *plan = stage->plan;
    bool is_two_phase = (plan->flags & KP_GO_AT_ONCE) == 0; /* others may enter before our exec */
    bool is_told = is_two_phase && !stage->is_quiet;
    struct handles handles = {.fds = {-1, -1, -1}};
    struct stage_root root;
    struct stage_program program;

    stage_check(stage, KW_STEP_NAMESPACES, stage_keep_own(stage));
    stage_wait(stage, 'O');
    enter_spaces(stage);
    build_root(stage, &root);
    if (is_told)
        stage_check(stage, KW_STEP_NETWORK, open_handles(&handles));
    if (is_two_phase) /* and we hold what is the host's: nobody of them may attach */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    stage_check(stage, KW_STEP_PIVOT, root_enter(&root));
    if (is_told)
        stage_say(stage, STAGE_READY, 0, STAGE_NO_DETAIL, handles.fds, COUNT_OF(handles.fds));
    close_handles(&handles);

    exec_prepare(plan, &program);
    take_console(stage, &root);
    stage_check(stage, KW_STEP_EXEC, exec_reset());
    stage_check(stage, KW_STEP_CAPABILITIES, ids_drop_capabilities(plan->caps_keep));
    stage_check(stage, KW_STEP_SECCOMP, ids_filter(plan));
    stage_wait(stage, 'G'); /* its intent may not be durable yet: all else is done meanwhile */
    try_candidates(stage, &program);
}
