/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last steps: a process as a fresh system would start it, and execve.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"

#define SIGNALS_MAX 64

/* As the kernel has it: the C library refuses to reset the two signals it keeps for itself. */
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void copy_list(const struct kp_header *plan, uint32_t offset, uint32_t count,
                      const char **ret_list)
{
    const uint32_t *strings = (const uint32_t *)(const void *)((const char *)plan + offset);
    for (uint32_t i = 0; i < count; i++)
        ret_list[i] = kp_string(plan, strings[i]);
    ret_list[count] = NULL;
}

void exec_prepare(const struct kp_header *plan, struct stage_program *ret_program)
{
    copy_list(plan, plan->argv, plan->argv_count, ret_program->argv);
    copy_list(plan, plan->env, plan->env_count, ret_program->env);
}

int exec_reset(void)
{
    const struct kernel_action by_default = {.handler = SIG_DFL};
    const uint64_t none = 0;

    (void)umask(022);
    /* Its holder has rights on every key in it: the keeper's is not shared with guests. Where keys
     * are withheld or spent, there is none to share either. */
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    if (prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0) < 0)
        return -errno;
    for (int number = 1; number <= SIGNALS_MAX; number++)
        if (number != SIGKILL && number != SIGSTOP &&
            syscall(SYS_rt_sigaction, number, &by_default, NULL, sizeof(none)) < 0)
            return -errno;
    if (syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none)) < 0)
        return -errno;
    return 0;
}

static int check_regular(const char *path)
{
    struct stat stat;
    AUTO_FD file = open(path, O_PATH | O_CLOEXEC);
    if (file < 0 || fstat(file, &stat) < 0)
        return -errno;
    return S_ISREG(stat.st_mode) ? 0 : -EACCES;
}

int exec_try(const struct stage *stage, struct stage_program *program, const char *path, int number)
{
    stage_say(stage, STAGE_TRY, 0, number, NULL, 0);
    int rc = check_regular(path);
    if (rc == 0) {
        (void)execve(path, (char *const *)(uintptr_t)program->argv,
                     (char *const *)(uintptr_t)program->env);
        rc = -errno;
    }
    stage_say(stage, STAGE_ERRNO, -rc, number, NULL, 0);
    return -rc;
}

int exec_try_program(const struct stage *stage, struct stage_program *program, int fd)
{
    stage_say(stage, STAGE_TRY, 0, 0, NULL, 0);
    /* An interpreter opens it anew as /dev/fd/N, so it may not close on exec (execveat(2), BUGS).
     * It is sealed, and nothing else of ours is open. */
    int error = fcntl(fd, F_SETFD, 0) < 0 ? errno : 0;
    if (error == 0) {
        (void)execveat(fd, "", (char *const *)(uintptr_t)program->argv,
                       (char *const *)(uintptr_t)program->env, AT_EMPTY_PATH);
        error = errno;
    }
    stage_say(stage, STAGE_ERRNO, error, 0, NULL, 0);
    return error;
}
