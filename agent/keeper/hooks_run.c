/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Design notes. Scripts of the host may mount what they like: they share one mount namespace, which
 * is this process's own, so that nothing shows on the host and all of it goes with the last of
 * them. A script is over when it has ended and nobody holds its output any more; whatever hangs is
 * ended from outside, with the whole group.
 */
#include "hooks_run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"

#define SOCKET STDIN_FILENO

extern char **environ;

static int send_packet(const struct hooks_packet *packet, int fd)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet,
                         .iov_len = HOOKS_HEAD_BYTES + packet->size_bytes};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control.room);
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    return sendmsg(SOCKET, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Between fork and exec. `told` says why it failed, and closes when it did not. */
static _Noreturn void run_child(const char *path, int output, int told)
{
    const char *const argv[] = {path, NULL};
    AUTO_FD null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)setsid();
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0 || chdir("/") < 0 ||
        execve(path, (char *const *)(uintptr_t)argv, environ) < 0) {
        int error = errno;
        (void)!write(told, &error, sizeof(error));
    }
    _exit(127);
}

/* Until nobody holds the other end. */
static int pass_on(int output)
{
    struct hooks_packet packet = {.word = HOOKS_SAID};

    for (;;) {
        ssize_t size_bytes = read(output, packet.text, sizeof(packet.text));

        if (size_bytes < 0 && errno == EINTR)
            continue;
        if (size_bytes <= 0)
            return 0;
        packet.size_bytes = (uint32_t)size_bytes;
        int result = send_packet(&packet, -1);
        if (result < 0)
            return result;
    }
}

static int run_script(const char *path)
{
    struct hooks_packet ended = {.word = HOOKS_ENDED};
    int output[2];
    int told[2];

    if (pipe2(output, O_CLOEXEC) < 0)
        return -errno;
    AUTO_FD output_read = output[0];
    AUTO_FD output_write = output[1];
    if (pipe2(told, O_CLOEXEC) < 0)
        return -errno;
    AUTO_FD told_read = told[0];
    AUTO_FD told_write = told[1];
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run_child(path, output_write, told_write);
    fd_closep(&output_write);
    fd_closep(&told_write);
    if (read(told_read, &ended.error, sizeof(ended.error)) != sizeof(ended.error))
        ended.error = 0;
    int result = pass_on(output_read);
    while (waitpid(pid, &ended.wait_status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return result < 0 ? result : send_packet(&ended, -1);
}

static int take_root(const char *root)
{
    struct hooks_packet taken = {.word = HOOKS_TAKEN};
    AUTO_FD mount = open_tree(AT_FDCWD, root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (mount < 0)
        taken.error = errno;
    return send_packet(&taken, mount);
}

/* What is mounted on the host later is seen, what is mounted here is not. */
static int enter(const char *root)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return -errno;
    if (root != NULL && mount("drover", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0)
        return -errno;
    return 0;
}

int hooks_run(void)
{
    struct hooks_packet order;
    const char *root = getenv("DROVER_ROOT");
    int result = enter(root);

    while (result == 0) {
        ssize_t size_bytes = recv(SOCKET, &order, sizeof(order), 0);

        if (size_bytes < 0 && errno == EINTR)
            continue;
        if (size_bytes < HOOKS_HEAD_BYTES)
            return 0; /* nobody orders any more */
        order.text[sizeof(order.text) - 1] = '\0';
        if (order.word == HOOKS_RUN)
            result = run_script(order.text);
        else if (order.word == HOOKS_TAKE && root != NULL)
            result = take_root(root);
    }
    return -result;
}
