/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At stake: a guest writes what it likes to its console, as fast as it likes, for years; its reader
 * is the agent, from another process, at its own pace. What a real pty's other end writes goes
 * through the keeper's drain into the ring and out of the agent's reader: in order, nothing twice,
 * a gap only where the ring was overrun, and never an octet that was not said.
 */
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
static void open_console(void)
{
    const struct kp_header plan = {.rows = 25, .columns = 80};
    struct termios raw;

    entry = (struct entry){.pidfd = -1, .master = -1, .slave = -1, .notify = -1, .ring = -1};
    PROMISE(console_open(&entry, &plan) == 0);
    entry.output = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    PROMISE(tcgetattr(entry.slave, &raw) == 0);
    cfmakeraw(&raw);
    PROMISE(tcsetattr(entry.slave, TCSANOW, &raw) == 0);
    guest = entry.slave;
    PROMISE(fcntl(guest, F_SETFL, O_NONBLOCK) == 0);
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

        if (what % 4 == 0)
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
