/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define BLOCK_BYTES 65536
#define TAR_BLOCK_BYTES 512
#define ERROR_FORMAT EILSEQ /* libarchive's own, archive_platform.h: ARCHIVE_ERRNO_FILE_FORMAT */

static int refuse(struct pack *pack, int error, const char *path, const char *why)
{
    if (pack->sink_result != 0)
        return pack->sink_result; /* the sink has said it */
    fault_set(pack->fault, STATUS_FAILED, error, "%s: %s", path, why);
    return error == 0 ? -EIO : -error;
}

/* libarchive's own errors have numbers below 0, and words that need no errno behind them. */
static int refuse_archive(struct pack *pack, struct archive *archive, const char *path)
{
    const char *words = archive_error_string(archive);
    int error = archive_errno(archive);
    bool is_errno = error > 0 && error != ERROR_FORMAT;

    return refuse(pack, is_errno ? error : 0, path, words == NULL ? "cannot be read" : words);
}

static int sink(struct pack *pack, const void *data, size_t size_bytes)
{
    if (pack->sink_result == 0)
        pack->sink_result = pack->sink(pack->context, data, size_bytes);
    return pack->sink_result;
}

/* ---- a directory ---- */

struct packing {
    struct pack *pack;
    struct archive *disk;
    struct archive *tar;
    struct archive_entry *entry; /* as the disk reader gave it */
};

/* Never fails: libarchive 3.6.2 leaks what a writer that failed had. Whoever writes looks at
 * sink_result instead. */
static la_ssize_t on_packed(struct archive *tar, void *context, const void *data, size_t size_bytes)
{
    (void)tar;
    (void)sink(context, data, size_bytes);
    return (la_ssize_t)size_bytes;
}

/* What a file holds; holes come as zeros. */
static int copy_data(struct packing *packing, const char *path)
{
    static const uint8_t zeros[BLOCK_BYTES];
    const void *data = NULL;
    size_t size_bytes = 0;
    la_int64_t offset = 0;
    la_int64_t at = 0;

    for (;;) {
        int result = archive_read_data_block(packing->disk, &data, &size_bytes, &offset);
        if (result == ARCHIVE_EOF)
            return 0; /* a file that has grown is cut, one that has shrunk is filled with zeros */
        if (result < ARCHIVE_WARN)
            return refuse_archive(packing->pack, packing->disk, path);
        while (at < offset) {
            la_int64_t gap = offset - at < BLOCK_BYTES ? offset - at : BLOCK_BYTES;
            if (archive_write_data(packing->tar, zeros, (size_t)gap) < 0 ||
                packing->pack->sink_result != 0)
                return refuse_archive(packing->pack, packing->tar, path);
            at += gap;
        }
        if (archive_write_data(packing->tar, data, size_bytes) < 0 ||
            packing->pack->sink_result != 0)
            return refuse_archive(packing->pack, packing->tar, path);
        at += (la_int64_t)size_bytes;
    }
}

static int pack_entry(struct packing *packing, struct archive_entry_linkresolver *links)
{
    struct archive_entry *entry = packing->entry;
    struct archive_entry *later = NULL; /* tar keeps no link for the end, as others do */

    if (archive_entry_filetype(entry) == AE_IFSOCK)
        return 0;
    archive_entry_linkify(links, &entry, &later);
    const char *path = archive_entry_pathname(entry);
    if (path == NULL)
        path = "a file";
    int result = archive_write_header(packing->tar, entry);
    if (result < ARCHIVE_WARN || packing->pack->sink_result != 0)
        return refuse_archive(packing->pack, packing->tar, path);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_size(entry) == 0)
        return 0;
    return copy_data(packing, path);
}

static int pack_entries(struct packing *packing)
{
    struct archive_entry_linkresolver *links = archive_entry_linkresolver_new();
    int result = 0;

    if (links == NULL)
        return refuse(packing->pack, ENOMEM, ".", "no memory");
    archive_entry_linkresolver_set_strategy(links, archive_format(packing->tar));
    while (result == 0) {
        int read = archive_read_next_header2(packing->disk, packing->entry);
        if (read == ARCHIVE_EOF)
            break;
        if (read < ARCHIVE_OK) { /* a template with a file less would boot, and fail later */
            const char *path = archive_entry_pathname(packing->entry);
            result = refuse_archive(packing->pack, packing->disk, path == NULL ? "." : path);
            break;
        }
        (void)archive_read_disk_descend(packing->disk); /* only directories can be */
        result = pack_entry(packing, links);
        archive_entry_clear(packing->entry);
    }
    archive_entry_linkresolver_free(links);
    return result;
}

