/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lossy LISTEN_PORT TARGET_PORT [OPTION…] — a bad network between an agent and a controller.
 *
 * Listens on 127.0.0.1, on both ports of a controller (LISTEN_PORT and the next), and connects to
 * TARGET_PORT and the next. It knows nanomsg's framing of TCP (a greeting of 8 octets, then for
 * each datagram its size in 64 bits, big-endian, and its octets), so that whole datagrams get lost
 * as they do where raw REP drops them, and never a part of one.
 *   --seed S       of all that is drawn by lot (default 1)
 *   --up N         of what the agent sends one in N is dropped (default 0: none)
 *   --down N       of what the controller sends
 *   --double N     one in N is sent twice, either way
 *   --delay MS     each is held up for 0…MS; their order on a connection stays
 * SIGUSR1 cuts each connection, in the middle of a datagram if it is so; nanomsg makes new ones.
 * SIGUSR2 takes the network away, and gives it back the next time. At SIGTERM it ends with a line
 * for each direction on stdout: `up 120 seen 39 dropped 4 doubled`.
 */
#include "lossy.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "notify.h"

struct lossy lossy;

static bool read_number(const char *text, unsigned long max, unsigned long *ret_number)
{
    char *end = NULL;

    errno = 0;
    *ret_number = strtoul(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *ret_number <= max;
}

static bool read_options(int argc, char **argv)
{
    unsigned long number = 0;

    lossy.prng.state = 1;
    for (int i = 0; i + 1 < argc; i += 2) {
        if (!read_number(argv[i + 1], UINT32_MAX, &number))
            return false;
        if (strcmp(argv[i], "--seed") == 0)
            lossy.prng.state = number;
        else if (strcmp(argv[i], "--up") == 0)
            lossy.ways[LOSSY_UP].one_in = (unsigned)number;
        else if (strcmp(argv[i], "--down") == 0)
            lossy.ways[LOSSY_DOWN].one_in = (unsigned)number;
        else if (strcmp(argv[i], "--double") == 0)
            lossy.double_one_in = (unsigned)number;
        else if (strcmp(argv[i], "--delay") == 0)
            lossy.delay_ms = (unsigned)number;
        else
            return false;
    }
    return argc % 2 == 0;
}

static int open_signals(void)
{
    const int heard[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
    sigset_t signals;

    (void)sigemptyset(&signals);
    for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++)
        (void)sigaddset(&signals, heard[i]);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_signal(int fd)
{
    struct signalfd_siginfo info;

    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            lossy.is_ending = true;
        if (info.ssi_signo == SIGUSR2)
            lossy.is_away = !lossy.is_away;
        pair_cut_all();
    }
}

/* What is watched this time: signals, both ports, and both ends of each pair. */
static int wait_for_more(struct pollfd *fds)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t next_ns = UINT64_MAX;
    nfds_t count = LOSSY_PORTS + 1;

    for (int i = 0; i < PAIRS_MAX; i++, count += 2)
        pair_watch(&lossy.pairs[i], &fds[count], now_ns, &next_ns);
    int timeout_ms = -1;
    if (next_ns != UINT64_MAX)
        timeout_ms = next_ns <= now_ns ? 0 : (int)((next_ns - now_ns) / NS_PER_MS) + 1;
    return poll(fds, count, timeout_ms);
}

static int run(struct pollfd *fds)
{
    while (!lossy.is_ending) {
        if (wait_for_more(fds) < 0 && errno != EINTR)
            return 1;
        uint64_t now_ns = clock_monotonic_ns();
        for (int i = 0; i < PAIRS_MAX; i++)
            pair_step(&lossy.pairs[i], &fds[LOSSY_PORTS + 1 + 2 * i], now_ns);
        for (int port = 0; port < LOSSY_PORTS; port++)
            if ((fds[1 + port].revents & POLLIN) != 0)
                pair_open(fds[1 + port].fd, (uint16_t)(lossy.target_port + port));
        if ((fds[0].revents & POLLIN) != 0)
            on_signal(fds[0].fd);
    }
    pair_cut_all();
    for (int way = 0; way < LOSSY_WAYS; way++)
        (void)printf("%s %lu seen %lu dropped %lu doubled\n", way == LOSSY_UP ? "up" : "down",
                     lossy.ways[way].seen, lossy.ways[way].dropped, lossy.ways[way].doubled);
    return 0;
}

int main(int argc, char **argv)
{
    static struct pollfd fds[1 + LOSSY_PORTS + 2 * PAIRS_MAX];
    unsigned long listen_port = 0;
    unsigned long target_port = 0;

    if (argc < 3 || !read_number(argv[1], UINT16_MAX - 1, &listen_port) ||
        !read_number(argv[2], UINT16_MAX - 1, &target_port) || !read_options(argc - 3, argv + 3)) {
        (void)fputs("usage: lossy LISTEN_PORT TARGET_PORT [--seed S] [--up N] [--down N] "
                    "[--double N] [--delay MS]\n",
                    stderr);
        return 2;
    }
    lossy.target_port = (uint16_t)target_port;
    for (int i = 0; i < PAIRS_MAX; i++)
        lossy.pairs[i].fds[0] = lossy.pairs[i].fds[1] = -1;
    fds[0] = (struct pollfd){.fd = open_signals(), .events = POLLIN};
    for (int port = 0; port < LOSSY_PORTS; port++) {
        int fd = pair_listen((uint16_t)(listen_port + (unsigned)port));
        if (fd < 0) {
            (void)fprintf(stderr, "lossy: port %lu: %s\n", listen_port + (unsigned)port,
                          strerror(-fd));
            return 1;
        }
        fds[1 + port] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    notify_ready();
    return run(fds);
}
