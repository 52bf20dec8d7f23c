/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper COMMAND [ARGUMENT...] — run a command as below an init that reaps at once.
 *
 * Daemons and guests whose parent was killed become this process's children. PID 1 of a test
 * machine may reap late or never, and a process of a guest that is dead but not reaped holds the
 * guest's own end (zap_pid_ns_processes() in the kernel). Ends with the command's exit code, or
 * 128+n; SIGINT, SIGTERM and SIGHUP go to the command.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int code_of(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

/* Ends when the command has ended; its orphans go on to the next above. */
static int reap(pid_t command, const sigset_t *signals)
{
    for (;;) {
        siginfo_t info = {0};
        int number = sigwaitinfo(signals, NULL);

        if (number > 0 && number != SIGCHLD)
            (void)kill(command, number);
        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0) {
            if (info.si_pid == command)
                return code_of(&info);
            info.si_pid = 0;
        }
    }
}

int main(int argc, char **argv)
{
    const int heard[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP};
    sigset_t signals;
    sigset_t before;

    if (argc < 2)
        return 2;
    (void)sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++)
        (void)sigaddset(&signals, heard[i]);
    (void)sigprocmask(SIG_BLOCK, &signals, &before);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return 1;
    pid_t command = fork();
    if (command == 0) {
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        (void)execvp(argv[1], argv + 1);
        (void)fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        _exit(127);
    }
    return command < 0 ? 1 : reap(command, &signals);
}
