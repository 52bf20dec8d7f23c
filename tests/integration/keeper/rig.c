/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a real keeper in cgroups of its own, and taking all of it away again. */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "scratch.h"
#include "sys.h"

const char *const rig_keeper_path = RIG_KEEPER;
static struct rig the_rig;

static void find_hierarchies(struct rig *rig)
{
    FILE *mounts = setmntent("/proc/mounts", "re");
    assert_non_null(mounts);
    rig->unified = -1;
    for (struct mntent *mount; (mount = getmntent(mounts)) != NULL;) {
        bool is_unified = strcmp(mount->mnt_type, "cgroup2") == 0;
        if (!is_unified && strcmp(mount->mnt_type, "cgroup") != 0)
            continue;
        if (is_unified)
            rig->unified = rig->hierarchy_count;
        rig->hierarchies[rig->hierarchy_count++] =
            open(mount->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    endmntent(mounts);
    assert_true(rig->unified >= 0);
}

static void copy_file(const char *from, int dir, const char *to)
{
    AUTO_FD in = open(from, O_RDONLY | O_CLOEXEC);
    AUTO_FD out = openat(dir, to, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(in >= 0 && out >= 0);
    while (sendfile(out, in, NULL, 1 << 20) > 0)
        ;
}

static void make_root(struct rig *rig)
{
    static const char *const directories[] = {"root",     "root/dev", "root/proc",
                                              "root/sys", "root/tmp", "root/run"};
    assert_non_null(scratch_make(rig->dir, sizeof(rig->dir), "drover-keeper"));
    assert_int_equal(chmod(rig->dir, 0755), 0);
    AUTO_FD dir = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < COUNT_OF(directories); i++)
        assert_int_equal(mkdirat(dir, directories[i], 0755), 0);
    copy_file(RIG_GUEST, dir, "root/init");
    AUTO_FD console = openat(dir, "root/dev/console", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(console >= 0);
}

static void run_keeper(struct rig *rig, int listener)
{
    char listen_fd[16];
    char cgroup[80];
    char numbers[16][16];
    char *argv[40] = {(char *)RIG_KEEPER, (char *)"--listen-fd", listen_fd, (char *)"--cgroup",
                      cgroup};
    int argc = 5;
    (void)snprintf(listen_fd, sizeof(listen_fd), "%d", listener);
    (void)snprintf(cgroup, sizeof(cgroup), "/%s", rig->cgroup);
    for (int i = 0; i < rig->hierarchy_count; i++) {
        (void)snprintf(numbers[i], sizeof(numbers[i]), "%d", rig->hierarchies[i]);
        argv[argc++] = (char *)"--hierarchy";
        argv[argc++] = numbers[i];
    }

    pid_t pid = fork();
    if (pid == 0) {
        (void)fcntl(listener, F_SETFD, 0);
        for (int i = 0; i < rig->hierarchy_count; i++)
            (void)fcntl(rig->hierarchies[i], F_SETFD, 0);
        (void)execv(RIG_KEEPER, argv);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static struct sockaddr_un address_of(const struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/keeper.sock", rig->dir);
    return address;
}

int rig_start(void **state)
{
    static unsigned count;
    char mark[32];
    struct rig *rig = &the_rig;
    *rig = (struct rig){.agent = -1, .pidfd = -1, .group = -1};
    *state = rig;
    (void)snprintf(rig->cgroup, sizeof(rig->cgroup), "drover.test-%s-%u", scratch_mark(mark),
                   count++);
    find_hierarchies(rig);
    make_root(rig);

    struct sockaddr_un address = address_of(rig);
    AUTO_FD listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 16), 0);
    run_keeper(rig, listener);

    char path[320];
    (void)snprintf(path, sizeof(path), "%s/guests", rig->cgroup);
    assert_int_equal(mkdirat(rig->hierarchies[rig->unified], path, 0755), 0);
    rig->group = openat(rig->hierarchies[rig->unified], path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rig->group >= 0);
    rig_greet(rig);
    return 0;
}

/* Guests first, then a keeper that has nothing left goes by itself once its ends are taken. */
int rig_stop(void **state)
{
    struct rig *rig = *state;
    char command[128];

    (void)sys_write_text_at(rig->group, "cgroup.kill", "1");
    rig_disconnect(rig);
    if (rig->pidfd >= 0 && !rig_await_keeper_end(rig, 0))
        (void)pidfd_send_signal(rig->pidfd, SIGKILL, NULL, 0);
    if (rig->pidfd >= 0)
        (void)rig_await_keeper_end(rig, 20000);
    for (int i = 0; i < rig->hierarchy_count; i++) {
        static const char *const below[] = {"guests", "keeper/helpers", "keeper", ""};
        for (size_t n = 0; n < COUNT_OF(below); n++) {
            char path[320];
            (void)snprintf(path, sizeof(path), "%s/%s", rig->cgroup, below[n]);
            for (int tries = 0;
                 tries < 2000 && rig->group >= 0 &&
                 unlinkat(rig->hierarchies[i], path, AT_REMOVEDIR) < 0 && errno == EBUSY;
                 tries++)
                (void)poll(NULL, 0, 1); /* the kernel makes no event when the last zombie leaves */
        }
        fd_closep(&rig->hierarchies[i]);
    }
    fd_closep(&rig->group);
    fd_closep(&rig->pidfd);
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
    return system(command) == 0 ? 0 : -1;
}

void rig_connect(struct rig *rig)
{
    struct sockaddr_un address = address_of(rig);
    rig->agent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(rig->agent, (struct sockaddr *)&address, sizeof(address)), 0);
}

void rig_disconnect(struct rig *rig)
{
    fd_closep(&rig->agent);
}

void rig_greet(struct rig *rig)
{
    struct kw_hello hello = {.build = "test"};
    struct packet packet;
    if (rig->agent < 0)
        rig_connect(rig);
    rig_send(rig, &hello.header, KW_HELLO, sizeof(hello), NULL, 0);
    do {
        rig_receive(rig, &packet);
        assert_true(packet.size > 0);
        if (packet.header.type == KW_WELCOME)
            rig->welcome = packet.welcome;
        rig_drop(&packet);
    } while (packet.header.type != KW_SYNCED);
    rig->pid = rig->welcome.pid;
    if (rig->pidfd < 0)
        rig->pidfd = pidfd_open(rig->pid, 0);
    assert_true(rig->pidfd >= 0);
}

void rig_send(struct rig *rig, struct kw_header *header, uint16_t type, size_t size_bytes,
              const int *fds, size_t fd_count)
{
    *header = (struct kw_header){.magic = KW_MAGIC,
                                 .version = KW_VERSION,
                                 .type = type,
                                 .size_bytes = (uint32_t)size_bytes,
                                 .fd_count = (uint32_t)fd_count};
    for (;;) {
        ssize_t n = sys_send_fds(rig->agent, header, size_bytes, fds, fd_count);
        if (n == (ssize_t)size_bytes)
            return;
        assert_int_equal(n, -EAGAIN);
        struct pollfd room = {.fd = rig->agent, .events = POLLOUT};
        assert_int_equal(poll(&room, 1, 20000), 1);
    }
}

void rig_receive(struct rig *rig, struct packet *packet)
{
    struct pollfd look = {.fd = rig->agent, .events = POLLIN};
    memset(packet, 0, offsetof(struct packet, fds));
    assert_int_equal(poll(&look, 1, 20000), 1);
    packet->size = sys_receive_fds(rig->agent, &packet->header, offsetof(struct packet, fds),
                                   packet->fds, KW_FDS_MAX, &packet->fd_count);
    assert_true(packet->size >= 0);
    if (packet->size > 0) {
        assert_int_equal(packet->header.magic, KW_MAGIC);
        assert_int_equal(packet->header.size_bytes, packet->size);
        assert_int_equal(packet->header.fd_count, packet->fd_count);
    }
}

bool rig_is_silent(struct rig *rig, int timeout_ms)
{
    struct pollfd look = {.fd = rig->agent, .events = POLLIN};
    return poll(&look, 1, timeout_ms) == 0;
}

void rig_drop(struct packet *packet)
{
    for (size_t i = 0; i < packet->fd_count; i++)
        fd_closep(&packet->fds[i]);
    packet->fd_count = 0;
}

int rig_take(struct packet *packet, const uint8_t *roles, enum kw_role role)
{
    for (size_t i = 0; i < packet->fd_count; i++)
        if (roles[i] == role)
            return take_fd(&packet->fds[i]);
    return -1;
}
