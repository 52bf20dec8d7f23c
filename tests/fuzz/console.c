/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: a guest writes what it likes to its console, as fast as it likes, for years; its reader
 * is the agent, from another process, at its own pace. What a real pty's other end writes goes
 * through the keeper's drain into the ring and out of the agent's reader: in order, nothing twice,
 * a gap only where the ring was overrun, and never an octet that was not said. A ring that is none,
 * or goes bad, and a guest that hangs its console up cost what is said, counted, and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cleanup.h"
#include "console_tail.h"
#include "fuzz.h"
#include "keeper.h"
#include "uuid.h"

#define RING_BYTES 4096
#define SAID_MAX (1 << 20)

static const struct entry no_entry = {
    .pidfd = -1, .master = -1, .slave = -1, .notify = -1, .ring = -1, .output = -1};
static uint8_t said[SAID_MAX];
static size_t said_bytes;
static struct entry entry;
static int guest = -1;
static struct rootfs rootfs;
static const uint8_t id[UUID_BYTES] = {1};

static void open_ring(void)
{
    if (entry.ring >= 0)
        (void)close(entry.ring);
    entry.ring = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    PROMISE(entry.ring >= 0 && ftruncate(entry.ring, KW_RING_DATA_OFFSET + RING_BYTES) == 0);
    PROMISE(console_open_ring(&entry) == 0);
}

/* Raw, so that what is said is what is read. */
static void open_guest(void)
{
    struct termios raw;

    guest = entry.slave;
    PROMISE(tcgetattr(guest, &raw) == 0);
    cfmakeraw(&raw);
    PROMISE(tcsetattr(guest, TCSANOW, &raw) == 0);
    PROMISE(fcntl(guest, F_SETFL, O_NONBLOCK) == 0);
}

static void open_console(void)
{
    const struct kp_header plan = {.rows = 25, .columns = 80};

    entry = no_entry;
    PROMISE(console_open(&entry, &plan) == 0);
    entry.output = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    open_guest();
}

/* Where the agent keeps what a generation said last. */
static void open_directory(void)
{
    const char *work = getenv("DROVER_FUZZ_DIR");
    char path[256];
    char uuid[UUID_TEXT_BYTES];

    (void)snprintf(path, sizeof(path), "%s/console-XXXXXX", work == NULL ? "/tmp" : work);
    PROMISE(mkdtemp(path) != NULL);
    rootfs.containers = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    PROMISE(mkdirat(rootfs.containers, uuid_format(id, uuid), 0700) == 0);
}

/* The newest of what was said, as far as it fits. */
static void check_kept(const struct kw_ring *ring)
{
    static uint8_t kept[RING_BYTES + 1];
    size_t wanted = said_bytes < RING_BYTES ? said_bytes : RING_BYTES;

    console_tail_keep(&rootfs, id, ring, KW_RING_DATA_OFFSET + RING_BYTES);
    int fd = console_tail_open(&rootfs, id);
    PROMISE(fd >= 0);
    PROMISE(read(fd, kept, sizeof(kept)) == (ssize_t)wanted);
    PROMISE(memcmp(kept, said + said_bytes - wanted, wanted) == 0);
    (void)close(fd);
}

static void guest_says(struct script *script)
{
    const uint8_t *part;
    size_t count = script_part(script, UINT8_MAX, &part);
    unsigned times = 1u + script_octet(script) % 64;

    for (; times > 0 && count > 0 && said_bytes + count <= SAID_MAX; times--) {
        ssize_t taken = write(guest, part, count);

        if (taken <= 0)
            return;
        memcpy(said + said_bytes, part, (size_t)taken);
        said_bytes += (size_t)taken;
    }
}

struct reader {
    uint64_t position;
    const struct kw_ring *ring;
};

static void agent_reads(struct reader *reader, size_t room)
{
    static uint8_t chunk[70000];
    uint64_t before = reader->position;
    uint64_t written = reader->ring->written;
    size_t count = console_tail_read(reader->ring, KW_RING_DATA_OFFSET + RING_BYTES,
                                     &reader->position, chunk, room);

    PROMISE(count <= room && reader->position <= written && reader->position >= before);
    PROMISE(count <= reader->position && reader->position <= said_bytes);
    PROMISE(memcmp(chunk, said + reader->position - count, count) == 0);
    /* What it skipped is only what was overrun. */
    uint64_t oldest = written > RING_BYTES ? written - RING_BYTES : 0;
    PROMISE(reader->position - count == (before > oldest ? before : oldest));
    CANARY(count > 0 && reader->position - count > before && before > 0);
}

/* ---- what goes wrong ---- */

/* A guest that closes every slave, ours too, as vhangup(2) does. */
static void guest_hangs_up(void)
{
    PROMISE(console_drain(&entry, true));
    fd_closep(&entry.slave);
    PROMISE(console_drain(&entry, false));
    PROMISE(entry.slave >= 0);
    open_guest();
}

/* As a new keeper gets it from the agent; or what is no terminal. */
static void take_master(bool is_master)
{
    struct entry taken = no_entry;
    int fd =
        is_master ? fcntl(entry.master, F_DUPFD_CLOEXEC, 0) : open("/dev/null", O_RDWR | O_CLOEXEC);

    PROMISE((console_take(&taken, fd) == 0) == is_master);
    PROMISE((taken.master >= 0) == is_master && (taken.slave >= 0) == is_master);
    fd_closep(&taken.master);
    fd_closep(&taken.slave);
}

