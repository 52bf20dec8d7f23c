/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_start LOG COMMAND [ARGUMENT...] — start a daemon and return when it is ready.
 *
 * Its output goes to LOG (appended). Prints its pid and ends with 0 at READY=1. If it ended before:
 * its own exit code, 128+n for a signal; 1 after 30 s. The daemon goes on by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 30000

/* An abstract name of our own, so that nothing is left behind. */
static int bind_notify(char name[64])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(name, 64, "@drover-daemon-start-%d", getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0)
        return -1;
    return fd;
}

static pid_t start(const char *log, char **argv, const char *notify)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int in = open("/dev/null", O_RDONLY);
    if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(1);
    (void)close(in);
    (void)close(out);
    (void)setsid();
    (void)setenv("NOTIFY_SOCKET", notify, 1);
    (void)execv(argv[0], argv);
    _exit(127);
}

int main(int argc, char **argv)
{
    char name[64];
    char text[256];
    int status = 0;

    if (argc < 3)
        return 2;
    int notify = bind_notify(name);
    pid_t pid = notify < 0 ? -1 : start(argv[1], argv + 2, name);
    int pidfd = pid < 0 ? -1 : pidfd_open(pid, 0);
    if (pidfd < 0) {
        (void)fprintf(stderr, "daemon_start: %s\n", strerror(errno));
        return 1;
    }
    struct pollfd fds[] = {{.fd = notify, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    while (poll(fds, 2, READY_MS) > 0) {
        ssize_t n = fds[0].revents != 0 ? recv(notify, text, sizeof(text) - 1, 0) : 0;

        text[n > 0 ? n : 0] = '\0';
        if (strstr(text, "READY=1") != NULL) {
            (void)printf("%d\n", pid);
            return 0;
        }
        if (fds[1].revents != 0 && n <= 0) {
            (void)waitpid(pid, &status, 0);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
    }
    (void)kill(pid, SIGKILL); /* our own child, not reaped: the number is its */
    (void)fprintf(stderr, "daemon_start: not ready in %d s\n", READY_MS / 1000);
    return 1;
}
