/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a guest: a pty whose master is always drained, into a ring that the agent reads.
 * The ring is written with pwrite(2), not through a mapping: its pages then are not ours, and a
 * memfd that somebody cut short costs an error instead of a SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "keeper.h"

#define DRAIN_BYTES_PER_TURN 16384
#define DRAIN_BYTES_AT_END 65536 /* a pty holds less */

static int own_slave(int slave, const struct kp_header *plan)
{
    bool is_mapped = (plan->flags & KP_USERNS) != 0;
    uid_t uid = is_mapped ? plan->uid_base : 0;
    gid_t gid = 5; /* tty, in every distribution */
    if (is_mapped)
        gid = plan->uid_count > 5 ? plan->uid_base + 5 : plan->uid_base;

    if (fchown(slave, uid, gid) < 0 || fchmod(slave, 0620) < 0)
        return -errno;
    return 0;
}

int console_open(struct entry *entry, const struct kp_header *plan)
{
    const struct winsize size = {
        .ws_row = (unsigned short)(plan->rows == 0 ? 24 : plan->rows),
        .ws_col = (unsigned short)(plan->columns == 0 ? 80 : plan->columns),
    };
    int unlocked = 0;

    AUTO_FD master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0)
        return -errno;
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return -errno;
    AUTO_FD slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    if (ioctl(slave, TIOCSWINSZ, &size) < 0)
        return -errno;
    int rc = own_slave(slave, plan);
    if (rc < 0)
        return rc;

    entry->master = take_fd(&master);
    entry->slave = take_fd(&slave);
    return 0;
}

/* A guest's vhangup(2) takes our slave as well; without one the master would say EIO for ever. */
static bool hold_slave(struct entry *entry)
{
    int slave = ioctl(entry->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return false;
    if (entry->slave >= 0)
        (void)close(entry->slave);
    entry->slave = slave;
    return true;
}

int console_take(struct entry *entry, int master_consumed)
{
    AUTO_FD master = master_consumed;
    unsigned number;

    if (ioctl(master, TIOCGPTN, &number) < 0)
        return -errno;
    if (fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return -errno;
    entry->master = take_fd(&master);
    if (hold_slave(entry))
        return 0;
    fd_closep(&entry->master);
    return -EIO;
}

int console_open_ring(struct entry *entry)
{
    struct stat stat;
    if (fstat(entry->ring, &stat) < 0)
        return -errno;
    uint64_t size_bytes = (uint64_t)stat.st_size;
    if (!S_ISREG(stat.st_mode) || size_bytes < 2 * KW_RING_DATA_OFFSET || size_bytes > UINT32_MAX)
        return -EINVAL;
    size_bytes -= KW_RING_DATA_OFFSET;
    if ((size_bytes & (size_bytes - 1)) != 0)
        return -EINVAL;
    /* A seal is a memfd's own: a file of a disk could block us. */
    if (fcntl(entry->ring, F_GET_SEALS) < 0)
        return -EINVAL;

    struct kw_ring ring = {.magic = KW_MAGIC, .size_bytes = (uint32_t)size_bytes};
    if (pwrite(entry->ring, &ring, sizeof(ring), 0) != (ssize_t)sizeof(ring))
        return -EINVAL;
    entry->ring_bytes = (uint32_t)size_bytes;
    return 0;
}

/* The octets first, then the count that makes them visible. */
static int ring_append(const struct entry *entry, const char *data, size_t size_bytes)
{
    const off_t count_at = offsetof(struct kw_ring, written);
    uint64_t written;
    size_t done = 0;

    if (entry->ring < 0)
        return -EBADF;
    if (pread(entry->ring, &written, sizeof(written), count_at) != (ssize_t)sizeof(written))
        return -EIO;
    while (done < size_bytes) {
        uint32_t at = (uint32_t)((written + done) % entry->ring_bytes);
        size_t part = size_bytes - done;
        if (part > entry->ring_bytes - at)
            part = entry->ring_bytes - at;
        if (pwrite(entry->ring, data + done, part, KW_RING_DATA_OFFSET + (off_t)at) !=
            (ssize_t)part)
            return -EIO;
        done += part;
    }
    written += size_bytes;
    if (pwrite(entry->ring, &written, sizeof(written), count_at) != (ssize_t)sizeof(written))
        return -EIO;
    return 0;
}

bool console_drain(struct entry *entry, bool is_all)
{
    static char buffer[4096];
    size_t budget = is_all ? DRAIN_BYTES_AT_END : DRAIN_BYTES_PER_TURN;
    size_t moved = 0;
    bool is_alive = true;

    while (entry->master >= 0 && moved < budget) {
        ssize_t n = read(entry->master, buffer, sizeof(buffer));
        if (n <= 0) {
            is_alive = n < 0 && (errno == EAGAIN || errno == EINTR);
            break;
        }
        if (ring_append(entry, buffer, (size_t)n) < 0)
            entry->record.console_dropped += (uint64_t)n;
        moved += (size_t)n;
    }
    if (moved > 0 && entry->output >= 0) {
        const uint64_t one = 1;
        (void)!write(entry->output, &one, sizeof(one)); /* full: the agent was told already */
    }
    return is_all || is_alive || hold_slave(entry);
}