static int open_packing(struct packing *packing)
{
    struct archive *tar = packing->tar;
    struct archive *disk = packing->disk;

    if (tar == NULL || disk == NULL || packing->entry == NULL)
        return refuse(packing->pack, ENOMEM, ".", "no memory");
    if (archive_write_set_format_pax_restricted(tar) < ARCHIVE_OK ||
        archive_write_set_bytes_per_block(tar, BLOCK_BYTES) < ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(tar, 1) < ARCHIVE_OK ||
        archive_write_open(tar, packing->pack, NULL, on_packed, NULL) < ARCHIVE_OK)
        return refuse_archive(packing->pack, tar, ".");
    (void)archive_read_disk_set_symlink_physical(disk);
    if (archive_read_disk_set_behavior(disk, ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS) < ARCHIVE_OK ||
        archive_read_disk_open(disk, ".") < ARCHIVE_OK)
        return refuse_archive(packing->pack, disk, ".");
    return 0;
}

int pack_directory(struct pack *pack, const char *path)
{
    if (chdir(path) < 0)
        return refuse(pack, errno, path, "it cannot be entered");
    struct packing packing = {.pack = pack,
                              .disk = archive_read_disk_new(),
                              .tar = archive_write_new(),
                              .entry = archive_entry_new()};
    int result = open_packing(&packing);

    if (result == 0)
        result = pack_entries(&packing);
    if (result == 0 && (archive_write_close(packing.tar) < ARCHIVE_OK || pack->sink_result != 0))
        result = refuse_archive(pack, packing.tar, path);
    if (pack->sink_result == 0)
        pack->sink_result = result; /* freeing writes the tar's end, which must not look whole */
    archive_entry_free(packing.entry);
    (void)archive_write_free(packing.tar);
    (void)archive_read_free(packing.disk);
    return result;
}

/* ---- a tar ---- */

/* A tar's first block carries its own checksum: tar(5). */
static bool is_tar_block(const uint8_t *block)
{
    unsigned long sum = 8 * ' '; /* the field of the checksum counts as spaces */
    unsigned long told = 0;
    size_t at = 148;

    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += i >= 148 && i < 156 ? 0 : block[i];
    while (at < 156 && block[at] == ' ')
        at++;
    for (; at < 156 && block[at] >= '0' && block[at] <= '7'; at++)
        told = told * 8 + (unsigned long)(block[at] - '0');
    return told == sum;
}

static int refuse_kind(struct pack *pack, const char *path)
{
    fault_set(pack->fault, STATUS_INVALID, 0, "%s: neither a directory nor a tar", path);
    return -EINVAL;
}

static int pass_on(struct pack *pack, struct archive *raw, const char *path)
{
    const void *data = NULL;
    size_t size_bytes = 0;
    la_int64_t offset = 0;
    bool is_first = true;

    for (;;) {
        int result = archive_read_data_block(raw, &data, &size_bytes, &offset);
        if (result == ARCHIVE_EOF)
            return is_first ? refuse_kind(pack, path) : 0;
        if (result < ARCHIVE_OK)
            return refuse_archive(pack, raw, path);
        if (size_bytes == 0)
            continue;
        if (is_first && (size_bytes < TAR_BLOCK_BYTES || !is_tar_block(data)))
            return refuse_kind(pack, path);
        is_first = false;
        if (sink(pack, data, size_bytes) < 0)
            return pack->sink_result;
    }
}

static int read_tar(struct pack *pack, struct archive *raw, int fd, const char *path)
{
    struct archive_entry *entry = NULL;

    /* Filters alone; what they yield is taken as it is. A program that is not installed is told of
     * when it is needed. */
    (void)archive_read_support_filter_all(raw);
    int result = archive_read_support_format_raw(raw);
    if (result >= ARCHIVE_WARN)
        result = archive_read_open_fd(raw, fd, BLOCK_BYTES);
    if (result >= ARCHIVE_WARN)
        result = archive_read_next_header(raw, &entry);
    if (result == ARCHIVE_EOF || (result < ARCHIVE_WARN && archive_errno(raw) == ERROR_FORMAT))
        return refuse_kind(pack, path); /* it is empty */
    if (result < ARCHIVE_WARN)
        return refuse_archive(pack, raw, path);
    return pass_on(pack, raw, path);
}

int pack_tar(struct pack *pack, const char *path)
{
    bool is_input = strcmp(path, "-") == 0;
    AUTO_FD fd =
        is_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return refuse(pack, errno, path, "it cannot be opened");
    struct archive *raw = archive_read_new();
    if (raw == NULL)
        return refuse(pack, ENOMEM, path, "no memory");
    int result = read_tar(pack, raw, fd, path);
    (void)archive_read_free(raw);
    return result;
}
