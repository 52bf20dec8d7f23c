/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drover-keeper: the parent of every guest's init. It starts children, reaps them, keeps what must
 * outlive the agent, and decides nothing.
 *
 *   drover-keeper --listen-fd N --cgroup PATH --hierarchy FD [--hierarchy FD]…
 *   drover-keeper --check-table FD     can this build go on with that table?
 *   drover-keeper --resume FD          go on with it (only the keeper itself says this)
 *   drover-keeper --run-hooks          no keeper at all: the helper of hooks_run.h
 *
 * Reading order: main, home, loop, receive, launch, child, reap, send, table; then spawn, console,
 * notify, adopt, reexec. What runs in a child is stage.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "hooks_run.h"
#include "keeper.h"
#include "sys.h"

#define EXIT_USAGE 2

static struct keeper keeper; /* zero: its pages are touched, and the binary grows, only by use */

static void blank(struct keeper *k)
{
    k->epoll = k->listen = k->agent = k->signals = k->timer = k->pid_ns = k->binary = -1;
    k->is_timer_stale = true;
}

static int say(int fd, const char *text, int code)
{
    return write(fd, text, strlen(text)) < 0 ? 1 : code;
}

static int usage(int fd, int code)
{
    return say(fd,
               "usage: drover-keeper --listen-fd N --cgroup PATH --hierarchy FD "
               "[--hierarchy FD]...\n"
               "       drover-keeper --check-table FD\n"
               "\n"
               "The parent of all inits of a node. drover-agent starts it.\n",
               code);
}

static void complain(const char *what, int error)
{
    (void)dprintf(STDERR_FILENO, "drover-keeper: %s: %s\n", what, strerror(error));
}

/* An open descriptor, or -1. */
static int parse_fd(const char *text)
{
    char *end;
    long fd = strtol(text, &end, 10);
    if (end == text || *end != '\0' || fd < 3 || fd > 1 << 20 || fcntl((int)fd, F_GETFD) < 0)
        return -1;
    return (int)fd;
}

static bool parse_cgroup(struct keeper *k, const char *path)
{
    path += strspn(path, "/");
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(k->cgroup) || path[length - 1] == '/' ||
        strstr(path, "..") != NULL || strstr(path, "//") != NULL)
        return false;
    memcpy(k->cgroup, path, length + 1);
    return true;
}

static bool parse(struct keeper *k, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--listen-fd") == 0) {
            k->listen = parse_fd(value);
        } else if (strcmp(argv[i], "--cgroup") == 0) {
            if (!parse_cgroup(k, value))
                return false;
        } else if (strcmp(argv[i], "--hierarchy") == 0) {
            int fd = parse_fd(value);
            if (fd < 0 || k->hierarchy_count == KEEPER_HIERARCHIES_MAX)
                return false;
            k->hierarchies[k->hierarchy_count++] = fd;
        } else {
            return false;
        }
    }
    return k->listen >= 0 && k->cgroup[0] != '\0' && k->hierarchy_count > 0;
}

static bool is_listening(int socket)
{
    int type = 0;
    int listens = 0;
    socklen_t size = sizeof(int);
    return getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
           getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

/* Close what else was inherited; keep ours from children. */
static void own_descriptors(struct keeper *k, int also)
{
    const int fds_max = 4096;
    for (int fd = 3; fd < fds_max; fd++) {
        bool is_ours = fd == k->listen || fd == also;
        for (uint32_t i = 0; i < k->hierarchy_count; i++)
            is_ours |= fd == k->hierarchies[i];
        if (is_ours)
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* cannot fail: it was looked at */
        else
            (void)close(fd);
    }
    (void)syscall(SYS_close_range, fds_max, ~0U, 0); /* nothing there, or harmless */
    (void)fcntl(k->listen, F_SETFL, O_RDWR | O_NONBLOCK);
}

static void take_name(void)
{
    struct rlimit files;
    (void)prctl(PR_SET_NAME, "drover-keeper");
    (void)prctl(PR_SET_DUMPABLE, 0); /* nobody's ptrace, and no core with guests' data */
    /* Six descriptors a container; as many as allowed. A plan sets its guest's own limit. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int drop_stdio(void)
{
    AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            return -errno;
    return 0;
}

/* In the child. What a sandbox withholds is told, and done without. */
static int settle(struct keeper *k)
{
    (void)setsid();   /* we are a child: cannot fail */
    (void)umask(022); /* guests inherit it */
    take_name();
    /* The parent of all goes last, where that is allowed. Children get the value of their plan. */
    (void)sys_write_text_at(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
    k->started_ns = clock_monotonic_ns();
    k->first_agent_ns = k->started_ns + KEEPER_FIRST_AGENT_NS;
    int rc = home_enter_cgroups(k);
    if (rc < 0)
        complain("a cgroup of its own is withheld", -rc);
    rc = home_enter_namespace();
    if (rc < 0)
        complain("a mount namespace of its own is withheld", -rc);
    rc = loop_init(k);
    if (rc < 0) {
        complain("cannot wait for events", -rc);
        return rc;
    }
    return drop_stdio();
}

static int serve(struct keeper *k)
{
    loop_run(k);
    home_leave_cgroups(k);
    return 0;
}

/* Returns in the parent with the exit status, once the child has settled or failed. */
static int start(struct keeper *k)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        AUTO_FD told = ends[1];
        own_descriptors(k, told);
        if (settle(k) < 0 || write(told, "1", 1) != 1)
            return 1;
        fd_closep(&told);
        return serve(k);
    }
    (void)close(ends[1]);
    char byte;
    return pid > 0 && read(ends[0], &byte, 1) == 1 ? 0 : 1;
}

int main(int argc, char **argv)
{
    blank(&keeper);
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(STDOUT_FILENO, 0);
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return say(STDOUT_FILENO, "drover-keeper " DROVER_VERSION "\n", 0);
    if (argc == 3 && strcmp(argv[1], "--check-table") == 0)
        return reexec_check_table(parse_fd(argv[2]));
    if (argc == 2 && strcmp(argv[1], "--run-hooks") == 0)
        return hooks_run();
    if (argc == 3 && strcmp(argv[1], "--resume") == 0) {
        take_name();
        /* Without a table there is nothing to go on with; the check said that there is one. */
        return reexec_resume(&keeper, parse_fd(argv[2])) < 0 ? 1 : serve(&keeper);
    }
    if (!parse(&keeper, argc, argv) || !is_listening(keeper.listen))
        return usage(STDERR_FILENO, EXIT_USAGE);
    home_seal(argv);
    return start(&keeper);
}
