/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look for a file or a port inside a guest, again and again: by the guest's own rights, in its
 * mount and network namespaces, and in its cgroup, so that what hangs there hangs here alone, is
 * paid by the guest, and ends with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "stage_steps.h"

#define LOOK_FIRST_MS 10
#define LOOK_MAX_MS 200
#define CONNECT_MS 1000

/* The directory itself is never held: it may be mounted over, or be made anew. */
static bool has_file(const char *path)
{
    AUTO_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD file = root < 0 ? -1 : path_open(root, path);
    return file >= 0;
}

static bool accepts(const struct sockaddr *address, socklen_t size_bytes)
{
    int error = 0;
    socklen_t error_bytes = sizeof(error);
    AUTO_FD fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    if (connect(fd, address, size_bytes) == 0)
        return true;
    if (errno != EINPROGRESS)
        return false;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    return poll(&wait, 1, CONNECT_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) == 0 && error == 0;
}

/* LIMIT: a service that listens on another address of the guest alone is not found. */
static bool has_port(const char *text)
{
    uint16_t port = htons((uint16_t)strtoul(text, NULL, 10));
    const struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    return accepts((const struct sockaddr *)(const void *)&four, sizeof(four)) ||
           accepts((const struct sockaddr *)(const void *)&six, sizeof(six));
}

_Noreturn void stage_probe(const struct stage *stage, const char *what)
{
    bool is_file = (stage->plan->flags & KP_PROBE_FILE) != 0;
    int wait_ms = LOOK_FIRST_MS;

    stage_say(stage, STAGE_DONE, 0, STAGE_NO_DETAIL, NULL, 0);
    while (!(is_file ? has_file(what) : has_port(what))) {
        (void)poll(NULL, 0, wait_ms); /* nothing tells of a port, or of a path not there yet */
        wait_ms = wait_ms * 2 > LOOK_MAX_MS ? LOOK_MAX_MS : wait_ms * 2;
    }
    _exit(0);
}