static void open_another(struct script *script)
{
    uint8_t how = script_octet(script);
    const struct kp_header plan = {.flags = (how & 1) != 0 ? KP_USERNS : 0,
                                   .uid_base = 100000,
                                   .uid_count = (how & 2) != 0 ? 65536 : 1,
                                   .rows = script_octet(script),
                                   .columns = how};
    struct entry opened = no_entry;
    int result = console_open(&opened, &plan);

    PROMISE(result == 0 || (result == -EPERM && geteuid() != 0));
    PROMISE((opened.master >= 0) == (result == 0) && (opened.slave >= 0) == (result == 0));
    fd_closep(&opened.master);
    fd_closep(&opened.slave);
}

/* What an agent might send for a ring. */
static void refuse_ring(struct script *script)
{
    struct entry bad = no_entry;
    uint8_t how = script_octet(script);
    off_t size_bytes = script_short(script);

    if (how % 4 == 0)
        bad.ring = open("/dev/null", O_RDWR | O_CLOEXEC);
    else if (how % 4 == 1)
        bad.ring = openat(rootfs.containers, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    else if (how % 4 == 2)
        bad.ring = memfd_create("small", MFD_CLOEXEC);
    PROMISE(how % 4 == 0 || bad.ring < 0 || ftruncate(bad.ring, size_bytes) == 0);
    bool is_whole = size_bytes >= 2 * KW_RING_DATA_OFFSET &&
                    __builtin_popcountll((unsigned long long)size_bytes - KW_RING_DATA_OFFSET) == 1;
    int result = console_open_ring(&bad);
    PROMISE(how % 4 == 2 ? (result == 0) == is_whole : result < 0);
    fd_closep(&bad.ring);
}

/* None, or one that can be neither written nor, cut short, read: all that is said is counted. */
static void say_to_no_ring(struct script *script)
{
    uint8_t how = script_octet(script);
    struct entry deaf = no_entry;

    PROMISE(console_drain(&entry, true));
    deaf.master = entry.master;
    if (how % 4 > 0) {
        deaf.ring = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        PROMISE(ftruncate(deaf.ring, KW_RING_DATA_OFFSET + RING_BYTES) == 0);
        PROMISE(console_open_ring(&deaf) == 0);
    }
    if (how % 4 == 1)
        PROMISE(ftruncate(deaf.ring, 0) == 0);
    if (how % 4 > 1)
        PROMISE(fcntl(deaf.ring, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    ssize_t count = write(guest, "unheard", 1u + how % 7);
    PROMISE(console_drain(&deaf, true));
    PROMISE(count > 0 && deaf.record.console_dropped == (uint64_t)count);
    fd_closep(&deaf.ring);
}

/* A reader that comes from a ring which had more in it. */
static void read_elsewhere(const struct kw_ring *ring, struct script *script)
{
    static uint8_t chunk[RING_BYTES];
    uint64_t position = ring->written + 1 + script_octet(script);
    size_t count = console_tail_read(ring, KW_RING_DATA_OFFSET + RING_BYTES, &position, chunk,
                                     1u + script_octet(script));

    PROMISE(position <= ring->written);
    PROMISE(memcmp(chunk, said + position - count, count) == 0);
}

/* Of a container that has no place. */
static void keep_nowhere(const struct kw_ring *ring)
{
    static const uint8_t nobody[UUID_BYTES] = {2};

    console_tail_keep(&rootfs, nobody, ring, KW_RING_DATA_OFFSET + RING_BYTES);
    PROMISE(console_tail_open(&rootfs, nobody) < 0);
}

static void go_wrong(const struct kw_ring *ring, struct script *script)
{
    uint8_t what = script_octet(script) % 8;

    if (what == 0)
        guest_hangs_up();
    else if (what == 1)
        take_master((script_octet(script) & 1) != 0);
    else if (what == 2)
        open_another(script);
    else if (what == 3)
        refuse_ring(script);
    else if (what == 4)
        say_to_no_ring(script);
    else if (what == 5)
        keep_nowhere(ring);
    else
        read_elsewhere(ring, script);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct script script = {data, size_bytes};
    struct reader readers[2] = {{0}, {0}};

    said_bytes = 0;
    if (guest < 0) {
        open_console();
        open_directory();
    }
    open_ring();
    const struct kw_ring *ring =
        mmap(NULL, KW_RING_DATA_OFFSET + RING_BYTES, PROT_READ, MAP_SHARED, entry.ring, 0);
    PROMISE(ring != MAP_FAILED);
    readers[0].ring = readers[1].ring = ring;
    while (script.left > 0) {
        uint8_t what = script_octet(&script);

        if (what % 16 == 15)
            go_wrong(ring, &script);
        else if (what % 4 == 0)
            guest_says(&script);
        else if (what % 4 == 1)
            PROMISE(console_drain(&entry, (what & 4) != 0));
        else
            agent_reads(&readers[what % 2], script_octet(&script) * 256u + 1);
    }
    PROMISE(console_drain(&entry, true));
    PROMISE(entry.record.console_dropped == 0);
    check_kept(ring);
    (void)munmap((void *)(uintptr_t)ring, KW_RING_DATA_OFFSET + RING_BYTES);
    return 0;
}
