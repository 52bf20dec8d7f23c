/* SPDX-License-Identifier: Apache-2.0 */
#include "console_tail.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "codec.h"

#define CHUNK_BYTES 16384

static uint64_t written(const struct kw_ring *ring)
{
    return __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
}

size_t console_tail_read(const struct kw_ring *ring, size_t ring_bytes, uint64_t *position,
                         void *data, size_t room)
{
    size_t size_bytes = ring_bytes - KW_RING_DATA_OFFSET;
    const uint8_t *octets = (const uint8_t *)ring + KW_RING_DATA_OFFSET;
    uint64_t end = written(ring);

    if (end < *position)
        *position = 0; /* another generation's ring */
    if (end - *position > size_bytes)
        *position = end - size_bytes;
    size_t count = end - *position < room ? (size_t)(end - *position) : room;
    size_t at = (size_t)(*position % size_bytes);
    size_t first = count < size_bytes - at ? count : size_bytes - at;
    memcpy(data, octets + at, first);
    memcpy((uint8_t *)data + first, octets, count - first);

    /* The writer may have lapped us meanwhile: what it overwrote is not told as if it were
     * whole. */
    uint64_t oldest = written(ring) > size_bytes ? written(ring) - size_bytes : 0;
    if (oldest > *position) {
        size_t lost = oldest - *position < count ? (size_t)(oldest - *position) : count;

        memmove(data, (uint8_t *)data + lost, count - lost);
        *position += lost;
        count -= lost;
    }
    *position += count;
    return count;
}

static void name_path(char *path, size_t path_bytes, const uint8_t uuid[UUID_BYTES],
                      const char *file)
{
    char text[UUID_TEXT_BYTES];

    (void)snprintf(path, path_bytes, "%s/%s", uuid_format(uuid, text), file);
}

void console_tail_keep(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES],
                       const struct kw_ring *ring, size_t ring_bytes)
{
    char path[UUID_TEXT_BYTES + 16];
    char next[UUID_TEXT_BYTES + 16];
    uint8_t chunk[CHUNK_BYTES];
    uint64_t position = 0;
    size_t count;

    name_path(path, sizeof(path), uuid, "console");
    name_path(next, sizeof(next), uuid, "console.next");
    AUTO_FD fd = openat(rootfs->containers, next,
                        O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    while ((count = console_tail_read(ring, ring_bytes, &position, chunk, sizeof(chunk))) > 0)
        if (write(fd, chunk, count) != (ssize_t)count)
            break;
    (void)renameat(rootfs->containers, next, rootfs->containers, path); /* best effort, see above */
}

int console_tail_open(const struct rootfs *rootfs, const uint8_t uuid[UUID_BYTES])
{
    char path[UUID_TEXT_BYTES + 16];

    name_path(path, sizeof(path), uuid, "console");
    return openat(rootfs->containers, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}
