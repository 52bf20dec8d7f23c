/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new build in the same process: children stay children, descriptors stay open, the table goes
 * through a memfd. Its layout: struct image, then entries, then spawns. Structs only ever grow at
 * their end, so that a build reads the table of its predecessor; the sizes stand in the header.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "keeper.h"
#include "sys.h"

#define IMAGE_MAGIC 0x31544b44u /* "DKT1" */
#define IMAGE_VERSION 1
#define IMAGE_VERSION_OLDEST 1 /* N-1, once there is an N of 2 */

struct image {
    uint32_t magic;
    uint16_t version;
    uint16_t zero;
    uint32_t image_bytes;
    uint32_t entry_bytes;
    uint32_t entry_count;
    uint32_t spawn_bytes;
    uint32_t spawn_count;
    uint32_t hierarchy_count;
    int32_t listen;
    int32_t agent; /* -1: its connection ended meanwhile */
    int32_t hierarchies[KEEPER_HIERARCHIES_MAX];
    char cgroup[KEEPER_CGROUP_BYTES];
    uint64_t started_ns;
    uint64_t launch_last;
};
static_assert(sizeof(struct image) == 376, "a change of layout is a change of version");
static_assert(sizeof(struct kw_record) == 488, "a change of layout is a change of version");
static_assert(sizeof(struct entry) == 520, "a change of layout is a change of version");
static_assert(sizeof(struct spawn) == 88, "a change of layout is a change of version");

static int append(int fd, const void *data, size_t size_bytes)
{
    ssize_t n = write(fd, data, size_bytes);
    if (n < 0)
        return -errno;
    return (size_t)n == size_bytes ? 0 : -EIO;
}

static int write_image(const struct keeper *k)
{
    struct image image = {
        .magic = IMAGE_MAGIC,
        .version = IMAGE_VERSION,
        .image_bytes = sizeof(image),
        .entry_bytes = sizeof(struct entry),
        .entry_count = k->table.count,
        .spawn_bytes = sizeof(struct spawn),
        .spawn_count = k->spawn_high,
        .hierarchy_count = k->hierarchy_count,
        .listen = k->listen,
        .agent = k->agent_phase == AGENT_NONE ? -1 : k->agent,
        .started_ns = k->started_ns,
        .launch_last = k->launch_last,
    };
    memcpy(image.hierarchies, k->hierarchies, sizeof(image.hierarchies));
    memcpy(image.cgroup, k->cgroup, sizeof(image.cgroup));

    AUTO_FD fd = memfd_create("drover-keeper-table", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = append(fd, &image, sizeof(image));
    for (uint32_t slot = 0; slot < k->table.high && rc == 0; slot++)
        if (k->table.numbers[slot] != 0)
            rc = append(fd, &k->table.entries[slot], sizeof(struct entry));
    if (rc == 0 && k->spawn_high > 0)
        rc = append(fd, k->spawns, k->spawn_high * sizeof(struct spawn));
    return rc < 0 ? rc : take_fd(&fd);
}

static int read_image(int fd, struct image *ret_image)
{
    struct stat stat;
    struct image image;
    if (fstat(fd, &stat) < 0)
        return -errno;
    if (pread(fd, &image, sizeof(image), 0) != (ssize_t)sizeof(image))
        return -EBADMSG;
    uint64_t size_bytes = image.image_bytes + (uint64_t)image.entry_bytes * image.entry_count +
                          (uint64_t)image.spawn_bytes * image.spawn_count;
    if (image.magic != IMAGE_MAGIC || image.version < IMAGE_VERSION_OLDEST ||
        image.version > IMAGE_VERSION || image.image_bytes != sizeof(image) ||
        image.entry_bytes > sizeof(struct entry) || image.entry_count > KW_ENTRIES_MAX ||
        image.spawn_bytes > sizeof(struct spawn) || image.spawn_count > KW_SPAWNS_MAX ||
        image.hierarchy_count > KEEPER_HIERARCHIES_MAX || size_bytes != (uint64_t)stat.st_size ||
        memchr(image.cgroup, '\0', sizeof(image.cgroup)) == NULL)
        return -EBADMSG;
    *ret_image = image;
    return 0;
}

int reexec_check_table(int fd)
{
    struct image image;
    return read_image(fd, &image) < 0 ? 1 : 0;
}

static void execute(int binary, const char *option, int table)
{
    char number[16];
    char *argv[] = {(char *)"drover-keeper", (char *)option, number, NULL};
    char *env[] = {NULL};
    (void)snprintf(number, sizeof(number), "%d", table);
    (void)fcntl(table, F_SETFD, 0);
    (void)syscall(SYS_execveat, binary, "", argv, env, AT_EMPTY_PATH);
}

enum kw_refusal reexec_begin(struct keeper *k, struct cargo *cargo)
{
    if (cargo->count != 1 || cargo_count(cargo, KW_FD_BINARY) != 1)
        return KW_REFUSED_MALFORMED;
    k->refusal_error = EBUSY;
    if (k->check_pid != 0 || spawn_is_any(k, true))
        return KW_REFUSED_BINARY;
    for (size_t i = 0; i < KW_STAGES_MAX; i++)
        if (k->stages[i].is_used)
            return KW_REFUSED_BINARY;

    AUTO_FD binary = home_copy_binary(cargo->fds[0]);
    AUTO_FD table = binary < 0 ? binary : write_image(k);
    k->refusal_error = table < 0 ? -table : 0;
    if (table < 0)
        return KW_REFUSED_BINARY;
    struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    pid_t pid = sys_clone3(&args);
    if (pid == 0) {
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        execute(binary, "--check-table", table);
        _exit(127);
    }
    if (pid < 0) {
        k->refusal_error = -pid;
        return KW_REFUSED_BINARY;
    }
    k->check_pid = pid;
    k->binary = take_fd(&binary);
    k->check_deadline_ns = clock_monotonic_ns() + KEEPER_CHECK_NS;
    k->is_timer_stale = true;
    return 0;
}

static void inherit(int fd, bool is_inherited)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, is_inherited ? 0 : FD_CLOEXEC); /* cannot fail: it is open */
}

