/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What importers ask of this machine's disk. Regular files alone are read: a FIFO would never end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "import.h"

static bool is_there(void *context, const char *path)
{
    struct stat status;

    (void)context;
    return lstat(path, &status) == 0;
}

static bool is_directory(void *context, const char *path)
{
    struct stat status;

    (void)context;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int read_file(void *context, const char *path, struct arena *texts,
                     struct octets *ret_octets)
{
    struct stat status;
    size_t size_bytes = 0;

    (void)context;
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    if (status.st_size > IMPORT_FILE_BYTES_MAX)
        return -EFBIG;

    size_t room_bytes = (size_t)status.st_size + 1;
    uint8_t *data = arena_take(texts, room_bytes);
    if (data == NULL)
        return -ENOMEM;
    while (size_bytes < room_bytes) {
        ssize_t count = read(fd, data + size_bytes, room_bytes - size_bytes);
        if (count < 0)
            return -errno;
        if (count == 0)
            break;
        size_bytes += (size_t)count;
    }
    if (size_bytes == room_bytes)
        return -EAGAIN; /* it grew: whoever writes it is not done */

    *ret_octets = (struct octets){data, size_bytes};
    return 0;
}

static int is_conf(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int list_directory(void *context, const char *path, struct arena *texts,
                          const char *const **ret_names, size_t *ret_count)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_conf, alphasort);

    (void)context;
    if (count < 0)
        return -errno;
    const char **names = arena_take(texts, ((size_t)count + 1) * sizeof(*names));
    for (int i = 0; i < count; i++) {
        if (names != NULL)
            names[i] = arena_text(texts, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (names == NULL)
        return -ENOMEM;

    *ret_names = names;
    *ret_count = (size_t)count;
    return 0;
}

const struct import_disk import_disk = {is_there, is_directory, read_file, list_directory, NULL};
