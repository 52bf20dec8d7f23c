/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From clone to a command in a guest, or beside one. Between joining and execve we are in the
 * guest's pid namespace with descriptors and memory of the host: not dumpable, so its root cannot
 * attach.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void take_standard(const struct stage *stage, int null)
{
    int standard[3] = {
        stage_find_fd(stage, KW_FD_STDIN),
        stage_find_fd(stage, KW_FD_STDOUT),
        stage_find_fd(stage, KW_FD_STDERR),
    };
    if ((stage->plan->flags & KP_TTY) != 0) {
        int slave = tty_open(stage);
        stage_check(stage, KW_STEP_MOUNTS, slave);
        standard[0] = standard[1] = standard[2] = slave;
    } else if ((stage->plan->flags & KP_RELAY) != 0) {
        stage_check(stage, KW_STEP_GO, relay_open_pipes(stage, standard));
    }
    stage_check(stage, KW_STEP_GO, stage_take_standard(standard, null));
}

static const char *find_path(const struct stage_program *program)
{
    for (size_t i = 0; program->env[i] != NULL; i++)
        if (strncmp(program->env[i], "PATH=", strlen("PATH=")) == 0)
            return program->env[i] + strlen("PATH=");
    return PATH_DEFAULT;
}

/* As execvp(3), but without its shell for files that are no programs. Returns an errno. */
static int try_in_path(const struct stage *stage, struct stage_program *program)
{
    const char *name = program->argv[0];
    const char *path = find_path(program);
    char full[PATH_MAX];
    int error = ENOENT;

    for (int number = 0;; number++) {
        size_t length = strcspn(path, ":");
        int bytes =
            snprintf(full, sizeof(full), "%.*s/%s", (int)length, length == 0 ? "." : path, name);
        bool is_cut = bytes < 0 || (size_t)bytes >= sizeof(full);
        int now = is_cut ? ENAMETOOLONG : exec_try(stage, program, full, number);
        if (now != ENOENT && now != ENOTDIR && now != EACCES && now != ENAMETOOLONG)
            return now;
        if (now == EACCES)
            error = EACCES;
        if (path[length] == '\0')
            return error;
        path += length + 1;
    }
}

static _Noreturn void run(const struct stage *stage, struct stage_program *program)
{
    int fd = stage_find_fd(stage, KW_FD_PROGRAM);
    if (fd >= 0)
        stage_fail(stage, KW_STEP_EXEC, exec_try_program(stage, program, fd), STAGE_NO_DETAIL);

    const char *name = program->argv[0];
    bool is_searched = (stage->plan->flags & KP_FIND_IN_PATH) != 0 && strchr(name, '/') == NULL;
    int error = is_searched && name[0] != '\0' ? try_in_path(stage, program)
                                               : exec_try(stage, program, name, 0);
    stage_fail(stage, KW_STEP_EXEC, error, STAGE_NO_DETAIL);
}

_Noreturn void stage_spawn(const struct stage *stage)
{
    const struct kp_header *plan = stage->plan;
    const char *cwd = plan->cwd == 0 ? "/" : kp_string(plan, plan->cwd);
    struct stage_program program;

    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    stage_check(stage, KW_STEP_NAMESPACES, stage_keep_own(stage));
    stage_wait(stage, 'G');
    if (plan->argv_count == 0)
        stage_fail(stage, KW_STEP_EXEC, EINVAL, STAGE_NO_DETAIL);
    stage_check(stage, KW_STEP_CGROUP, stage_enter_groups(stage));
    (void)setsid(); /* kill(0, …) of the command must not reach the keeper's group */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC); /* ours, not the guest's */
    stage_check(stage, KW_STEP_NAMESPACES, stage_join(stage));
    /* Mapped ids first: the pty belongs to whoever opens it. */
    stage_check(stage, KW_STEP_IDS, ids_become_root());
    take_standard(stage, null);
    stage_keep_report(stage, stage_find_fd(stage, KW_FD_PROGRAM));

    exec_prepare(plan, &program);
    stage_check(stage, KW_STEP_EXEC, exec_reset());
    stage_check(stage, KW_STEP_CAPABILITIES, ids_drop_capabilities(plan->caps_keep));
    stage_check(stage, KW_STEP_SECCOMP, ids_filter(plan)); /* while we still may */
    stage_check(stage, KW_STEP_IDS, ids_become(plan));
    stage_check(stage, KW_STEP_CWD, chdir(cwd) < 0 ? -errno : 0);
    if ((plan->flags & (KP_PROBE_FILE | KP_PROBE_TCP)) != 0)
        stage_probe(stage, program.argv[0]);
    run(stage, &program);
}
