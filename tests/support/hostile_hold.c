/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds what somebody of the host would wait for, where no signal reaches him: a pipe's lock stays
 * with whoever splices into or out of it while the other side of that splice has nothing to give,
 * or no room. Who then reads, writes or closes that pipe waits in the kernel.
 *
 *   out      the pipe on standard output    in       the one on standard input, after it has octets
 *   notify   one of its own, whose last reader is a descriptor that is sent to the notify socket
 *   tail     none: an endless writer stays behind on standard output
 *
 * The holder stays behind; who called returns once it holds, or with the errno that it met.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"

#define SPLICE_BYTES 65536

static int tell(const char *what, int error)
{
    (void)fprintf(stderr, "%s %s\n", what, error == 0 ? "holds" : strerrorname_np(error));
    return error == 0 ? 0 : 1;
}

/* For ever, unless it is refused. */
static _Noreturn void splice_on(int from, int to)
{
    while (splice(from, NULL, to, NULL, SPLICE_BYTES, 0) > 0)
        continue;
    _exit(errno);
}

static void hold_out(int pipe)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        _exit(errno);
    splice_on(pair[0], pipe);
}

static void hold_in(int pipe)
{
    static const char octets[4096];
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        _exit(errno);
    while (send(pair[0], octets, sizeof(octets), MSG_DONTWAIT) > 0)
        continue;
    splice_on(pipe, pair[0]);
}

/* S: asleep in the only call that lets it; 0: over. */
static bool sleeps(pid_t pid)
{
    char path[64];
    char text[256];

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    text[bytes < 0 ? 0 : bytes] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && strlen(name_end) > 2 && (name_end[2] == 'S' || name_end[2] == 'D');
}

/* 0 once the child sleeps; else the errno it ended with. */
static int await(pid_t pid)
{
    int status;

    while (!sleeps(pid))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EPIPE;
    return 0;
}

static int hold_standard(const char *what, void (*body)(int), int fd)
{
    pid_t pid = fork();

    if (pid == 0)
        body(fd);
    return tell(what, pid < 0 ? errno : await(pid));
}

/* To the notify socket, with a descriptor unless it is -1. The errno, or 0. */
static int send_away(int fd)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char word[] = "STATUS=held";
    struct iovec part = {.iov_base = word, .iov_len = sizeof(word) - 1};
    struct msghdr message = {.msg_name = &address,
                             .msg_namelen = sizeof(address),
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = fd < 0 ? NULL : &control,
                             .msg_controllen = fd < 0 ? 0 : sizeof(control.room)};
    int to = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)strncpy(address.sun_path, path == NULL ? "/run/host/notify/notify" : path,
                  sizeof(address.sun_path) - 1);
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    int error = to < 0 || sendmsg(to, &message, 0) < 0 ? errno : 0;
    (void)close(to);
    return error;
}

/* Sends the only reader that is left, once the others are closed. Whoever closes it last waits: the
 * host, as a rule, which has some to read before it; else this child, that has nothing of the
 * command's. */
static _Noreturn void send_last(int reader, int closed, int sent)
{
    char octet;

    (void)close(STDOUT_FILENO);
    (void)close(STDERR_FILENO);
    (void)!read(closed, &octet, 1);
    int error = 0;
    for (int i = 0; i < 8 && error == 0; i++)
        error = send_away(-1);
    if (error == 0)
        error = send_away(reader);
    octet = (char)error;
    (void)!write(sent, &octet, 1);
    _exit(0);
}

static int hold_notify(void)
{
    int held[2], closed[2], sent[2];

    if (pipe(held) < 0)
        return tell("notify", errno);
    pid_t holder = fork();
    if (holder == 0) {
        (void)close(held[0]);
        (void)close(STDOUT_FILENO);
        hold_out(held[1]);
    }
    int error = holder < 0 ? errno : await(holder);
    if (error == 0 && (pipe(closed) < 0 || pipe(sent) < 0))
        error = errno;
    if (error != 0 && holder > 0)
        (void)kill(holder, SIGKILL);
    if (error != 0)
        return tell("notify", error);
    pid_t sender = fork();
    if (sender == 0) {
        (void)close(held[1]);
        (void)close(closed[1]);
        send_last(held[0], closed[0], sent[1]);
    }
    (void)close(held[0]);
    (void)close(held[1]);
    (void)close(closed[1]);
    (void)close(sent[1]);
    char octet = 0;
    error = sender > 0 && read(sent[0], &octet, 1) == 1 ? octet : EPIPE;
    if (error != 0 && holder > 0)
        (void)kill(holder, SIGKILL);
    return tell("notify", error);
}

static int hold_tail(void)
{
    static char octets[4096];

    memset(octets, 'y', sizeof(octets));
    if (fork() == 0)
        while (write(STDOUT_FILENO, octets, sizeof(octets)) > 0)
            continue;
    return tell("tail", 0);
}

int hold(const char *what)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    if (strcmp(what, "out") == 0)
        return hold_standard(what, hold_out, STDOUT_FILENO);
    if (strcmp(what, "in") == 0 && poll(&in, 1, -1) == 1) /* an empty pipe's lock is let go of */
        return hold_standard(what, hold_in, STDIN_FILENO);
    if (strcmp(what, "notify") == 0)
        return hold_notify();
    if (strcmp(what, "tail") == 0)
        return hold_tail();
    return 2;
}