static void inherit_all(const struct keeper *k, bool is_inherited)
{
    inherit(k->listen, is_inherited);
    if (k->agent_phase != AGENT_NONE)
        inherit(k->agent, is_inherited);
    for (uint32_t i = 0; i < k->hierarchy_count; i++)
        inherit(k->hierarchies[i], is_inherited);
    for (uint32_t slot = 0; slot < k->table.high; slot++) {
        const struct entry *entry = &k->table.entries[slot];
        if (k->table.numbers[slot] == 0)
            continue;
        const int fds[] = {entry->pidfd,  entry->master, entry->slave,
                           entry->notify, entry->ring,   entry->output};
        for (size_t i = 0; i < COUNT_OF(fds); i++)
            inherit(fds[i], is_inherited);
    }
    for (uint32_t i = 0; i < k->spawn_high; i++) {
        inherit(k->spawns[i].pidfd, is_inherited);
        inherit(k->spawns[i].pty, is_inherited);
        inherit(k->spawns[i].kill, is_inherited);
    }
}

void reexec_checked(struct keeper *k, int wait_status)
{
    AUTO_FD binary = k->binary;
    k->binary = -1;
    k->check_pid = 0;
    k->check_deadline_ns = 0;
    k->is_timer_stale = true;

    int error = ENOEXEC;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
        AUTO_FD table = write_image(k);
        error = -table;
        if (table >= 0) {
            inherit_all(k, true);
            execute(binary, "--resume", table);
            error = errno;
            inherit_all(k, false);
        }
    }
    if (k->agent_phase != AGENT_NONE)
        send_refused(k, 0, KW_REEXEC, KW_REFUSED_BINARY, error);
}

static int read_part(int fd, off_t *at, void *part, size_t size_bytes)
{
    if (pread(fd, part, size_bytes, *at) != (ssize_t)size_bytes)
        return -EBADMSG;
    *at += (off_t)size_bytes;
    return 0;
}

static int resume_entry(struct keeper *k, const struct entry *old)
{
    struct entry *entry = table_add(&k->table, old->record.launch);
    if (entry == NULL)
        return -EBADMSG;
    uint32_t slot = table_slot(&k->table, entry);
    uint64_t number = old->record.launch;
    *entry = *old;
    entry->is_handed_over = false;
    entry->is_status_held = false; /* all is told anew */
    entry->stage = 0;
    if (!entry->record.is_adopted)
        table_set_pid(&k->table, entry, old->record.pid);
    k->table.living += !entry_is_final(entry);

    int rc = entry->master >= 0 ? watch_add(k, WATCH_PTY, entry->master, slot, number) : 0;
    if (rc == 0 && entry->notify >= 0)
        rc = watch_add(k, WATCH_NOTIFY, entry->notify, slot, number);
    if (rc == 0 && entry->record.is_adopted && entry->pidfd >= 0)
        rc = watch_add(k, WATCH_ADOPTED, entry->pidfd, slot, number);
    return rc;
}

static int resume_table(struct keeper *k, int fd, const struct image *image)
{
    off_t at = (off_t)image->image_bytes;
    for (uint32_t i = 0; i < image->entry_count; i++) {
        struct entry entry = {.pidfd = -1};
        int rc = read_part(fd, &at, &entry, image->entry_bytes);
        if (rc == 0)
            rc = resume_entry(k, &entry);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < image->spawn_count; i++) {
        int rc = read_part(fd, &at, &k->spawns[i], image->spawn_bytes);
        if (rc < 0)
            return rc;
        k->spawns[i].is_unsent = k->spawns[i].phase != KW_PHASE_UNSET && !k->spawns[i].is_orphan;
        k->spawns[i].is_pid_sent = false;
        k->spawn_high = i + 1;
    }
    return 0;
}

int reexec_resume(struct keeper *k, int fd)
{
    struct image image;
    int rc = read_image(fd, &image);
    if (rc < 0)
        return rc;
    k->listen = image.listen;
    k->agent = image.agent;
    k->hierarchy_count = image.hierarchy_count;
    memcpy(k->hierarchies, image.hierarchies, sizeof(k->hierarchies));
    memcpy(k->cgroup, image.cgroup, sizeof(k->cgroup));
    k->started_ns = image.started_ns;
    k->launch_last = image.launch_last;
    rc = loop_init(k);
    if (rc == 0)
        rc = resume_table(k, fd, &image);
    if (rc < 0)
        return rc;
    if (image.agent >= 0 && watch_add(k, WATCH_AGENT, k->agent, 0, 0) == 0) {
        k->agent_phase = AGENT_NEW;
        k->agent_events = 1; /* EPOLLIN, as watch_add() asked */
        k->has_reexeced = true;
        receive_listen(k, false);
    }
    (void)close(fd);
    inherit_all(k, false);
    return 0;
}
