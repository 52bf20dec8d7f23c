/* SPDX-License-Identifier: Apache-2.0 */
#include "measure.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"

#define RECEIVE_BUFFER_BYTES (8 << 20) /* reports come while the bench is still asking */

int reports_open(const char *dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int size = RECEIVE_BUFFER_BYTES;
    const int on = 1;

    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", dir);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    if (unlink(address.sun_path) < 0 && errno != ENOENT)
        return -errno;
    AUTO_FD sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    (void)setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    if (setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        chmod(address.sun_path, 0777) < 0) /* a guest's root is nobody here */
        return -errno;
    return take_fd(&sock);
}

static bool parse(const char *text, struct report *ret_report)
{
    char word[8];
    unsigned long long wall_ns = 0;

    if (sscanf(text, "%64s %7s %llu", ret_report->host, word, &wall_ns) != 3)
        return false;
    ret_report->is_ready = strcmp(word, "ready") == 0;
    ret_report->wall_ns = wall_ns;
    return true;
}

int reports_next(int sock, int timeout_ms, struct report *ret_report)
{
    union {
        char octets[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    char text[160];
    struct iovec data = {.iov_base = text, .iov_len = sizeof(text) - 1};
    struct msghdr header = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    struct pollfd pollfd = {.fd = sock, .events = POLLIN};

    int ready = poll(&pollfd, 1, timeout_ms);
    if (ready <= 0)
        return ready < 0 ? -errno : 0;
    ssize_t size = recvmsg(sock, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0)
        return -errno;
    text[size] = '\0';
    const struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
    if (cmsg == NULL || cmsg->cmsg_type != SCM_CREDENTIALS || !parse(text, ret_report))
        return -EBADMSG;
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(cmsg), sizeof(sender));
    ret_report->pid = sender.pid;
    return 1;
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

double measure_percentile(double *values, size_t count, unsigned percent)
{
    if (count == 0)
        return (double)NAN;
    qsort(values, count, sizeof(values[0]), by_value);
    size_t at = count * percent / 100;
    return values[at < count ? at : count - 1];
}

void measure_print(const char *key, double value)
{
    (void)printf("%s %.6f\n", key, value);
    (void)fflush(stdout);
}

void measure_sleep_until(uint64_t wall_ns)
{
    const struct timespec instant = {.tv_sec = (time_t)(wall_ns / NS_PER_S),
                                     .tv_nsec = (long)(wall_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &instant, NULL) == EINTR)
        ;
}

unsigned measure_count(const char *text, unsigned max)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value < 1 || value > max) {
        (void)fprintf(stderr, "'%s' is not a number from 1 to %u\n", text, max);
        exit(2);
    }
    return (unsigned)value;
}
